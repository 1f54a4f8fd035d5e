"""Compile a Qiskit circuit into qorch's gate list; the module through which Qiskit is loaded."""

from collections.abc import Iterator
from typing import Any

from qiskit.circuit import Barrier, CircuitInstruction, Delay, Measure, QuantumCircuit, Reset
from qiskit.exceptions import QiskitError

from qorch.errors import CircuitError
from qorch.model.circuit import Circuit, build_gate_list
from qorch.model.gates import GATES_BY_NAME
from qorch.model.qiskit.angles import AngleBuilder

MAX_QUBITS = 63
"""Outcomes are 64-bit integers with one bit to spare."""
MAX_DEPTH = 64
"""How deeply gates may be defined by gates."""

Wires = tuple[int, ...]
Step = tuple[int, str, Wires, list[Any]]
"""Opcode, name, qubits and Qiskit's parameters of one gate."""


def compile_circuit(circuit: QuantumCircuit) -> Circuit:
    """Compile a Qiskit circuit; parameters keep the order of ``circuit.parameters``.

    Gates outside ``qorch.model.gates`` are replaced by their Qiskit definitions. Barriers, delays,
    identities, the global phase, and final measurements of every qubit i into bit i are left out. Raises
    CircuitError for anything else: resets, control flow, other measurements, gates without a definition,
    angles that are not real, no qubits or more than 63.
    """
    if not isinstance(circuit, QuantumCircuit):
        raise CircuitError(f"{circuit!r} is not a circuit; give a qiskit.circuit.QuantumCircuit or a qorch.Circuit")
    if not 1 <= circuit.num_qubits <= MAX_QUBITS:
        raise CircuitError(f"the circuit has {circuit.num_qubits} qubits; it must have from 1 to {MAX_QUBITS}")
    parameters = tuple(circuit.parameters)
    builder = AngleBuilder(parameters)
    gates = [
        (opcode, wires, tuple(builder.add(angle, gate=name) for angle in angles))
        for opcode, name, wires, angles in _steps(circuit)
    ]
    names = tuple(parameter.name for parameter in parameters)
    return Circuit(build_gate_list(circuit.num_qubits, gates), builder.build(), names)


def _steps(circuit: QuantumCircuit) -> Iterator[Step]:
    measured: set[int] = set()
    places = {qubit: index for index, qubit in enumerate(circuit.qubits)}
    for instruction in circuit.data:
        wires = tuple(places[qubit] for qubit in instruction.qubits)
        if instruction.name == "measure" and isinstance(instruction.operation, Measure):
            _check_measurement(circuit, instruction, wires[0], measured=measured)
            measured.add(wires[0])
            continue
        for step in _expand(instruction, wires, ()):
            _check_unmeasured(step, measured)
            yield step
    if measured and len(measured) < circuit.num_qubits:
        missing = min(set(range(circuit.num_qubits)) - measured)
        raise CircuitError(
            f"the circuit measures some qubits, but not qubit {missing}; qorch measures every qubit itself,"
            " so remove the measurements (circuit.remove_final_measurements()) or use measure_all()"
        )


def _check_unmeasured(step: Step, measured: set[int]) -> None:
    _, name, wires, _ = step
    if not measured.isdisjoint(wires):
        qubit = min(measured.intersection(wires))
        raise CircuitError(
            f"'{name}' acts on qubit {qubit} after its measurement; qorch measures at the end only,"
            " so remove the measurement"
        )


def _check_measurement(
    circuit: QuantumCircuit, instruction: CircuitInstruction, qubit: int, *, measured: set[int]
) -> None:
    place = circuit.find_bit(instruction.clbits[0])
    bits = {place.index, *(index for _, index in place.registers)}
    if qubit in measured:
        raise CircuitError(f"qubit {qubit} is measured twice; qorch measures every qubit itself, once, at the end")
    if qubit not in bits:
        raise CircuitError(
            f"qubit {qubit} is measured into bit {place.index}; qorch measures every qubit itself, qubit i"
            " into bit i, so remove them (circuit.remove_final_measurements()) or use measure_all()"
        )


def _expand(instruction: CircuitInstruction, wires: Wires, trail: tuple[str, ...]) -> Iterator[Step]:
    name = instruction.name
    if instruction.is_standard_gate() and name in GATES_BY_NAME:
        yield GATES_BY_NAME[name].opcode, name, wires, instruction.params
        return
    operation = instruction.operation
    if (instruction.is_standard_gate() and name == "id") or isinstance(operation, Barrier | Delay):
        return
    inside = f" (inside '{trail[0]}')" if trail else ""
    _check_unitary(instruction, inside)
    if len(trail) >= MAX_DEPTH:
        raise CircuitError(f"gate '{trail[0]}' is defined by gates more than {MAX_DEPTH} deep")
    definition = _definition(operation, inside)
    places = dict(zip(definition.qubits, wires, strict=True))
    for inner in definition.data:
        yield from _expand(inner, tuple(places[qubit] for qubit in inner.qubits), (*trail, name))


def _check_unitary(instruction: CircuitInstruction, inside: str) -> None:
    if instruction.is_control_flow():
        raise CircuitError(
            f"the circuit has the control flow '{instruction.name}'{inside}; qorch runs fixed gate lists,"
            " so write the gates out"
        )
    if isinstance(instruction.operation, Reset):
        raise CircuitError(
            f"the circuit has a 'reset'{inside}; every row starts in |0…0>, so remove it"
            " (for a state use qiskit.circuit.library.StatePreparation, not initialize)"
        )
    if isinstance(instruction.operation, Measure) or instruction.clbits:
        raise CircuitError(
            f"'{instruction.name}'{inside} uses classical bits; qorch measures every qubit itself at the end,"
            " so remove it"
        )


def _definition(operation: Any, inside: str) -> QuantumCircuit:
    try:
        definition = getattr(operation, "definition", None) or _synthesise(operation)
    except QiskitError as error:
        raise CircuitError(f"Qiskit cannot decompose '{operation.name}'{inside}: {error}") from error
    if definition is None:
        raise CircuitError(
            f"gate '{operation.name}'{inside} has no definition; define it by standard gates,"
            " or give its matrix as a qiskit.circuit.library.UnitaryGate"
        )
    return definition


def _synthesise(operation: Any) -> QuantumCircuit | None:
    """Annotated operations, Cliffords and the like have no definition, but the transpiler can build one."""
    from qiskit.transpiler.passes import HighLevelSynthesis

    single = QuantumCircuit(operation.num_qubits, operation.num_clbits)
    single.append(operation, range(operation.num_qubits), range(operation.num_clbits))
    built = HighLevelSynthesis()(single)
    is_unchanged = len(built.data) == 1 and built.data[0].name == operation.name
    return None if is_unchanged else built
