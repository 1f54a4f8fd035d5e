"""Fewer operations that do the same: neighbouring one-qubit gates as one. Circuits of devices consist of such gates."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import numpy as np

from qorch_providers.emulators.statevector.evolution import Operation
from qorch_providers.emulators.statevector.matrices import Complexes, Floats

_NONE: Floats = np.zeros((0, 1))


def fuse(operations: Iterable[Operation]) -> Iterator[Operation]:
    """Operations with all neighbouring one-qubit ones fused."""
    waiting: dict[int, list[Operation]] = {}
    for operation in operations:
        if len(operation.targets) == 1 and not operation.controls:
            waiting.setdefault(operation.targets[0], []).append(operation)
            continue
        for qubit in (*operation.targets, *operation.controls):
            yield from _join(waiting.pop(qubit, []))
        yield operation
    for parts in waiting.values():
        yield from _join(parts)


def _join(parts: Sequence[Operation]) -> Iterator[Operation]:
    """One operation instead of all of these, which act on one qubit, the first one first."""
    joined: list[Operation] = []
    for part in parts:
        if joined and not joined[-1].columns and not part.columns:
            joined[-1] = _constant(part, joined[-1])
        else:
            joined.append(part)
    if len(joined) < 2:
        yield from joined
        return
    columns = tuple(column for part in joined for column in part.columns)
    yield Operation(joined[0].targets, (), columns, partial(_multiply_all, tuple(joined)))


def _constant(after: Operation, before: Operation) -> Operation:
    matrix = _multiply(after.make(_NONE), before.make(_NONE))
    return Operation(before.targets, (), (), lambda _angles: matrix)


def _multiply_all(parts: tuple[Operation, ...], angles: Floats) -> Complexes:
    """The product of all parts at the angles of all of them, in their order."""
    product: Complexes | None = None
    start = 0
    for part in parts:
        end = start + len(part.columns)
        matrix = part.make(angles[start:end])
        product = matrix if product is None else _multiply(matrix, product)
        start = end
    assert product is not None  # noqa: S101 -- there are parts
    return product


def _multiply(left: Complexes, right: Complexes) -> Complexes:
    """Products of matrices ``(2, 2, B)`` or ``(2, 2, 1)``."""
    product: Complexes = left[:, 0, None] * right[None, 0] + left[:, 1, None] * right[None, 1]
    return product
