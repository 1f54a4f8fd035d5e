"""A parametrised gate list, compiled once: gates, angles as ``A @ parameters + b``, and a digest."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

import numpy as np
import numpy.typing as npt

from qorch.errors import ParameterError
from qorch.model.arrays import FloatArray, IntArray, freeze
from qorch.model.gates import GATES, MAX_QUBITS_PER_GATE, Gate
from qorch.model.qiskit.expression import NonlinearAngle

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FIXED = -1
"""In ``GateList.columns``: this angle is the number in ``GateList.constants``, or there is no such angle."""


CHUNK_ROWS = 4096
"""Rows computed at a time: numpy holds the interpreter's lock while it gathers, and event loops must go on."""


class Immutable:
    """A dataclass that is its own copy, and is pickled without what it has cached."""

    def __copy__(self) -> Self:
        """Itself."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Itself."""
        return self

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]:
        """Made again from its fields, which also makes its arrays read-only again."""
        own = cast("DataclassInstance", self)
        return type(self), tuple(getattr(self, field.name) for field in fields(own))


class GateAngle(NamedTuple):
    """An angle of a gate: ``radians`` if ``column`` is FIXED, or else what is in that column of a row of angles."""

    column: int
    radians: float


class Instruction(NamedTuple):
    """One gate of a gate list, on its qubits and with its angles."""

    gate: Gate
    qubits: tuple[int, ...]
    angles: tuple[GateAngle, ...]


@dataclass(frozen=True, eq=False)
class GateList(Immutable):
    """The gates of a circuit with G gates and D free angles; what a backend executes at rows of angles.

    ``opcodes (G,)``; ``qubits (G, 3)``, padded with -1; ``columns (G, 3)``: which of the D columns of a row
    is the gate's j-th angle, or FIXED; ``constants (G, 3)``: the angle in radians if it is fixed.
    Every column belongs to exactly one angle of one gate, in the order of the gates. Equal means: of equal digests.
    """

    n_qubits: int
    opcodes: npt.NDArray[np.uint8]
    qubits: npt.NDArray[np.int16]
    columns: npt.NDArray[np.int32]
    constants: FloatArray

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for array in (self.opcodes, self.qubits, self.columns, self.constants):
            freeze(array)

    def __repr__(self) -> str:
        """Its size, without the arrays."""
        return f"GateList({self.n_qubits} qubits, {self.n_gates} gates, {self.n_columns} free angles)"

    def __eq__(self, other: object) -> bool:
        """Whether it has the same gates."""
        return self is other or (isinstance(other, GateList) and self.digest == other.digest)

    def __hash__(self) -> int:
        """Of the digest."""
        return hash(self.digest)

    def instructions(self) -> Iterator[Instruction]:
        """The gates one by one, in order: for compilers, never for the rows of a job."""
        for opcode, qubits, columns, constants in zip(
            self.opcodes.tolist(), self.qubits.tolist(), self.columns.tolist(), self.constants.tolist(), strict=True
        ):
            gate = GATES[opcode]
            angles = tuple(map(GateAngle, columns[: gate.n_angles], constants[: gate.n_angles]))
            yield Instruction(gate, tuple(qubits[: gate.n_qubits]), angles)

    @property
    def n_gates(self) -> int:
        """G."""
        return len(self.opcodes)

    @cached_property
    def n_columns(self) -> int:
        """D."""
        return int((self.columns != FIXED).sum())

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the gates alone: no names, nothing of the process or the machine."""
        hasher = hashlib.sha256(b"qorch-gates-1")
        hasher.update(np.array([self.n_qubits, self.n_gates], dtype="<i8").tobytes())
        for array, code in (
            (self.opcodes, "u1"),
            (self.qubits, "<i2"),
            (self.columns, "<i4"),
            (self.constants, "<f8"),
        ):
            hasher.update(np.ascontiguousarray(array, dtype=code).tobytes())
        return hasher.digest()

    @cached_property
    def column_frequencies(self) -> tuple[tuple[int, float], ...]:
        """For each of the D columns, the (number, spacing) of the frequencies of its angle."""
        gates, slots = np.nonzero(self.columns != FIXED)
        return tuple(GATES[self.opcodes[gate]].frequencies[slot] for gate, slot in zip(gates, slots, strict=True))


@dataclass(frozen=True, eq=False)
class AngleMap(Immutable):
    """How P parameters become D angles: ``angle_d = b_d + sum_k coefficient_dk * parameter[index_dk]``.

    ``A`` is kept sparse, ``indices (D, K)`` and ``coefficients (D, K)`` padded with 0, and summed in a fixed
    order: a matrix product may round differently with the number of rows, and a row's key is its exact bits.
    """

    n_parameters: int
    indices: IntArray
    coefficients: FloatArray
    offsets: FloatArray
    nonlinear: tuple[NonlinearAngle, ...] = ()

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for array in (self.indices, self.coefficients, self.offsets):
            freeze(array)

    def __repr__(self) -> str:
        """Its size, without the arrays."""
        return f"AngleMap({self.n_parameters} parameters to {len(self.offsets)} angles)"

    @cached_property
    def is_identity(self) -> bool:
        """Whether the angles are the parameters themselves."""
        width = len(self.offsets)
        return (
            not self.nonlinear
            and self.n_parameters == width
            and self.indices.shape == (width, 1)
            and bool((self.indices[:, 0] == np.arange(width)).all())
            and bool((self.coefficients == 1.0).all())
            and not self.offsets.any()
        )

    def angles(self, values: FloatArray) -> FloatArray:
        """The angles ``(N, D)`` of parameter values ``(N, P)``, in radians.

        Raises ParameterError if a non-linear expression is not finite at a row.
        """
        if self.is_identity:
            return values
        angles = np.empty((len(values), len(self.offsets)))
        for start in range(0, len(values), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            angles[rows] = self.offsets
            for term in range(self.indices.shape[1]):
                angles[rows] += self.coefficients[:, term] * values[rows][:, self.indices[:, term]]
        for angle in self.nonlinear:
            angles[:, angle.column] = angle.value.evaluate(values)
        if self.nonlinear and not np.isfinite(angles).all():
            row = int(np.argwhere(~np.isfinite(angles))[0, 0])
            raise ParameterError(f"an angle expression of the circuit is not finite at row {row}")
        return angles

    @cached_property
    def matrix(self) -> FloatArray:
        """A, dense, ``(D, P)``: the derivative of the affine angles."""
        matrix = np.zeros((len(self.offsets), self.n_parameters))
        for term in range(self.indices.shape[1]):
            np.add.at(matrix, (np.arange(len(self.offsets)), self.indices[:, term]), self.coefficients[:, term])
        return matrix

    def driven_columns(self, wanted: npt.NDArray[np.bool_]) -> IntArray:
        """The columns whose angle depends on any of the wanted parameters ``(P,)``."""
        driven = (self.matrix[:, wanted] != 0.0).any(axis=1)
        for angle in self.nonlinear:
            driven[angle.column] = any(wanted[index] for index in angle.parameters)
        return np.flatnonzero(driven)

    def to_bytes(self) -> bytes:
        """A canonical encoding, for digests."""
        arrays = b"".join(
            np.ascontiguousarray(array, dtype=code).tobytes()
            for array, code in ((self.indices, "<i8"), (self.coefficients, "<f8"), (self.offsets, "<f8"))
        )
        shape = np.array([self.n_parameters, *self.indices.shape], dtype="<i8").tobytes()
        return shape + arrays + b"|".join(angle.to_bytes() for angle in self.nonlinear)


@dataclass(frozen=True, eq=False)
class Circuit(Immutable):
    """A compiled circuit: ``gates``, the map from ``parameters`` (their names) to angles, and a digest."""

    gates: GateList
    angle_map: AngleMap
    parameters: tuple[str, ...]

    def __repr__(self) -> str:
        """Its size, without the arrays."""
        return f"Circuit({self.n_qubits} qubits, {self.gates.n_gates} gates, {len(self.parameters)} parameters)"

    @property
    def n_qubits(self) -> int:
        """How many qubits the circuit has."""
        return self.gates.n_qubits

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of gates and angle map; parameter names do not count."""
        return hashlib.sha256(b"qorch-circuit-1" + self.gates.digest + self.angle_map.to_bytes()).digest()

    @cached_property
    def free(self) -> "Circuit":
        """The same gates with every angle a parameter of its own: what shifted rows are rows of."""
        return free_circuit(self.gates)


def free_circuit(gates: GateList) -> Circuit:
    """The circuit of ``gates`` whose parameters are its D angles."""
    width = gates.n_columns
    identity = AngleMap(
        n_parameters=width,
        indices=np.arange(width).reshape(width, 1),
        coefficients=np.ones((width, 1)),
        offsets=np.zeros(width),
    )
    return Circuit(gates, identity, tuple(f"angle[{column}]" for column in range(width)))


def build_gate_list(n_qubits: int, gates: list[tuple[int, tuple[int, ...], tuple[float | None, ...]]]) -> GateList:
    """Arrays from ``(opcode, qubits, angles)`` triples, where an angle None is the next free column."""
    count = len(gates)
    opcodes = np.zeros(count, dtype=np.uint8)
    qubits = np.full((count, MAX_QUBITS_PER_GATE), -1, dtype=np.int16)
    columns = np.full((count, 3), FIXED, dtype=np.int32)
    constants = np.zeros((count, 3))
    next_column = 0
    for index, (opcode, wires, angles) in enumerate(gates):
        opcodes[index] = opcode
        qubits[index, : len(wires)] = wires
        for slot, angle in enumerate(angles):
            if angle is None:
                columns[index, slot] = next_column
                next_column += 1
            else:
                constants[index, slot] = angle
    return GateList(n_qubits, opcodes, qubits, columns, constants)
