"""Lanes: V rows side by side in one SIMD vector, so that every operation works on V rows at once.

An array of lanes has the structured dtype ``lane_dtype(scalar, V)``: element k holds amplitude k of V rows. With one
lane it is a plain array and ``load`` gives a plain number, so that the same kernels serve a single row. Products and
sums are fused only in ``fma``: the bits of a row do not depend on V.
"""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils, extending
from numba.core.extending import models, overload, register_model

intrinsic: Callable[[Callable[..., Any]], Any] = extending.intrinsic
"""Typed here because Numba's own annotation lacks that callers leave the first argument out."""
ALIGNMENT_BYTES = 64
FIELD = "lanes"


def lane_dtype(scalar: npt.DTypeLike, lanes: int) -> np.dtype[Any]:
    """The dtype of an array of lanes."""
    plain = np.dtype(scalar)
    return plain if lanes == 1 else np.dtype([(FIELD, plain, (lanes,))])


def allocate(scalar: npt.DTypeLike, lanes: int, count: int) -> npt.NDArray[Any]:
    """An aligned array of ``count`` lane vectors, not initialised."""
    dtype = lane_dtype(scalar, lanes)
    raw = np.empty(count * dtype.itemsize + ALIGNMENT_BYTES, dtype=np.uint8)
    start = -raw.ctypes.data % ALIGNMENT_BYTES
    return raw[start : start + count * dtype.itemsize].view(dtype)


def flat(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same memory as plain numbers: lane v of element k is number ``k * V + v``."""
    names = array.dtype.names
    return array if names is None else array.view(array.dtype[FIELD].base)


class Lanes(types.Type):  # type: ignore[misc]
    """Numba's type of one vector of lanes."""

    def __init__(self, scalar: Any, count: int) -> None:
        """``count`` numbers of type ``scalar``."""
        super().__init__(f"lanes({scalar}, {count})")
        self.scalar = scalar
        self.count = count


def _vector(scalar: Any, count: int) -> Any:
    return ir.VectorType(ir.DoubleType() if scalar == types.float64 else ir.FloatType(), count)


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Lanes) -> None:
        super().__init__(manager, kind, _vector(kind.scalar, kind.count))


def _element(array: Any) -> Any:
    """The type that ``load`` returns for an array type."""
    if isinstance(array.dtype, types.Record):
        field = array.dtype.typeof(FIELD)
        return Lanes(field.dtype, field.shape[0])
    return array.dtype


def _address(context: Any, builder: Any, array: Any, value: Any, index: Any, target: Any) -> Any:
    """A pointer to element ``index``; elements are as wide as the target's."""
    data = cgutils.create_struct_proxy(array)(context, builder, value=value).data
    pointer = builder.bitcast(data, target.as_pointer())
    return builder.gep(pointer, [index])


def _bytes_of(kind: Any) -> int:
    scalar = kind.scalar if isinstance(kind, Lanes) else kind
    return int(scalar.bitwidth // 8)


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """The lanes at an index."""
    kind = _element(array)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target = context.get_value_type(kind)
        pointer = _address(context, builder, signature.args[0], arguments[0], arguments[1], target)
        return builder.load(pointer, align=_bytes_of(kind))

    return kind(array, types.intp), generate


@intrinsic
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Put lanes at an index."""
    kind = _element(array)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target = context.get_value_type(kind)
        pointer = _address(context, builder, signature.args[0], arguments[0], arguments[1], target)
        builder.store(arguments[2], pointer, align=_bytes_of(kind))
        return context.get_dummy_value()

    return types.void(array, types.intp, kind), generate


@intrinsic
def splat(typing: Any, array: Any, number: Any) -> Any:
    """The same number, converted if needed, in all lanes of the array's kind."""
    kind = _element(array)
    scalar = kind.scalar if isinstance(kind, Lanes) else kind

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = context.cast(builder, arguments[1], signature.args[1], scalar)
        return _broadcast(builder, context.get_value_type(kind), value) if isinstance(kind, Lanes) else value

    return kind(array, number), generate


@intrinsic
def unit(typing: Any, array: Any) -> Any:
    """1 in all lanes of the array's kind."""
    kind = _element(array)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target = context.get_value_type(kind)
        return ir.Constant(target, [1.0] * kind.count if isinstance(kind, Lanes) else 1.0)

    return kind(array), generate


def _broadcast(builder: Any, target: Any, number: Any) -> Any:
    nothing = ir.Constant(target, ir.Undefined)
    first = builder.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(ir.IntType(32), target.count), None))


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``, rounded once if the processor can."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = context.get_value_type(signature.return_type)
        scalar = a.scalar if isinstance(a, Lanes) else a
        suffix = "f64" if scalar == types.float64 else "f32"
        prefix = f"v{a.count}" if isinstance(a, Lanes) else ""
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind] * 3), f"llvm.fmuladd.{prefix}{suffix}"
        )
        return builder.call(function, arguments)

    return a(a, a, a), generate


@intrinsic
def widen(typing: Any, value: Any) -> Any:
    """The lanes as float64."""
    is_lanes = isinstance(value, Lanes)
    scalar = value.scalar if is_lanes else value
    kind = Lanes(types.float64, value.count) if is_lanes else types.float64

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if scalar == types.float64:
            return arguments[0]
        return builder.fpext(arguments[0], context.get_value_type(kind))

    return kind(value), generate


@intrinsic
def store_rounded(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Put float64 lanes from 0 to 2^32 - 1 into a plain uint32 array, V of them from ``index * V``, rounded down."""
    count = value.count if isinstance(value, Lanes) else 1

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = ir.IntType(32)
        target = ir.VectorType(number, count) if isinstance(value, Lanes) else number
        pointer = _address(context, builder, signature.args[0], arguments[0], arguments[1], target)
        builder.store(builder.fptoui(arguments[2], target), pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@intrinsic
def lowest_bit(typing: Any, bits: Any) -> Any:
    """The position of the lowest set bit of a uint64 that is not 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(bits), generate


@intrinsic
def take_next(typing: Any, counter: Any) -> Any:
    """Add 1 to the int64 counter and give its former value, atomically."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = cgutils.create_struct_proxy(signature.args[0])(context, builder, value=arguments[0]).data
        return builder.atomic_rmw("add", data, ir.Constant(ir.IntType(64), 1), "seq_cst")

    return types.int64(counter), generate


def _binary(instruction: str) -> Any:
    @intrinsic
    def operate(typing: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, instruction)(arguments[0], arguments[1])

        return a(a, a), generate

    return operate


def _overload(function: Callable[..., Any], instruction: str) -> None:
    operate = _binary(instruction)

    @overload(function)
    def overloaded(a, b):  # type: ignore[no-untyped-def]  # numba compares it with the lambda
        if isinstance(a, Lanes) and a == b:
            return lambda a, b: operate(a, b)
        return None


_overload(operator.add, "fadd")
_overload(operator.sub, "fsub")
_overload(operator.mul, "fmul")
_overload(operator.truediv, "fdiv")
