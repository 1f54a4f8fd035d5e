"""Exact gradients of the installed peers: a scalar of all expectation values, differentiated by torch."""

from collections.abc import Callable
from typing import Any

import numpy as np

from qorch.bench.shapes import Shape
from qorch.model.observable import Distribution

Task = Callable[[], object]


def cotangents(shape: Shape) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    """Fixed weights ``(N, K)`` of the expectation values in the scalar that is differentiated."""
    n_values = 1 << shape.circuit.num_qubits if isinstance(shape.observables, Distribution) else None
    width = n_values or len(shape.pub.observables)  # type: ignore[arg-type]
    return np.random.default_rng(5).uniform(-1, 1, (shape.batch_size, width))


def pennylane_gradient(shape: Shape, *, device: str, method: str) -> Task:
    """PennyLane through its torch interface, the inputs as one broadcast batch."""
    import pennylane as qml
    import torch

    n_qubits = shape.circuit.num_qubits
    names = [parameter.name for parameter in shape.circuit.parameters]
    quantum_device = qml.device(device, wires=n_qubits)

    def circuit(angles: dict[str, Any]) -> Any:
        _apply(qml, shape, angles)
        if isinstance(shape.observables, Distribution):
            return qml.probs(wires=range(n_qubits))
        return [qml.expval(qml.PauliZ(qubit)) for qubit in range(n_qubits)]

    node = qml.QNode(circuit, quantum_device, interface="torch", diff_method=method)
    values = shape.pub.parameter_values.copy()
    weights = torch.as_tensor(cotangents(shape))

    def run() -> object:
        leaves = {name: _leaf(shape, name, values[:, column]) for column, name in enumerate(names)}
        outputs = node(leaves)
        stacked = outputs if torch.is_tensor(outputs) else torch.stack(list(outputs), dim=-1)
        torch.autograd.backward((stacked.reshape(weights.shape) * weights).sum())
        return {name: leaf.grad for name, leaf in leaves.items()}

    return run


def _leaf(shape: Shape, name: str, column: "np.ndarray[Any, Any]") -> Any:
    """An input is a batch; a weight is one number for all samples."""
    import torch

    is_input = name.startswith("x")
    angle = torch.as_tensor(column if is_input else column[0]).clone()
    return angle.requires_grad_(not is_input or shape.shifts_inputs)


def _apply(qml: Any, shape: Shape, angles: dict[str, Any]) -> None:
    rotations = {"rx": qml.RX, "ry": qml.RY, "rz": qml.RZ}
    for instruction in shape.circuit.data:
        wires = [shape.circuit.find_bit(qubit).index for qubit in instruction.qubits]
        if instruction.operation.name == "cx":
            qml.CNOT(wires=wires)
        else:
            (parameter,) = instruction.operation.params
            rotations[instruction.operation.name](angles[parameter.name], wires=wires)


GRADIENT_PEERS: dict[str, tuple[str, str, Callable[[Shape], Task]]] = {
    "lightning adjoint": (
        "pennylane_lightning",
        "lightning.qubit",
        lambda shape: pennylane_gradient(shape, device="lightning.qubit", method="adjoint"),
    ),
    "default.qubit backprop": (
        "pennylane",
        "default.qubit",
        lambda shape: pennylane_gradient(shape, device="default.qubit", method="backprop"),
    ),
}
"""Of each one its package, and the name of the peer whose gradients they are."""
