"""Sixteen counters of Philox4x32-10 at once, as vector instructions, since compilers do not vectorise the loop."""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, extending

intrinsic: Callable[[Callable[..., Any]], Any] = extending.intrinsic
COUNTERS = 16
ROUNDS = 10
RUN = np.uint64(32)
"""How many numbers ``store_run`` writes."""
_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYLS = (0x9E3779B9, 0xBB67AE85)
_WORDS = ir.VectorType(ir.IntType(64), COUNTERS)


@intrinsic
def store_philox(typing: Any, draws: Any, start: Any, counter: Any, ordinal: Any, stream: Any) -> Any:
    """Put the words of 16 counters from ``counter`` (below 2^32) into ``draws``, uint32, from ``start`` on.

    Word w of counter i goes to ``start + 16 w + i``; see ``philox.philox`` for the counter's other parts.
    """
    wide = types.uint64

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        index = _add_lanes(builder, _splat(builder, arguments[2]))
        words = [index, _constant(0), *_halves(builder, arguments[3])]
        keys = _halves(builder, arguments[4])
        for turn in range(ROUNDS):
            round_keys = [_plus(builder, key, turn * weyl) for key, weyl in zip(keys, _WEYLS, strict=True)]
            words = _round(builder, words, round_keys)
        data = cgutils.create_struct_proxy(signature.args[0])(context, builder, value=arguments[0]).data
        narrow = ir.VectorType(ir.IntType(32), COUNTERS)
        for place, word in enumerate(words):
            at = builder.add(arguments[1], ir.Constant(ir.IntType(64), place * COUNTERS))
            pointer = builder.bitcast(builder.gep(data, [at]), narrow.as_pointer())
            builder.store(builder.trunc(word, narrow), pointer, align=4)
        return context.get_dummy_value()

    return types.void(draws, types.intp, wide, wide, wide), generate


@intrinsic
def store_run(typing: Any, array: Any, index: Any, number: Any) -> Any:
    """Write the same number to the RUN elements of a uint16 array from ``index`` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.VectorType(ir.IntType(16), int(RUN))
        data = cgutils.create_struct_proxy(signature.args[0])(context, builder, value=arguments[0]).data
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), kind.as_pointer())
        builder.store(_spread(builder, builder.trunc(arguments[2], kind.element), kind), pointer, align=2)
        return context.get_dummy_value()

    return types.void(array, types.uintp, types.uint64), generate


def _round(builder: Any, words: list[Any], keys: list[Any]) -> list[Any]:
    """One round. The upper halves of words are undefined: products mask them, and the end drops them."""
    first = builder.mul(_masked(builder, words[0]), _constant(_MULTIPLIERS[0]))
    second = builder.mul(_masked(builder, words[2]), _constant(_MULTIPLIERS[1]))
    high_first, high_second = (builder.lshr(product, _constant(32)) for product in (first, second))
    return [
        builder.xor(builder.xor(high_second, words[1]), keys[0]),
        second,
        builder.xor(builder.xor(high_first, words[3]), keys[1]),
        first,
    ]


def _constant(number: int) -> Any:
    return ir.Constant(_WORDS, [number] * COUNTERS)


def _masked(builder: Any, words: Any) -> Any:
    return builder.and_(words, _constant(_MASK))


def _plus(builder: Any, key: Any, number: int) -> Any:
    return builder.add(key, _constant(number))


def _splat(builder: Any, number: Any) -> Any:
    return _spread(builder, number, _WORDS)


def _spread(builder: Any, number: Any, kind: Any) -> Any:
    nothing = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(ir.IntType(32), kind.count), None))


def _add_lanes(builder: Any, words: Any) -> Any:
    return builder.add(words, ir.Constant(_WORDS, list(range(COUNTERS))))


def _halves(builder: Any, number: Any) -> list[Any]:
    words = _splat(builder, number)
    return [_masked(builder, words), builder.lshr(words, _constant(32))]
