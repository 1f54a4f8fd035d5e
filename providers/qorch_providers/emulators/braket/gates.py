"""Braket's gates: how many angles and qubits each has, and its matrices at many angles at once."""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from qorch_providers.emulators.statevector import matrices
from qorch_providers.emulators.statevector.matrices import FIXED, PAULIS, Complexes, Floats

Make = Callable[[Floats], Complexes]
_TURN = 2.0 * np.pi


@dataclass(frozen=True)
class EmulatedGate:
    """One gate. ``make`` maps angles ``(A, B)`` to matrices ``(d, d, B)`` or ``(d, d, 1)`` of the targets.

    The first ``n_controls`` qubits of a call are controls, the others are targets.
    """

    n_angles: int
    n_targets: int
    make: Make
    n_controls: int = 0

    @property
    def n_qubits(self) -> int:
        """Controls and targets."""
        return self.n_controls + self.n_targets


def _constant(matrix: Complexes, *, n_controls: int = 0) -> EmulatedGate:
    table = matrix[:, :, None]
    return EmulatedGate(0, len(matrix).bit_length() - 1, lambda _angles: table, n_controls)


def _rotation(letters: str) -> EmulatedGate:
    return EmulatedGate(1, len(letters), lambda angles: matrices.rotation(letters, angles[0]))


def _phase_of(state: int) -> EmulatedGate:
    """A phase on one of four basis states."""

    def make(angles: Floats) -> Complexes:
        table = np.zeros((4, 4, angles.shape[1]), dtype=np.complex128)
        table[range(4), range(4)] = 1.0
        table[state, state] = np.exp(1j * angles[0])
        return table

    return EmulatedGate(1, 2, make)


def _two_by_two(entries: Callable[[Floats], tuple[Complexes, ...]], n_angles: int) -> EmulatedGate:
    def make(angles: Floats) -> Complexes:
        table = np.empty((2, 2, angles.shape[1]), dtype=np.complex128)
        table[0, 0], table[0, 1], table[1, 0], table[1, 1] = entries(angles)
        return table

    return EmulatedGate(n_angles, 1, make)


def _middle(entries: Callable[[Floats], tuple[Complexes, ...]]) -> EmulatedGate:
    """A gate that mixes 01 and 10, with the same entries on the diagonal and beside it."""

    def make(angles: Floats) -> Complexes:
        table = np.zeros((4, 4, angles.shape[1]), dtype=np.complex128)
        table[0, 0] = table[3, 3] = 1.0
        table[1, 1], table[1, 2] = entries(angles)
        table[2, 2], table[2, 1] = table[1, 1], table[1, 2]
        return table

    return EmulatedGate(1, 2, make)


def _u(angles: Floats) -> tuple[Complexes, ...]:
    cos, sin = np.cos(angles[0] / 2) + 0j, np.sin(angles[0] / 2) + 0j
    phi, lam = np.exp(1j * angles[1]), np.exp(1j * angles[2])
    return cos, -lam * sin, phi * sin, phi * lam * cos


def _prx(angles: Floats) -> tuple[Complexes, ...]:
    cos, sin = np.cos(angles[0] / 2) + 0j, -1j * np.sin(angles[0] / 2)
    phi = np.exp(1j * angles[1])
    return cos, sin * phi.conj(), sin * phi, cos


def _ms(angles: Floats) -> Complexes:
    return matrices.molmer_sorensen(angles[0] / _TURN, angles[1] / _TURN, angles[2] / _TURN)


def _global_phase(angles: Floats) -> Complexes:
    return np.asarray(np.exp(1j * angles[0])[None, None, :])


_ISWAP = np.diag([1, 0, 0, 1]).astype(np.complex128)
_ISWAP[1, 2] = _ISWAP[2, 1] = 1j
_ECR = np.array([[0, 0, 1, 1j], [0, 0, 1j, 1], [1, -1j, 0, 0], [-1j, 1, 0, 0]]) / np.sqrt(2.0)

GATES = MappingProxyType(
    {name: _constant(FIXED[name]) for name in ("x", "y", "z", "h", "s", "si", "t", "ti", "v", "vi", "swap")}
    | {name: _rotation(name[1:].upper()) for name in ("rx", "ry", "rz")}
    | {name: _rotation(name.upper()) for name in ("xx", "yy", "zz")}
    | {f"c{name}": _constant(FIXED[name], n_controls=1) for name in ("y", "z", "v", "swap")}
    | {f"cphaseshift{state:02b}": _phase_of(state) for state in range(3)}
    | {
        "i": _constant(PAULIS["I"]),
        "cnot": _constant(FIXED["x"], n_controls=1),
        "ccnot": _constant(FIXED["x"], n_controls=2),
        "ecr": _constant(_ECR),
        "iswap": _constant(_ISWAP),
        "phaseshift": EmulatedGate(1, 1, lambda angles: matrices.phase(angles[0])),
        "cphaseshift": EmulatedGate(1, 1, lambda angles: matrices.phase(angles[0]), n_controls=1),
        "pswap": _middle(lambda angles: (np.zeros_like(angles[0]) + 0j, np.exp(1j * angles[0]))),
        "xy": _middle(lambda angles: (np.cos(angles[0] / 2) + 0j, 1j * np.sin(angles[0] / 2))),
        "gpi": EmulatedGate(1, 1, lambda angles: matrices.gpi(angles[0] / _TURN)),
        "gpi2": EmulatedGate(1, 1, lambda angles: matrices.gpi2(angles[0] / _TURN)),
        "ms": EmulatedGate(3, 2, _ms),
        "prx": _two_by_two(_prx, 2),
        "U": _two_by_two(_u, 3),
        "gphase": EmulatedGate(1, 0, _global_phase),
    }
)


def invert(make: Make) -> Make:
    """The inverse of a gate."""
    return lambda angles: np.conj(np.swapaxes(make(angles), 0, 1))


def raise_to(make: Make, exponent: float) -> Make:
    """A power of a gate; for one that is not whole, the principal one."""

    def power(angles: Floats) -> Complexes:
        table = np.moveaxis(make(angles), -1, 0)
        values, vectors = np.linalg.eig(table)
        powers = np.exp(1j * exponent * np.angle(values))
        return np.moveaxis((vectors * powers[:, None, :]) @ np.linalg.inv(vectors), 0, -1)

    return power
