"""Evolve many states at once. A batch of states is ``(2,) * n + (B,)``; axis ``n - 1 - q`` is qubit q."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from qorch_providers.emulators.statevector.matrices import Complexes, Floats

CHUNK_AMPLITUDES = 1 << 14
"""About how many amplitudes are evolved at once: as many as fit into the processor's second-level cache."""


@dataclass(frozen=True)
class Operation:
    """One gate of a shape: its qubits, and the columns of the angles from which its matrix is made.

    ``make`` maps angles ``(A, B)`` to matrices ``(d, d, B)`` or ``(d, d, 1)``.
    """

    targets: tuple[int, ...]
    controls: tuple[int, ...]
    columns: tuple[int, ...]
    make: Callable[[Floats], Complexes]


def distributions(operations: Sequence[Operation], angles: Floats, *, n_qubits: int) -> Floats:
    """Outcome probabilities ``(B, 2**n)`` at angles ``(B, A)``, starting from all qubits 0."""
    weights = evolve(operations, angles, n_qubits=n_qubits).reshape(1 << n_qubits, -1)
    return np.ascontiguousarray((weights.real**2 + weights.imag**2).T)


def evolve(operations: Sequence[Operation], angles: Floats, *, n_qubits: int) -> Complexes:
    """The states ``(2,) * n + (B,)`` at angles ``(B, A)``, starting from all qubits 0."""
    state = np.zeros((2,) * n_qubits + (len(angles),), dtype=np.complex128)
    state[(0,) * n_qubits] = 1.0
    columns = np.ascontiguousarray(angles.T)
    for operation in operations:
        apply(state, operation.make(columns[list(operation.columns)]), operation)
    return state


def apply(state: Complexes, matrices: Complexes, operation: Operation) -> None:
    """Apply one gate to every state, in place."""
    n_qubits = state.ndim - 1
    index: list[int | slice] = [slice(None)] * state.ndim
    for control in operation.controls:
        index[n_qubits - 1 - control] = 1
    parts = []
    for bits in product((0, 1), repeat=len(operation.targets)):
        for target, bit in zip(operation.targets, bits, strict=True):
            index[n_qubits - 1 - target] = bit
        parts.append(state[tuple(index)])
    if len(parts) == 2 and matrices.shape[-1] == 1:
        _apply_same(parts[0], parts[1], *matrices.ravel().tolist())
        return
    sums = [_combine(own, row, parts) for own, row in enumerate(matrices)]
    for part, total in zip(parts, sums, strict=True):
        if total is not part:
            part[...] = total


def _apply_same(zero: Complexes, one: Complexes, a: complex, b: complex, c: complex, d: complex) -> None:
    """Apply ``[[a, b], [c, d]]`` to all states, in place. Few calls of numpy: they are what small states cost."""
    if b == 0 and c == 0:
        if a != 1:
            zero *= a
        if d != 1:
            one *= d
        return
    kept = c * zero
    if a == 0 and d == 0:
        np.multiply(one, b, out=zero)
        one[...] = kept
        return
    zero *= a
    zero += b * one
    one *= d
    one += kept


def _combine(own: int, row: Complexes, parts: list[Complexes]) -> Complexes:
    """One row of the product; zeros are skipped, and a single 1 is not multiplied."""
    used = np.flatnonzero((row != 0).any(axis=-1)).tolist()
    if len(used) == 1 and (row[used[0]] == 1).all():
        return parts[own] if used[0] == own else parts[used[0]].copy()
    total: Complexes = row[used[0]] * parts[used[0]]
    for column in used[1:]:
        total += row[column] * parts[column]
    return total


def chunk_rows(n_qubits: int) -> int:
    """How many states of ``n_qubits`` qubits to evolve at once."""
    return max(1, CHUNK_AMPLITUDES >> n_qubits)
