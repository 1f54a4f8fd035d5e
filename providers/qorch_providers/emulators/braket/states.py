"""One final state, pure or mixed, and what can be asked of it."""

import numpy as np

from qorch_providers.emulators.braket.lowering import LoweredProgram
from qorch_providers.emulators.statevector.evolution import Operation, apply, evolve
from qorch_providers.emulators.statevector.matrices import Complexes, Floats

Rotation = tuple[tuple[int, ...], Complexes]
"""Places of qubits, and a matrix that turns what is to be measured into the computational basis."""


class FinalState:
    """The state of one row. Qubits are named by their place in the order of labels."""

    def __init__(self, lowered: LoweredProgram, row: int) -> None:
        """Evolve it."""
        self._n_qubits = lowered.n_qubits
        self._is_density = lowered.is_density
        width = (2 if lowered.is_density else 1) * lowered.n_qubits
        self._state = evolve(lowered.operations, lowered.angles[row : row + 1], n_qubits=width)

    def probabilities(self, rotations: list[Rotation]) -> Floats:
        """``(2,) * n``, after these rotations; axis i is qubit i."""
        state = self._state.copy() if rotations else self._state
        for places, matrix in rotations:
            self._rotate(state, places, matrix)
        if self._is_density:
            size = 1 << self._n_qubits
            return np.clip(np.diagonal(state.reshape(size, size)).real, 0.0, None).reshape((2,) * self._n_qubits)
        vector = state[..., 0]
        return np.asarray(vector.real**2 + vector.imag**2)

    def amplitudes(self) -> Complexes:
        """``(2**n,)`` of a pure state."""
        return self._state.reshape(-1)

    def density(self, places: tuple[int, ...]) -> Complexes:
        """The density matrix of these qubits, in this order."""
        n_qubits = self._n_qubits
        others = [index for index in range(n_qubits) if index not in places]
        order = [*places, *others]
        kept, traced = 1 << len(places), 1 << len(others)
        if not self._is_density:
            vector = self._state[..., 0].transpose(order).reshape(kept, traced)
            return np.asarray(vector @ vector.conj().T)
        both = [*order, *(index + n_qubits for index in order)]
        table = self._state[..., 0].transpose(both).reshape(kept, traced, kept, traced)
        return np.asarray(np.einsum("iaja->ij", table))

    def _rotate(self, state: Complexes, places: tuple[int, ...], matrix: Complexes) -> None:
        width = state.ndim - 1
        targets = tuple(width - 1 - place for place in places)
        apply(state, matrix[:, :, None], Operation(targets, (), (), _unused))
        if self._is_density:
            mirrored = tuple(target - self._n_qubits for target in targets)
            apply(state, matrix.conj()[:, :, None], Operation(mirrored, (), (), _unused))


def _unused(angles: Floats) -> Complexes:
    raise NotImplementedError


def marginal(probabilities: Floats, places: tuple[int, ...]) -> Floats:
    """``(2**k,)`` of these axes, in this order, the first as the most significant bit."""
    others = tuple(axis for axis in range(probabilities.ndim) if axis not in places)
    table = probabilities.sum(axis=others)
    left = sorted(places)
    return np.ascontiguousarray(table.transpose([left.index(place) for place in places])).reshape(-1)
