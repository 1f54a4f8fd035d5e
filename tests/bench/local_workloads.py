"""The five shapes W1 to W5 of `performance.md` as Qiskit circuits with rows of parameter values."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from qiskit.circuit import ParameterVector, QuantumCircuit

from qorch.model.arrays import FloatArray


@dataclass(frozen=True)
class Shape:
    """A circuit, its number of inputs, the batch, and the parameter-shift rows of one gradient."""

    name: str
    circuit: QuantumCircuit
    n_inputs: int
    batch: int
    rows: int
    is_distribution: bool = False

    def values(self, rows: int, *, seed: int = 0) -> FloatArray:
        """Random parameter values ``(rows, P)``."""
        return np.random.default_rng(seed).uniform(-np.pi, np.pi, (rows, self.circuit.num_parameters))


def encoder_mnist() -> QuantumCircuit:
    """W1: RX of 10 inputs, a chain of CX, RX and RY of 20 weights."""
    x, w = ParameterVector("x", 10), ParameterVector("y", 20)
    circuit = QuantumCircuit(10)
    for qubit in range(10):
        circuit.rx(x[qubit], qubit)
    for qubit in range(9):
        circuit.cx(qubit, qubit + 1)
    for qubit in range(10):
        circuit.rx(w[qubit], qubit)
    for qubit in range(10):
        circuit.ry(w[10 + qubit], qubit)
    return circuit


def quantum_train() -> QuantumCircuit:
    """W2: 8 blocks of RY on 13 qubits and a chain of CX."""
    w = ParameterVector("y", 104)
    circuit = QuantumCircuit(13)
    for block in range(8):
        for qubit in range(13):
            circuit.ry(w[13 * block + qubit], qubit)
        for qubit in range(12):
            circuit.cx(qubit, qubit + 1)
    return circuit


def cats_vs_dogs() -> QuantumCircuit:
    """W3: RY of 8 inputs, then 4 layers of 4 RY, 4 RZ and 14 CX: 32 weights and 96 gates."""
    x, w = ParameterVector("x", 8), ParameterVector("y", 32)
    circuit = QuantumCircuit(8)
    for qubit in range(8):
        circuit.ry(x[qubit], qubit)
    for layer in range(4):
        for place in range(4):
            qubit = 2 * place + layer % 2
            circuit.ry(w[8 * layer + 2 * place], qubit)
            circuit.rz(w[8 * layer + 2 * place + 1], qubit)
        for first in (*range(8), *range(6)):
            circuit.cx(first, (first + 1) % 8)
    return circuit


def qnn_mnist() -> QuantumCircuit:
    """W4: RX of 16 inputs, 3 layers of RY on every qubit and a ring of CX: 48 weights."""
    x, w = ParameterVector("x", 16), ParameterVector("y", 48)
    circuit = QuantumCircuit(16)
    for qubit in range(16):
        circuit.rx(x[qubit], qubit)
    for layer in range(3):
        for qubit in range(16):
            circuit.ry(w[16 * layer + qubit], qubit)
        for qubit in range(16):
            circuit.cx(qubit, (qubit + 1) % 16)
    return circuit


def recurrent_cell() -> QuantumCircuit:
    """W5: RY of 8 inputs, 2 layers of RY on every qubit and a ring of CX: 16 weights."""
    x, w = ParameterVector("x", 8), ParameterVector("y", 16)
    circuit = QuantumCircuit(8)
    for qubit in range(8):
        circuit.ry(x[qubit], qubit)
    for layer in range(2):
        for qubit in range(8):
            circuit.ry(w[8 * layer + qubit], qubit)
        for qubit in range(8):
            circuit.cx(qubit, (qubit + 1) % 8)
    return circuit


SHAPES: dict[str, Callable[[], Shape]] = {
    "W1": lambda: Shape("W1", encoder_mnist(), 10, 4, 164),
    "W2": lambda: Shape("W2", quantum_train(), 0, 1, 209, is_distribution=True),
    "W3": lambda: Shape("W3", cats_vs_dogs(), 8, 32, 2080),
    "W4": lambda: Shape("W4", qnn_mnist(), 16, 8, 776),
    "W5": lambda: Shape("W5", recurrent_cell(), 8, 8, 392),
}
