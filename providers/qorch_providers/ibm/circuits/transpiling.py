"""Qiskit's transpiler, with a device's target: a circuit of qorch's to one in the device's gates on its qubits."""

from collections.abc import Iterator
from functools import lru_cache
from types import MappingProxyType
from uuid import UUID

import msgspec
import numpy as np
from qiskit import QuantumCircuit, QuantumRegister
from qiskit.circuit import CircuitInstruction, Gate, Parameter, ParameterExpression
from qiskit.circuit.library import RXGate, RZGate, RZZGate
from qiskit.exceptions import QiskitError
from qiskit.transpiler import Target, generate_preset_pass_manager
from qiskit_ibm_runtime.utils.backend_converter import convert_to_target
from qiskit_ibm_runtime.utils.backend_decoder import configuration_from_server_data, properties_from_server_data

from qorch.errors import BackendError, CircuitError
from qorch.model.circuit import FIXED, GateList
from qorch_providers.ibm.circuits.folding import AngleKind, affine_form, derive
from qorch_providers.ibm.circuits.isa import IsaSlot, encode_isa
from qorch_providers.ibm.device import FRACTIONAL_GATES, IbmDevice
from qorch_providers.ibm.options import Options

_LETTERS = MappingProxyType({AngleKind.FOLDED: "f", AngleKind.FLIP: "g", AngleKind.TURN: "t"})
_DIGITS = 6
"""Of the number in a parameter's name: Qiskit sorts parameters by their names."""
_NAMED = 1 << 64
"""The number of a parameter is that of its column, plus this for each of the kinds of derived angles."""


def compile_circuit(gates: GateList, *, device: IbmDevice, options: Options) -> bytes:
    """The compiled circuit, as ``encode_isa`` writes it; the same in every process.

    The transpiler measures all qubits, so that it chooses ones that are read well; a barrier keeps it from dropping
    gates that do not matter to a measurement in Z. Both are taken away again. Raises CircuitError.
    """
    circuit = _as_qiskit(gates)
    circuit.barrier()
    circuit.measure(range(gates.n_qubits), range(gates.n_qubits))
    layout = list(options.layout[: gates.n_qubits]) or None
    if layout is not None and len(layout) < gates.n_qubits:
        raise CircuitError(f"the circuit has {gates.n_qubits} qubits; layout= names {len(layout)}")
    try:
        manager = generate_preset_pass_manager(
            optimization_level=options.optimization,
            target=target_of(device, has_fractional=options.has_fractional),
            seed_transpiler=options.seed,
            initial_layout=layout,
        )
        compiled = manager.run(circuit)
    except QiskitError as error:
        raise CircuitError(f"Qiskit cannot compile the circuit for {device.name}: {error}") from error
    return _finish(compiled, device)


@lru_cache(maxsize=2)
def target_of(device: IbmDevice, *, has_fractional: bool) -> Target:
    """The device as the transpiler sees it: its gates, and how good they are. Raises BackendError."""
    is_fractional = has_fractional and device.gates >= FRACTIONAL_GATES
    configuration = configuration_from_server_data(
        msgspec.json.decode(device.configuration), use_fractional_gates=is_fractional
    )
    if configuration is None:
        raise BackendError(f"qiskit-ibm-runtime cannot read the configuration of {device.name}; try another version")
    properties = None
    # A device without a calibration may say so with an empty document.
    document = msgspec.json.decode(device.properties) if device.properties else None
    if document:
        properties = properties_from_server_data(document, use_fractional_gates=is_fractional)
    return convert_to_target(configuration, properties, include_fractional_gates=is_fractional)


def _as_qiskit(gates: GateList) -> QuantumCircuit:
    circuit = QuantumCircuit(gates.n_qubits, gates.n_qubits)
    for gate, qubits, angles in gates.instructions():
        values = [radians if column == FIXED else _parameter("a", column) for column, radians in angles]
        getattr(circuit, gate.name)(*values, *qubits)
    return circuit


def _parameter(letter: str, number: int, kind: AngleKind = AngleKind.PLAIN) -> Parameter:
    """A parameter that is the same in every process: else Qiskit gives it a random number, which is sent with it."""
    return Parameter(f"{letter}{number:0{_DIGITS}}", uuid=UUID(int=(kind + 1) * _NAMED + number))


def _finish(compiled: QuantumCircuit, device: IbmDevice) -> bytes:
    """The gates alone, with folded angles, on numbered qubits, and where the measured qubits are."""
    circuit = QuantumCircuit(QuantumRegister(compiled.num_qubits, "q"), name="qorch")
    layout: dict[int, int] = {}
    slots: dict[str, IsaSlot] = {}
    for item in compiled.data:
        places = [compiled.find_bit(qubit).index for qubit in item.qubits]
        if item.name == "measure":
            layout[compiled.find_bit(item.clbits[0]).index] = places[0]
        elif item.name == "rzz":
            for operation, at, slot in _folded(item, places, number=len(slots)):
                circuit.append(operation, at)
                slots |= {slot.name: slot} if slot else {}
        elif item.name != "barrier":
            circuit.append(item.operation, places)
    for parameter in circuit.parameters:
        column = int(parameter.name[1:])
        slots.setdefault(parameter.name, IsaSlot(parameter.name, (column,), (1.0,), 0.0, AngleKind.PLAIN))
    return encode_isa(circuit, tuple(layout[bit] for bit in range(len(layout))), tuple(slots.values()))


def _folded(
    item: CircuitInstruction, places: list[int], *, number: int
) -> Iterator[tuple[Gate, list[int], IsaSlot | None]]:
    """An ``rzz`` with its angle folded: gates, their qubits, and what each of their parameters is."""
    (angle,) = item.operation.params
    angles: dict[AngleKind, tuple[float | Parameter, IsaSlot | None]] = {}
    for kind in (AngleKind.FOLDED, AngleKind.FLIP, AngleKind.TURN):
        if isinstance(angle, ParameterExpression) and angle.parameters:
            names, factors, offset = affine_form(angle)
            parameter = _parameter(_LETTERS[kind], number, kind)
            columns = tuple(int(name[1:]) for name in names)
            angles[kind] = parameter, IsaSlot(parameter.name, columns, tuple(factors), offset, kind)
        else:
            angles[kind] = float(derive(np.array([float(angle)]), kind)[0]), None
    for kind, gate, at in (
        (AngleKind.FLIP, RXGate, places[:1]),
        (AngleKind.FOLDED, RZZGate, places),
        (AngleKind.FLIP, RXGate, places[:1]),
        (AngleKind.TURN, RZGate, places[:1]),
        (AngleKind.TURN, RZGate, places[1:]),
    ):
        value, slot = angles[kind]
        if value != 0.0 or kind is AngleKind.FOLDED:
            yield gate(value), at, slot
