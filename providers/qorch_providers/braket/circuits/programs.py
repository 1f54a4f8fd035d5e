"""Circuits as OpenQASM 3 programs with inputs: compiled once, and the numbers that the rows put into them."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from qorch.errors import CircuitError, ParameterError
from qorch.model.arrays import FloatArray
from qorch.model.circuit import FIXED, GateList
from qorch.model.measurement import Measurement
from qorch.model.observable import X, Y
from qorch_providers.braket.circuits.rewrites import GateStep, SlotAngle, recipes_for
from qorch_providers.braket.device import BraketDevice
from qorch_providers.braket.options import Options

_KEPT = 64


@dataclass(frozen=True, eq=False)
class Program:
    """A measured circuit as OpenQASM 3 with S inputs, the distinct numbers of a row; ``names (S,)`` are theirs.

    Input s is ``factors[s]`` times column ``columns[s]`` of a row's angles, plus ``constants[s]``, in radians.
    ``n_one_qubit`` and ``n_two_qubit``: its gates on one qubit, and on two or more.
    """

    source: str
    names: tuple[str, ...]
    columns: npt.NDArray[np.int64]
    factors: FloatArray
    constants: FloatArray
    n_one_qubit: int
    n_two_qubit: int

    def values(self, angles: FloatArray) -> FloatArray:
        """The inputs ``(R, S)`` of rows of ``angles (R, D)``.

        Raises ParameterError for an angle that is not finite.
        """
        values: FloatArray = angles[:, self.columns] * self.factors + self.constants
        if not np.isfinite(values).all():
            row = int(np.argwhere(~np.isfinite(values))[0, 0])
            raise ParameterError(f"an angle of row {row} is not finite; check the parameter values")
        return values


def program_of(gates: GateList, measurement: Measurement, *, device: BraketDevice, options: Options) -> Program:
    """The program of a measured circuit, in the gates that the device has; the most recent ones are kept.

    Samples: all qubits are measured, in their order, after rotations into the basis. Exact values: pragmas ask for
    them instead (see ``asks_for_parities``). Raises CircuitError for a gate that cannot be written with the device's.
    """
    masks = None
    if measurement.is_exact:
        masks = _wanted_masks(measurement)
    return _build(
        gates,
        measurement.basis.tobytes(),
        masks,
        device.native_gates if options.verbatim else device.gates,
        _labels(gates.n_qubits, device) if options.keeps_qubits else None,
        options.verbatim,
    )


def asks_for_parities(measurement: Measurement) -> bool:
    """Whether exact parities are asked for one by one; if not, all probabilities are, from which they follow."""
    return measurement.masks is not None and len(measurement.masks) <= 1 << len(measurement.basis)


def _wanted_masks(measurement: Measurement) -> tuple[int, ...]:
    if measurement.masks is None or not asks_for_parities(measurement):
        return ()
    return tuple(measurement.masks.tolist())


def _labels(n_qubits: int, device: BraketDevice) -> tuple[int, ...]:
    """The physical qubits that a circuit's qubits are: the device's first ones."""
    labels = device.qubits or tuple(range(device.n_qubits))
    if n_qubits > len(labels):
        raise CircuitError(f"the circuit has {n_qubits} qubits; {device.name} has {len(labels)}")
    return labels[:n_qubits]


@lru_cache(maxsize=_KEPT)
def _build(
    gates: GateList,
    basis: bytes,
    masks: tuple[int, ...] | None,
    available: frozenset[str],
    labels: tuple[int, ...] | None,
    is_verbatim: bool,
) -> Program:
    """``masks``: of the parities that are wanted exactly; empty: all probabilities are; None: samples are."""
    qubits = [f"${label}" for label in labels] if labels is not None else [f"q[{q}]" for q in range(gates.n_qubits)]
    writer = _Writer(qubits, available)
    for gate, places, angles in gates.instructions():
        writer.add(gate.name, places, tuple(_slot_angle(*angle) for angle in angles))
    for place, letter in enumerate(basis):
        for name in ("h",) if letter == X else ("sdg", "h") if letter == Y else ():
            writer.add(name, (place,), ())
    slots = writer.slots
    body = writer.lines if not is_verbatim else ["#pragma braket verbatim", "box{", *writer.lines, "}"]
    names = tuple(slots.values())
    head = ["OPENQASM 3.0;", *(f"input float {name};" for name in names)]
    if masks is None:
        head.append(f"bit[{len(qubits)}] b;")
    if labels is None:
        head.append(f"qubit[{len(qubits)}] q;")
    lines = [*head, *body, *_ending(qubits, masks)]
    return Program(
        "\n".join(lines),
        names,
        np.array([slot.column for slot in slots], dtype=np.int64),
        np.array([slot.factor for slot in slots], dtype=np.float64),
        np.array([slot.constant for slot in slots], dtype=np.float64),
        writer.n_one_qubit,
        writer.n_two_qubit,
    )


def _slot_angle(column: int, radians: float) -> SlotAngle:
    return SlotAngle(column, 0.0, radians) if column == FIXED else SlotAngle(column, 1.0, 0.0)


def _ending(qubits: list[str], masks: tuple[int, ...] | None) -> list[str]:
    """What is asked of the final state."""
    if masks is None:
        return [f"b[{place}] = measure {qubit};" for place, qubit in enumerate(qubits)]
    if not masks:
        return [f"#pragma braket result probability {', '.join(qubits)}"]
    return [f"#pragma braket result expectation {_parity(qubits, mask)}" for mask in masks]


def _parity(qubits: list[str], mask: int) -> str:
    factors = [f"z({qubit})" for place, qubit in enumerate(qubits) if mask >> place & 1]
    return " @ ".join(factors) or f"i({qubits[0]})"


class _Writer:
    """Gates as lines of OpenQASM, while a program is built; ``slots``: the inputs so far, and their names."""

    def __init__(self, qubits: list[str], available: frozenset[str]) -> None:
        self.lines: list[str] = []
        self.slots: dict[SlotAngle, str] = {}
        self.n_one_qubit = 0
        self.n_two_qubit = 0
        self._qubits = qubits
        self._recipes = recipes_for(available)
        self._available = ", ".join(sorted(available)) or "none"

    def add(self, gate: str, places: tuple[int, ...], angles: tuple[SlotAngle, ...]) -> None:
        """Write a gate of qorch. Raises CircuitError if the device has no gates for it."""
        if gate not in self._recipes:
            raise CircuitError(f"gate '{gate}' cannot be written in the gates of the device: {self._available}")
        for step in self._recipes[gate]:
            self._write(step, places, angles)

    def _write(self, step: GateStep, places: tuple[int, ...], angles: tuple[SlotAngle, ...]) -> None:
        numbers = ", ".join(self._number(angle.of(angles)) for angle in step.angles)
        operands = ", ".join(self._qubits[places[place]] for place in step.places)
        self.lines.append(f"{step.gate}({numbers}) {operands};" if step.angles else f"{step.gate} {operands};")
        self.n_one_qubit += len(step.places) == 1
        self.n_two_qubit += len(step.places) > 1

    def _number(self, angle: SlotAngle) -> str:
        if angle.is_free:
            return self.slots.setdefault(angle, f"a{len(self.slots)}")
        if not math.isfinite(angle.constant):
            raise CircuitError(f"the circuit has the angle {angle.constant}, which is not finite")
        return repr(angle.constant)
