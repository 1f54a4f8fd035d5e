"""The installed peers, each running one shape's whole gradient its own fastest documented way."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from qorch.bench.shapes import Shape
from qorch.model.observable import Distribution

Task = Callable[[], object]
"""Runs all rows of a shape once."""


SMALL_QUBITS = 13
"""Below so many qubits Aer is fastest with one thread."""


def _aer_options(shape: Shape) -> dict[str, Any]:
    """The settings with which Aer is fastest here."""
    threads = {"max_parallel_threads": 1} if shape.circuit.num_qubits < SMALL_QUBITS else {}
    return {"method": "statevector", **threads}


def sampler_v2(shape: Shape, *, shots: int) -> Task:
    """Aer's SamplerV2 with one array PUB."""
    from qiskit_aer.primitives import SamplerV2

    circuit = shape.circuit.copy()
    circuit.measure_all()
    sampler = SamplerV2(options={"backend_options": _aer_options(shape)})
    return lambda: sampler.run([(circuit, shape.rows)], shots=shots).result()


def aer_binds(shape: Shape, *, shots: int) -> Task:
    """AerSimulator.run with ``parameter_binds``, counts."""
    from qiskit_aer import AerSimulator

    circuit = shape.circuit.copy()
    circuit.measure_all()
    simulator = AerSimulator(**_aer_options(shape))
    binds = {parameter: shape.rows[:, column].tolist() for column, parameter in enumerate(shape.circuit.parameters)}

    def run() -> object:
        result = simulator.run(circuit, parameter_binds=[binds], shots=shots).result()
        return result.get_counts()

    return run


def pennylane(shape: Shape, *, shots: int, device: str) -> Task:
    """PennyLane as its own parameter shift runs it: a tape per shift, broadcast over the batch if a device can."""
    import pennylane as qml

    n_qubits = shape.circuit.num_qubits
    measurements = _measurements(qml, shape, n_qubits)
    gates = _gate_table(shape)
    rows = [*shape.rows]
    if device == "default.qubit" and shape.batch_size > 1:
        shifts = shape.n_rows // shape.batch_size
        rows = [shape.rows[shift::shifts].T for shift in range(shifts)]
    quantum_device = qml.device(device, wires=n_qubits)
    program, config = quantum_device.preprocess()

    def run() -> object:
        # The angles are others in every training step: the tapes have to be made anew.
        tapes = [
            qml.tape.QuantumScript([_operation(qml, gate, row) for gate in gates], measurements, shots=shots)
            for row in rows
        ]
        batch, _ = program(tapes)
        return quantum_device.execute(batch, config)

    return run


def _measurements(qml: Any, shape: Shape, n_qubits: int) -> list[Any]:
    if isinstance(shape.observables, Distribution):
        return [qml.probs(wires=range(n_qubits))]
    return [qml.expval(qml.PauliZ(qubit)) for qubit in range(n_qubits)]


def _gate_table(shape: Shape) -> list[tuple[str, tuple[int, ...], int]]:
    """(name, wires, column of the angle or -1) of every gate."""
    columns = {parameter: index for index, parameter in enumerate(shape.circuit.parameters)}
    table = []
    for instruction in shape.circuit.data:
        wires = tuple(shape.circuit.find_bit(qubit).index for qubit in instruction.qubits)
        parameters = instruction.operation.params
        column = columns[next(iter(parameters[0].parameters))] if parameters else -1
        table.append((instruction.operation.name, wires, column))
    return table


def _operation(qml: Any, gate: tuple[str, tuple[int, ...], int], row: "np.ndarray[Any, Any]") -> Any:
    name, wires, column = gate
    if name == "cx":
        return qml.CNOT(wires=wires)
    return {"rx": qml.RX, "ry": qml.RY, "rz": qml.RZ}[name](row[column], wires=wires)


PEERS: dict[str, tuple[str, Callable[..., Task]]] = {
    "aer-sampler-v2": ("qiskit_aer", sampler_v2),
    "aer-binds": ("qiskit_aer", aer_binds),
    "lightning.qubit": (
        "pennylane_lightning",
        lambda shape, shots: pennylane(shape, shots=shots, device="lightning.qubit"),
    ),
    "default.qubit": (
        "pennylane",
        lambda shape, shots: pennylane(shape, shots=shots, device="default.qubit"),
    ),
}


def installed_peers() -> list[str]:
    """The peers whose packages are here."""
    return [name for name, (package, _) in PEERS.items() if find_spec(package) is not None]


def make_task(peer: str, shape: Shape, *, shots: int) -> Task:
    """The peer's way of running a shape; raises what the peer raises if it cannot."""
    return PEERS[peer][1](shape, shots=shots)
