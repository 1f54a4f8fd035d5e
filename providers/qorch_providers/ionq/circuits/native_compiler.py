"""Compiles a gate list to a native circuit of rotations about Z, about X or Y, and about pairs of axes.

Every gate of qorch is a product of those three up to a global phase. Controlled ones come from
``CR_P(t) = R_P(t/2) exp(i t/4 Z P)``, and ``swap = exp(-i pi/4 (XX + YY + ZZ))``.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from qorch.model.arrays import ByteArray
from qorch.model.circuit import FIXED, GateList
from qorch.model.observable import X, Y, Z
from qorch_providers.ionq.circuits.native import FULL_TURN, MAX_ENTANGLING, AffineTable, NativeCircuit, fold
from qorch_providers.ionq.circuits.slots import Angle, Slot, Value, WireGate, fixed, iterate_gates
from qorch_providers.ionq.options import MS

_AXIS_TURNS: Mapping[int, float] = MappingProxyType({X: 0.0, Y: 0.25})
_ROUNDING = 1e-12


@dataclass(frozen=True)
class _Turns:
    """``factor`` times column ``column`` of a row's turns, plus ``constant``."""

    column: int
    factor: float
    constant: float


def _turns(angle: Angle) -> _Turns:
    return _Turns(angle.column, angle.factor, math.fmod(angle.constant / FULL_TURN, 1.0))


@dataclass(frozen=True)
class _SlotRule:
    """How one open number is computed: a phase of ``frame``, or else the folded entangling angle ``angle``."""

    own: _Turns
    qubit: int = FIXED
    frame: int = FIXED
    angle: int = FIXED


@dataclass(eq=False)
class _Frame:
    """The rotations about Z that one qubit has collected; ``total`` of the constant parts, in turns."""

    turns: list[_Turns] = field(default_factory=lambda: [_Turns(FIXED, 0.0, 0.0)])
    total: float = 0.0
    is_free: bool = False

    def add(self, turns: _Turns) -> None:
        """Add a rotation."""
        self.turns.append(turns)
        self.total += turns.constant
        self.is_free |= turns.column != FIXED


@dataclass(eq=False)
class _Builder:
    """A native circuit that grows gate by gate. ``n_columns`` is the D of the rows."""

    n_qubits: int
    n_columns: int
    entangler: str
    pieces: int
    gates: list[WireGate] = field(default_factory=list)
    frames: list[_Frame] = field(default_factory=list)
    slots: list[_SlotRule] = field(default_factory=list)
    entangling: list[_Turns] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start with frames without rotations."""
        self.frames = [_Frame() for _ in range(self.n_qubits)]

    def z(self, qubit: int, angle: Angle) -> None:
        """Rotate about Z: turn the frame."""
        self._turn(qubit, _turns(angle))

    def plane(self, qubit: int, axis: int, angle: Angle) -> None:
        """Rotate about X or Y: one gate for a quarter or half turn, else two, GPi2 and GPi2."""
        at = _AXIS_TURNS[axis]
        if angle.is_free:
            self._two_pulses(qubit, at, _turns(angle))
            return
        quarters = 4.0 * _turns(angle).constant
        if abs(quarters - round(quarters)) > _ROUNDING:
            self._two_pulses(qubit, at, _turns(angle))
        elif round(quarters) % 4 == 2:
            self._pulse("gpi", qubit, at)
        elif round(quarters) % 4:
            self._pulse("gpi2", qubit, at + (0.5 if round(quarters) % 4 == 3 else 0.0))

    def h(self, qubit: int) -> None:
        """Hadamard: minus a quarter about Y, then half a round about Z."""
        self._pulse("gpi2", qubit, 0.75)
        self._turn(qubit, _Turns(FIXED, 0.0, 0.5))

    def pair(self, qubits: tuple[int, int], axes: tuple[int, int], angle: Angle) -> None:
        """``exp(-i angle/2 P Q)`` for the axes P and Q; axes that the entangler lacks are turned into ones it has."""
        is_ms = self.entangler == MS
        foreign = [(qubit, axis) for qubit, axis in zip(qubits, axes, strict=True) if (axis == Z) == is_ms]
        for qubit, axis in foreign:
            self._change(qubit, axis, is_before=True)
        # For MS a Z was turned into X.
        self._entangle(qubits, tuple(X if axis == Z else axis for axis in axes), _turns(angle))
        for qubit, axis in foreign:
            self._change(qubit, axis, is_before=False)

    def _change(self, qubit: int, axis: int, *, is_before: bool) -> None:
        if axis == Y:
            self.plane(qubit, X, fixed(math.pi / 2 if is_before else -math.pi / 2))
        else:
            self.h(qubit)

    def _turn(self, qubit: int, turns: _Turns) -> None:
        self.frames[qubit].add(turns)

    def _two_pulses(self, qubit: int, at: float, turns: _Turns) -> None:
        """``R(t) = Rz(p + 1/2) GPi2(0) Rz(t + 1/2) GPi2(0) Rz(1/4 - at)`` in turns, where p is ``at - 1/4``."""
        self._turn(qubit, _Turns(FIXED, 0.0, 0.25 - at))
        self._pulse("gpi2", qubit, 0.0)
        self._turn(qubit, _Turns(turns.column, turns.factor, turns.constant + 0.5))
        self._pulse("gpi2", qubit, 0.0)
        self._turn(qubit, _Turns(FIXED, 0.0, at + 0.25))

    def _pulse(self, name: str, qubit: int, phase: float) -> None:
        self.gates.append({"gate": name, "target": qubit, "phase": self._phase(qubit, _Turns(FIXED, 0.0, phase))})

    def _phase(self, qubit: int, own: _Turns) -> float | Slot:
        """A phase against the frame of its qubit; a number if the frame is the same in all rows."""
        frame = self.frames[qubit]
        if own.column == FIXED and not frame.is_free:
            return (own.constant - frame.total) % 1.0
        return self._slot(_SlotRule(own, qubit=qubit, frame=len(frame.turns) - 1))

    def _slot(self, rule: _SlotRule) -> Slot:
        self.slots.append(rule)
        return Slot(len(self.slots) - 1)

    def _entangle(self, qubits: tuple[int, int], axes: tuple[int, ...], turns: _Turns) -> None:
        if turns.column == FIXED:
            self._entangle_fixed(qubits, axes, turns.constant)
            return
        number = len(self.entangling)
        self.entangling.append(turns)
        # The correction for folding is a column of its own.
        mark = _Turns(self.n_columns + number, 0.5, 0.0)
        if self.entangler == MS:
            for _ in range(self.pieces):
                self._ms(qubits, axes, mark, self._slot(_SlotRule(_Turns(FIXED, 0.0, 0.0), angle=number)))
            return
        self._zz(qubits, self._slot(_SlotRule(_Turns(FIXED, 0.0, 0.0), angle=number)))
        for qubit in qubits:
            self._turn(qubit, mark)

    def _entangle_fixed(self, qubits: tuple[int, int], axes: tuple[int, ...], turns: float) -> None:
        folded, mark = (float(array) for array in fold(np.array(turns), entangler=self.entangler))
        if folded == 0.0 and mark == 0.0:
            return
        made_up = _Turns(FIXED, 0.0, 0.5 * mark)
        if self.entangler == MS:
            pieces = 2 if folded > MAX_ENTANGLING + _ROUNDING else 1
            for _ in range(pieces):
                self._ms(qubits, axes, made_up, folded / pieces)
            return
        if folded != 0.0:
            self._zz(qubits, folded)
        for qubit in qubits:
            self._turn(qubit, made_up)

    def _ms(self, qubits: tuple[int, int], axes: tuple[int, ...], sign: _Turns, angle: float | Slot) -> None:
        """MS about ``axes``; ``sign`` turns the first axis round."""
        first = _Turns(sign.column, sign.factor, sign.constant + _AXIS_TURNS[axes[0]])
        phases = [self._phase(qubits[0], first), self._phase(qubits[1], _Turns(FIXED, 0.0, _AXIS_TURNS[axes[1]]))]
        self._two("ms", qubits, phases=phases, angle=angle)

    def _zz(self, qubits: tuple[int, int], angle: float | Slot) -> None:
        self._two("zz", qubits, angle=angle)

    def _two(self, name: str, qubits: tuple[int, int], **numbers: Value) -> None:
        self.gates.append({"gate": name, "targets": list(qubits), **numbers})


def compile_native(gates: GateList, *, basis: ByteArray, entangler: str, pieces: int = 1) -> NativeCircuit:
    """The circuit, and the rotations that turn a measurement in ``basis (n,)`` into one of Z.

    ``pieces`` 2: every free MS rotation is made of two halves, for the rows that ``exceeds`` names.
    """
    builder = _Builder(gates.n_qubits, gates.n_columns, entangler, pieces)
    for name, qubits, angles in iterate_gates(gates):
        _RULES[name](builder, qubits, angles)
    for qubit, letter in enumerate(basis.tolist()):
        if letter == Y:
            builder.z(qubit, fixed(-math.pi / 2))
        if letter in (X, Y):
            builder.h(qubit)
    return _finish(builder)


def _finish(builder: _Builder) -> NativeCircuit:
    lengths = [len(frame.turns) for frame in builder.frames]
    starts = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    frames = [rule.frame + int(starts[rule.qubit]) if rule.angle == FIXED else FIXED for rule in builder.slots]
    return NativeCircuit(
        gates=tuple(builder.gates),
        entangler=builder.entangler,
        entangling=_table(builder.entangling),
        turns=_table([turns for frame in builder.frames for turns in frame.turns]),
        starts=starts,
        phases=_table([rule.own for rule in builder.slots]),
        frames=np.array(frames, dtype=np.int64),
        angles=np.array([rule.angle for rule in builder.slots], dtype=np.int64),
        share=1.0 / builder.pieces,
    )


def _table(rules: list[_Turns]) -> AffineTable:
    return AffineTable(
        np.array([rule.column for rule in rules], dtype=np.int64),
        np.array([rule.factor for rule in rules], dtype=np.float64),
        np.array([rule.constant for rule in rules], dtype=np.float64),
    )


_Qubits = tuple[int, ...]
_Angles = tuple[Angle, ...]
_Rule = Callable[[_Builder, _Qubits, _Angles], None]


def _fixed_z(radians: float) -> _Rule:
    return lambda builder, qubits, angles: builder.z(qubits[0], fixed(radians))


def _fixed_plane(axis: int, radians: float) -> _Rule:
    return lambda builder, qubits, angles: builder.plane(qubits[0], axis, fixed(radians))


def _plane(axis: int) -> _Rule:
    return lambda builder, qubits, angles: builder.plane(qubits[0], axis, angles[0])


def _pair(first: int, second: int) -> _Rule:
    return lambda builder, qubits, angles: builder.pair((qubits[0], qubits[1]), (first, second), angles[0])


def _z(builder: _Builder, qubits: _Qubits, angles: _Angles) -> None:
    builder.z(qubits[0], angles[0])


def _h(builder: _Builder, qubits: _Qubits, angles: _Angles) -> None:
    builder.h(qubits[0])


def _u(builder: _Builder, qubits: _Qubits, angles: _Angles) -> None:
    theta, phi, lam = angles
    builder.z(qubits[0], lam)
    builder.plane(qubits[0], Y, theta)
    builder.z(qubits[0], phi)


def _rotate(builder: _Builder, qubit: int, axis: int, angle: Angle) -> None:
    if axis == Z:
        builder.z(qubit, angle)
    else:
        builder.plane(qubit, axis, angle)


def _controlled(axis: int) -> _Rule:
    """A Pauli under control: its rotation by half a round, and a quarter about Z for the phase."""

    def apply(builder: _Builder, qubits: _Qubits, angles: _Angles) -> None:
        builder.z(qubits[0], fixed(math.pi / 2))
        _controlled_rotation(axis)(builder, qubits, (fixed(math.pi),))

    return apply


def _controlled_rotation(axis: int) -> _Rule:
    def apply(builder: _Builder, qubits: _Qubits, angles: _Angles) -> None:
        _rotate(builder, qubits[1], axis, angles[0].times(0.5))
        builder.pair((qubits[0], qubits[1]), (Z, axis), angles[0].times(-0.5))

    return apply


def _cp(builder: _Builder, qubits: _Qubits, angles: _Angles) -> None:
    builder.z(qubits[0], angles[0].times(0.5))
    _controlled_rotation(Z)(builder, qubits, angles)


def _ch(builder: _Builder, qubits: _Qubits, angles: _Angles) -> None:
    builder.plane(qubits[1], Y, fixed(-math.pi / 4))
    _controlled(Z)(builder, qubits, ())
    builder.plane(qubits[1], Y, fixed(math.pi / 4))


def _swap(builder: _Builder, qubits: _Qubits, angles: _Angles) -> None:
    for axis in (X, Y, Z):
        builder.pair((qubits[0], qubits[1]), (axis, axis), fixed(math.pi / 2))


def _ccx(builder: _Builder, qubits: _Qubits, angles: _Angles) -> None:
    """The textbook network of six CNOTs (Barenco et al., Phys. Rev. A 52, 3457 (1995)); T is a turn of the frame."""
    first, second, target = qubits
    eighth = math.pi / 4
    builder.h(target)
    for control, turned, sign in ((second, target, -1), (first, target, 1), (second, target, -1), (first, target, 1)):
        _controlled(X)(builder, (control, turned), ())
        builder.z(turned, fixed(sign * eighth))
    builder.h(target)
    builder.z(second, fixed(eighth))
    _controlled(X)(builder, (first, second), ())
    builder.z(first, fixed(eighth))
    builder.z(second, fixed(-eighth))
    _controlled(X)(builder, (first, second), ())


_RULES: Mapping[str, _Rule] = MappingProxyType(
    {
        "x": _fixed_plane(X, math.pi),
        "y": _fixed_plane(Y, math.pi),
        "z": _fixed_z(math.pi),
        "h": _h,
        "s": _fixed_z(math.pi / 2),
        "sdg": _fixed_z(-math.pi / 2),
        "t": _fixed_z(math.pi / 4),
        "tdg": _fixed_z(-math.pi / 4),
        "sx": _fixed_plane(X, math.pi / 2),
        "sxdg": _fixed_plane(X, -math.pi / 2),
        "rx": _plane(X),
        "ry": _plane(Y),
        "rz": _z,
        "p": _z,
        "u": _u,
        "cx": _controlled(X),
        "cy": _controlled(Y),
        "cz": _controlled(Z),
        "ch": _ch,
        "swap": _swap,
        "crx": _controlled_rotation(X),
        "cry": _controlled_rotation(Y),
        "crz": _controlled_rotation(Z),
        "cp": _cp,
        "rxx": _pair(X, X),
        "ryy": _pair(Y, Y),
        "rzz": _pair(Z, Z),
        "rzx": _pair(Z, X),
        "ccx": _ccx,
    }
)
