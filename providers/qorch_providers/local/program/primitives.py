"""Gates as the few primitives that the engines know: rotations and Pauli gates of one qubit, permutations, and Pauli
rotations of two qubits.

Global phases are dropped everywhere: nothing that is measured depends on them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import pi
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from qorch.model.circuit import FIXED, GateList
from qorch.model.gates import GATES
from qorch.model.observable import X, Y

AXIS_X, AXIS_Y, AXIS_Z, FLIP_X, FLIP_Z, NOISE = range(6)
"""Kinds of one-qubit primitives. FLIP_X and FLIP_Z are the Paulis X and Z; NOISE is a Pauli drawn per shot."""


@dataclass(frozen=True)
class Angle:
    """``constant + sum(coefficient * column)`` in radians."""

    constant: float
    terms: tuple[tuple[int, float], ...] = ()

    def scaled(self, factor: float) -> "Angle":
        """The angle times a factor."""
        terms = tuple((column, coefficient * factor) for column, coefficient in self.terms)
        return Angle(self.constant * factor, terms)

    def plus(self, other: "Angle") -> "Angle":
        """The sum of two angles."""
        return Angle(self.constant + other.constant, self.terms + other.terms)


NO_ANGLE = Angle(0.0)


@dataclass(frozen=True)
class Turn:
    """A gate on one qubit: a rotation about an axis by ``angle``, X or Z (a flip), or the noise ``source``."""

    qubit: int
    kind: int
    angle: Angle = NO_ANGLE
    source: int = -1


@dataclass(frozen=True)
class Shuffle:
    """A signed permutation: X on ``target`` if all ``controls`` are 1; without target, the sign -1 then."""

    controls: tuple[int, ...]
    target: int | None

    @property
    def qubits(self) -> tuple[int, ...]:
        """What it touches."""
        return self.controls if self.target is None else (*self.controls, self.target)


@dataclass(frozen=True)
class PairTurn:
    """``exp(-i angle/2 P)`` for a Pauli string P on two qubits, as masks: Y is in both."""

    x_mask: int
    z_mask: int
    angle: Angle

    @property
    def qubits(self) -> tuple[int, ...]:
        """What it touches."""
        both = self.x_mask | self.z_mask
        return tuple(qubit for qubit in range(both.bit_length()) if both >> qubit & 1)


Primitive = Turn | Shuffle | PairTurn
Qubits = tuple[int, ...]
Angles = tuple[Angle, ...]


def _turn(kind: int, radians: float | None = None) -> Callable[[Qubits, Angles], list[Primitive]]:
    """A builder of one rotation by ``radians``, or by the gate's own angle if that is None."""

    def build(qubits: Qubits, angles: Angles) -> list[Primitive]:
        return [Turn(qubits[0], kind, angles[0] if radians is None else Angle(radians))]

    return build


def _flips(*kinds: int) -> Callable[[Qubits, Angles], list[Primitive]]:
    return lambda qubits, angles: [Turn(qubits[0], kind) for kind in kinds]


def _hadamard(qubits: Qubits, angles: Angles) -> list[Primitive]:
    return [Turn(qubits[0], FLIP_Z), Turn(qubits[0], AXIS_Y, Angle(pi / 2))]


def _u(qubits: Qubits, angles: Angles) -> list[Primitive]:
    theta, phi, lam = angles
    return [Turn(qubits[0], AXIS_Z, lam), Turn(qubits[0], AXIS_Y, theta), Turn(qubits[0], AXIS_Z, phi)]


def _cx(qubits: Qubits, angles: Angles) -> list[Primitive]:
    return [Shuffle(qubits[:-1], qubits[-1])]


def _cz(qubits: Qubits, angles: Angles) -> list[Primitive]:
    return [Shuffle(qubits, None)]


def _swap(qubits: Qubits, angles: Angles) -> list[Primitive]:
    a, b = qubits
    return [Shuffle((a,), b), Shuffle((b,), a), Shuffle((a,), b)]


def _cy(qubits: Qubits, angles: Angles) -> list[Primitive]:
    control, target = qubits
    sdg, s = Turn(target, AXIS_Z, Angle(-pi / 2)), Turn(target, AXIS_Z, Angle(pi / 2))
    return [sdg, Shuffle((control,), target), s]


def _ch(qubits: Qubits, angles: Angles) -> list[Primitive]:
    """H is Z seen from an axis turned by π/4."""
    target = qubits[1]
    before, after = Turn(target, AXIS_Y, Angle(-pi / 4)), Turn(target, AXIS_Y, Angle(pi / 4))
    return [before, Shuffle(qubits, None), after]


def _controlled(axis: int) -> Callable[[Qubits, Angles], list[Primitive]]:
    """A controlled rotation: half of the angle on the target, and that half undone if the control is 0."""

    def build(qubits: Qubits, angles: Angles) -> list[Primitive]:
        half = angles[0].scaled(0.5)
        return [Turn(qubits[1], axis, half), _pair(qubits, (AXIS_Z, axis), half.scaled(-1.0))]

    return build


def _cp(qubits: Qubits, angles: Angles) -> list[Primitive]:
    half = angles[0].scaled(0.5)
    turns: list[Primitive] = [Turn(qubit, AXIS_Z, half) for qubit in qubits]
    return [*turns, _pair(qubits, (AXIS_Z, AXIS_Z), half.scaled(-1.0))]


def _pair(qubits: Qubits, axes: tuple[int, int], angle: Angle) -> PairTurn:
    x_mask = sum(1 << qubit for qubit, axis in zip(qubits, axes, strict=True) if axis != AXIS_Z)
    z_mask = sum(1 << qubit for qubit, axis in zip(qubits, axes, strict=True) if axis != AXIS_X)
    return PairTurn(x_mask, z_mask, angle)


def _rotation_of_two(first: int, second: int) -> Callable[[Qubits, Angles], list[Primitive]]:
    return lambda qubits, angles: [_pair(qubits, (first, second), angles[0])]


_BUILDERS: MappingProxyType[str, Callable[[Qubits, Angles], list[Primitive]]] = MappingProxyType(
    {
        "x": _flips(FLIP_X),
        "y": _flips(FLIP_Z, FLIP_X),
        "z": _flips(FLIP_Z),
        "h": _hadamard,
        "s": _turn(AXIS_Z, pi / 2),
        "sdg": _turn(AXIS_Z, -pi / 2),
        "t": _turn(AXIS_Z, pi / 4),
        "tdg": _turn(AXIS_Z, -pi / 4),
        "sx": _turn(AXIS_X, pi / 2),
        "sxdg": _turn(AXIS_X, -pi / 2),
        "rx": _turn(AXIS_X),
        "ry": _turn(AXIS_Y),
        "rz": _turn(AXIS_Z),
        "p": _turn(AXIS_Z),
        "u": _u,
        "cx": _cx,
        "cy": _cy,
        "cz": _cz,
        "ch": _ch,
        "swap": _swap,
        "crx": _controlled(AXIS_X),
        "cry": _controlled(AXIS_Y),
        "crz": _controlled(AXIS_Z),
        "cp": _cp,
        "rxx": _rotation_of_two(AXIS_X, AXIS_X),
        "ryy": _rotation_of_two(AXIS_Y, AXIS_Y),
        "rzz": _rotation_of_two(AXIS_Z, AXIS_Z),
        "rzx": _rotation_of_two(AXIS_Z, AXIS_X),
        "ccx": _cx,
    }
)


def lower_gates(gates: GateList, *, is_noisy: bool) -> Iterator[Primitive]:
    """The primitives of all gates, in order; with noise, one source on every qubit of every gate.

    Sources are numbered in the order of ``noise.find_sites``.
    """
    source = 0
    for opcode, wires, columns, constants in zip(
        gates.opcodes.tolist(),
        gates.qubits.tolist(),
        gates.columns.tolist(),
        gates.constants.tolist(),
        strict=True,
    ):
        gate = GATES[opcode]
        pairs = zip(columns[: gate.n_angles], constants[: gate.n_angles], strict=True)
        angles = tuple(
            Angle(constant) if column == FIXED else Angle(0.0, ((column, 1.0),)) for column, constant in pairs
        )
        qubits = tuple(wires[: gate.n_qubits])
        yield from _BUILDERS[gate.name](qubits, angles)
        if is_noisy:
            for qubit in qubits:
                yield Turn(qubit, NOISE, source=source)
                source += 1


def basis_turns(basis: npt.NDArray[np.uint8]) -> Iterator[Turn]:
    """The rotations that turn a measurement in ``basis (n,)`` into one in the computational basis."""
    for qubit, letter in enumerate(basis.tolist()):
        if letter == Y:
            yield Turn(qubit, AXIS_X, Angle(pi / 2))
        if letter == X:
            yield Turn(qubit, AXIS_Y, Angle(-pi / 2))
