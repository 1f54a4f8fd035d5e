"""Circuits in a device's own gates, split into components: qubits that gates couple, and no others."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, ControlFlowOp, ParameterExpression

from qorch.errors import CircuitError
from qorch_providers.emulators.ibm.devices import IbmMachine
from qorch_providers.emulators.ibm.programs.angles import AngleTable, tabulate
from qorch_providers.emulators.ibm.programs.fusion import fuse
from qorch_providers.emulators.ibm.programs.noise import GateAt
from qorch_providers.emulators.statevector.evolution import Operation
from qorch_providers.emulators.statevector.matrices import Complexes, Floats, fixed, rotation

MAX_COUPLED = 20
"""More qubits that gates couple are too many for this emulator."""
_ROTATIONS = {"rz": "Z", "rx": "X", "rzz": "ZZ"}
_CONTROLLED = {"cx": "x", "cz": "z"}
_FOLDED = "rzz"
_TOLERANCE = 1e-10
_NOTHING = frozenset({"barrier", "delay"})


class NotSupportedError(CircuitError):
    """A circuit has what the device lacks: the service's error 1517."""


@dataclass(frozen=True)
class ClassicalRegister:
    """A register of results. ``qubits``: what each bit was measured from, bit 0 first; None if nothing was."""

    name: str
    qubits: tuple[int | None, ...]


@dataclass(frozen=True)
class Component:
    """Qubits that gates couple; the place of a qubit in ``qubits`` is its number in ``operations``."""

    qubits: tuple[int, ...]
    operations: tuple[Operation, ...]
    gates: tuple[GateAt, ...]


@dataclass(frozen=True)
class DeviceCircuit:
    """A circuit on a device. ``components`` lack qubits on which nothing is done; ``folded``: columns of rzz angles."""

    components: tuple[Component, ...]
    registers: tuple[ClassicalRegister, ...]
    angles: AngleTable
    folded: tuple[int, ...] = ()

    @property
    def n_parameters(self) -> int:
        """How many values it needs."""
        return self.angles.n_parameters

    def angles_at(self, values: Floats) -> Floats:
        """The angles ``(R, E)`` at values ``(R, P)``. Raises CircuitError for those that the device cannot do."""
        angles = self.angles.at(values)
        if not np.isfinite(angles).all():
            raise CircuitError("an angle has no value at these parameters")
        folded = angles[:, list(self.folded)]
        if folded.size:
            _check_folded(float(folded.min()))
            _check_folded(float(folded.max()))
        return angles

    @property
    def measured(self) -> tuple[int, ...]:
        """The qubits that are measured, in order."""
        found = {qubit for register in self.registers for qubit in register.qubits if qubit is not None}
        return tuple(sorted(found))


@dataclass
class _Step:
    """One gate: how it acts, and where."""

    gate: GateAt
    operation: Operation


@dataclass
class _Reader:
    """What was read of a circuit so far."""

    steps: list[_Step] = field(default_factory=list)
    expressions: list[ParameterExpression] = field(default_factory=list)
    folded: list[int] = field(default_factory=list)
    touched: set[int] = field(default_factory=set)
    measured: dict[int, int] = field(default_factory=dict)
    """Qubits by the number of the classical bit."""


def read_device_circuit(circuit: QuantumCircuit, device: IbmMachine) -> DeviceCircuit:
    """A circuit, checked against the device. Raises NotSupportedError, or CircuitError for what is not emulated."""
    if circuit.num_qubits > device.n_qubits:
        raise NotSupportedError(
            f"The circuit has {circuit.num_qubits} qubits but the target system requires {device.n_qubits} qubits."
        )
    reader = _Reader()
    places = {qubit: place for place, qubit in enumerate(circuit.qubits)}
    bits = {bit: place for place, bit in enumerate(circuit.clbits)}
    for instruction in circuit.data:
        qubits = tuple(places[qubit] for qubit in instruction.qubits)
        _check(instruction, qubits, device)
        _read(instruction, qubits, [bits[bit] for bit in instruction.clbits], reader)
    registers = tuple(
        ClassicalRegister(register.name, tuple(reader.measured.get(bits[bit]) for bit in register))
        for register in circuit.cregs
    )
    table = tabulate(reader.expressions, circuit.parameters)
    return DeviceCircuit(tuple(_components(reader)), registers, table, tuple(reader.folded))


def _check(instruction: CircuitInstruction, qubits: tuple[int, ...], device: IbmMachine) -> None:
    name = instruction.operation.name
    if isinstance(instruction.operation, ControlFlowOp):
        raise CircuitError(f"this emulator does not run dynamic circuits, such as with {name}")
    if not device.has_gate(name, qubits):
        raise NotSupportedError(
            f"The instruction {name} on qubits {qubits} is not supported by the target system. Transpile your circuits "
            "for the target before submitting a primitive query."
        )


def _read(instruction: CircuitInstruction, qubits: tuple[int, ...], bits: list[int], reader: _Reader) -> None:
    name = instruction.operation.name
    if name in _NOTHING:
        return
    if name == "measure":
        reader.measured[bits[0]] = qubits[0]
        return
    if not reader.touched.isdisjoint(qubits) and name == "reset":
        raise CircuitError("this emulator resets qubits only before their first gate")
    if set(qubits) & set(reader.measured.values()):
        raise CircuitError(f"this emulator measures qubits only after their last gate; {name} on {qubits} comes later")
    if name == "reset":
        return
    reader.touched.update(qubits)
    reader.steps.append(_Step((name, qubits), _operation(instruction, qubits, reader)))


def _operation(instruction: CircuitInstruction, qubits: tuple[int, ...], reader: _Reader) -> Operation:
    name, values = instruction.operation.name, instruction.operation.params
    # The first target of an operation is the most significant bit of its matrix; in Qiskit's it is the least.
    targets = tuple(reversed(qubits))
    if name in _CONTROLLED:
        return _constant(qubits[1:], fixed(_CONTROLLED[name]), controls=qubits[:1])
    if name not in _ROTATIONS:
        return _constant(targets, _matrix(instruction.operation.base_class))
    letters = _ROTATIONS[name]
    if isinstance(values[0], ParameterExpression) and values[0].parameters:
        if name == _FOLDED:
            reader.folded.append(len(reader.expressions))
        reader.expressions.append(values[0])
        return Operation(targets, (), (len(reader.expressions) - 1,), partial(_rotate, letters))
    if name == _FOLDED:
        _check_folded(float(values[0]))
    return _constant(targets, rotation(letters, np.array([float(values[0])])))


def _check_folded(angle: float) -> None:
    if not -_TOLERANCE <= angle <= np.pi / 2 + _TOLERANCE:
        raise NotSupportedError(
            f"The instruction rzz is supported only for angles in the range [0, pi/2], but an angle ({angle}) outside "
            "of this range has been requested."
        )


def _constant(targets: tuple[int, ...], matrix: Complexes, *, controls: tuple[int, ...] = ()) -> Operation:
    return Operation(targets, controls, (), lambda _angles: matrix)


def _rotate(letters: str, angles: Floats) -> Complexes:
    return rotation(letters, angles[0])


@lru_cache(maxsize=64)
def _matrix(gate: type) -> Complexes:
    matrix = np.asarray(gate().to_matrix(), dtype=np.complex128)
    return matrix[:, :, None]


def _components(reader: _Reader) -> Iterator[Component]:
    """Each with its own gates, in their order. A qubit that is only measured is one too."""
    roots: dict[int, int] = {qubit: qubit for qubit in reader.touched | set(reader.measured.values())}

    def find(qubit: int) -> int:
        while roots[qubit] != qubit:
            roots[qubit] = qubit = roots[roots[qubit]]
        return qubit

    for step in reader.steps:
        for other in step.gate[1][1:]:
            roots[find(other)] = find(step.gate[1][0])
    qubits: dict[int, list[int]] = {}
    for qubit in sorted(roots):
        qubits.setdefault(find(qubit), []).append(qubit)
    steps: dict[int, list[_Step]] = {root: [] for root in qubits}
    for step in reader.steps:
        steps[find(step.gate[1][0])].append(step)
    for root, members in qubits.items():
        yield _component(tuple(members), steps[root])


def _component(qubits: tuple[int, ...], steps: list[_Step]) -> Component:
    if len(qubits) > MAX_COUPLED:
        raise CircuitError(f"this emulator simulates at most {MAX_COUPLED} qubits that gates couple, not {len(qubits)}")
    places = {qubit: place for place, qubit in enumerate(qubits)}
    operations = [
        Operation(
            tuple(places[qubit] for qubit in step.operation.targets),
            tuple(places[qubit] for qubit in step.operation.controls),
            step.operation.columns,
            step.operation.make,
        )
        for step in steps
    ]
    return Component(qubits, tuple(fuse(operations)), tuple(step.gate for step in steps))
