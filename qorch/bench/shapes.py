"""The five circuits that the bench runs: one circuit at the many points of one parameter-shift gradient."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from qiskit.circuit import ParameterVector, QuantumCircuit

from qorch.gradients.parameter_shift import expand
from qorch.model.arrays import FloatArray
from qorch.model.observable import ObservablesLike, probabilities
from qorch.model.pub import Pub


@dataclass(frozen=True, eq=False)
class Shape:
    """A training step: ``circuit`` with inputs ``x`` and weights ``w``, a batch, and what is differentiated.

    ``shifts_inputs``: whether layers in front of the circuit are trained, too.
    """

    name: str
    workload: str
    circuit: QuantumCircuit
    n_inputs: int
    n_weights: int
    batch_size: int
    observables: ObservablesLike
    shifts_inputs: bool = False

    @cached_property
    def pub(self) -> Pub:
        """The pub of one step at random angles, the same in every process; shots are the run's."""
        random = np.random.default_rng(20_261_120)
        names = [parameter.name for parameter in self.circuit.parameters]
        inputs = random.uniform(-math.pi / 2, math.pi / 2, (self.batch_size, self.n_inputs))
        weights = np.tile(random.uniform(-math.pi, math.pi, self.n_weights), (self.batch_size, 1))
        columns = {f"x[{i}]": inputs[:, i] for i in range(self.n_inputs)}
        columns |= {f"w[{i}]": weights[:, i] for i in range(self.n_weights)}
        return Pub(self.circuit, np.stack([columns[name] for name in names], axis=1), observables=self.observables)

    @cached_property
    def wanted(self) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
        """Which parameters are differentiated, ``(P,)``."""
        return np.array([self.shifts_inputs or name.startswith("w") for name in self.pub.circuit.parameters])

    @cached_property
    def rows(self) -> FloatArray:
        """All forward and shifted rows as parameter values ``(R, P)``: every parameter drives one gate."""
        batch, _ = expand(self.pub, wanted=self.wanted)
        angle_map = self.pub.circuit.angle_map
        order = angle_map.indices[:, 0]
        rows = np.empty_like(batch.pubs[0].parameter_values)
        rows[:, order] = batch.pubs[0].parameter_values
        return rows

    @property
    def n_rows(self) -> int:
        """Circuits of one gradient."""
        columns = int(self.wanted.sum())
        return self.batch_size * (1 + 2 * columns)


def _ring(circuit: QuantumCircuit) -> None:
    for qubit in range(circuit.num_qubits):
        circuit.cx(qubit, (qubit + 1) % circuit.num_qubits)


def _chain(circuit: QuantumCircuit) -> None:
    for qubit in range(circuit.num_qubits - 1):
        circuit.cx(qubit, qubit + 1)


def _z_of_each(n_qubits: int) -> list[str]:
    return [f"Z{qubit}" for qubit in range(n_qubits)]


def _encoder_mnist() -> Shape:
    inputs, weights = ParameterVector("x", 10), ParameterVector("w", 20)
    circuit = QuantumCircuit(10)
    for qubit in range(10):
        circuit.rx(inputs[qubit], qubit)
    _chain(circuit)
    for qubit in range(10):
        circuit.rx(weights[qubit], qubit)
    for qubit in range(10):
        circuit.ry(weights[10 + qubit], qubit)
    return Shape("W1", "encoder-mnist", circuit, 10, 20, 4, _z_of_each(10))


def _quantum_train() -> Shape:
    weights = ParameterVector("w", 104)
    circuit = QuantumCircuit(13)
    for block in range(8):
        for qubit in range(13):
            circuit.ry(weights[13 * block + qubit], qubit)
        _chain(circuit)
    return Shape("W2", "quantum-train", circuit, 0, 104, 1, probabilities())


def _cats_vs_dogs() -> Shape:
    inputs, weights = ParameterVector("x", 8), ParameterVector("w", 32)
    circuit = QuantumCircuit(8)
    for qubit in range(8):
        circuit.ry(inputs[qubit], qubit)
    for layer in range(2):
        for qubit in range(8):
            circuit.ry(weights[16 * layer + qubit], qubit)
            circuit.rz(weights[16 * layer + 8 + qubit], qubit)
        for control in range(8):
            for target in range(control + 1, 8):
                circuit.cx(control, target)
    return Shape("W3", "cats-vs-dogs", circuit, 8, 32, 32, _z_of_each(8))


def _qnn_mnist() -> Shape:
    inputs, weights = ParameterVector("x", 16), ParameterVector("w", 48)
    circuit = QuantumCircuit(16)
    for qubit in range(16):
        circuit.rx(inputs[qubit], qubit)
    for layer in range(3):
        for qubit in range(16):
            circuit.ry(weights[16 * layer + qubit], qubit)
        _ring(circuit)
    return Shape("W4", "qnn-mnist", circuit, 16, 48, 32, _z_of_each(16))


def _qrnn_cell() -> Shape:
    inputs, weights = ParameterVector("x", 8), ParameterVector("w", 16)
    circuit = QuantumCircuit(8)
    for qubit in range(8):
        circuit.ry(inputs[qubit], qubit)
    for layer in range(2):
        for qubit in range(8):
            circuit.ry(weights[8 * layer + qubit], qubit)
        _ring(circuit)
    return Shape("W5", "qrnn-ks cell", circuit, 8, 16, 8, _z_of_each(8), shifts_inputs=True)


_MAKERS: tuple[Callable[[], Shape], ...] = (
    _encoder_mnist,
    _quantum_train,
    _cats_vs_dogs,
    _qnn_mnist,
    _qrnn_cell,
)


def all_shapes() -> tuple[Shape, ...]:
    """W1 to W5, in order."""
    return tuple(make() for make in _MAKERS)
