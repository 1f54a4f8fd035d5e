"""Types of both gate sets: angles as slots, gates as JSON objects, and circuits whose slots have no values yet."""

from dataclasses import dataclass
from typing import Protocol

from qorch.model.arrays import FloatArray
from qorch.model.circuit import FIXED, GateList
from qorch.model.gates import GATES


class Slot:
    """The place of a number that differs from row to row: the ``index``-th of its circuit."""

    # Not a dataclass, which msgspec would encode as an object.
    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        """Number ``index`` of the row."""
        self.index = index


Value = str | int | float | Slot | list[int] | list[float | Slot]
WireGate = dict[str, Value]


@dataclass(frozen=True)
class Angle:
    """``factor`` times column ``column`` of the row, plus ``constant``, in radians; FIXED: the constant alone."""

    column: int
    factor: float
    constant: float

    @property
    def is_free(self) -> bool:
        """Whether it differs from row to row."""
        return self.column != FIXED

    def times(self, factor: float) -> "Angle":
        """This angle times a factor."""
        return Angle(self.column, self.factor * factor, self.constant * factor)


def fixed(radians: float) -> Angle:
    """An angle that is the same in all rows."""
    return Angle(FIXED, 0.0, radians)


class WireCircuit(Protocol):
    """A circuit in IonQ's gates, S of whose numbers are open."""

    @property
    def gates(self) -> tuple[WireGate, ...]:
        """The gates in order, as JSON objects with slots."""
        ...

    def values(self, angles: FloatArray) -> FloatArray:
        """The numbers ``(R, S)`` of the slots at rows of angles ``(R, D)``."""
        ...


def iterate_gates(gates: GateList) -> list[tuple[str, tuple[int, ...], tuple[Angle, ...]]]:
    """(name, qubits, angles) of every gate of a circuit."""
    listed = []
    for opcode, qubits, columns, constants in zip(
        gates.opcodes.tolist(), gates.qubits.tolist(), gates.columns.tolist(), gates.constants.tolist(), strict=True
    ):
        gate = GATES[opcode]
        angles = tuple(
            fixed(constants[slot]) if columns[slot] == FIXED else Angle(columns[slot], 1.0, 0.0)
            for slot in range(gate.n_angles)
        )
        listed.append((gate.name, tuple(qubits[: gate.n_qubits]), angles))
    return listed
