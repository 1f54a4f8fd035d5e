"""Noise of the local backend against Aer's density matrix, and its independence from packing."""

import numpy as np
import pytest
from local_circuits import open_local, random_gates, run_blocks
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator
from qiskit_aer import AerSimulator
from qiskit_aer.noise import ReadoutError, depolarizing_error

from qorch.errors import CircuitError, UsageError
from qorch.model.arrays import FloatArray
from qorch.model.circuit import FIXED, GateList
from qorch.model.gates import GATES
from qorch.model.measurement import Measurement
from qorch.testing.conformance.backend import assert_same_counts, block_of, counts_of, rows_of
from qorch.testing.reference import chi_square_sigmas

DEPOLARIZING, READOUT = 0.04, 0.03


def noisy_probabilities(gates: GateList, angles: FloatArray) -> FloatArray:
    """Aer's outcome probabilities at one row: a density matrix, then the reading errors of every bit."""
    circuit = QuantumCircuit(gates.n_qubits)
    for opcode, wires, columns, constants in zip(
        gates.opcodes, gates.qubits, gates.columns, gates.constants, strict=True
    ):
        gate = GATES[opcode]
        values = [constants[slot] if columns[slot] == FIXED else angles[columns[slot]] for slot in range(gate.n_angles)]
        single = QuantumCircuit(gate.n_qubits)
        getattr(single, gate.name)(*map(float, values), *range(gate.n_qubits))
        qubits = wires[: gate.n_qubits].tolist()
        circuit.unitary(Operator(single), qubits)
        circuit.append(depolarizing_error(DEPOLARIZING, gate.n_qubits).to_instruction(), qubits)
    circuit.save_probabilities()
    simulator = AerSimulator(method="density_matrix")
    table = simulator.run(circuit).result().data()["probabilities"].reshape((2,) * gates.n_qubits)
    confusion = np.array(ReadoutError([[1 - READOUT, READOUT], [READOUT, 1 - READOUT]]).probabilities)
    for axis in range(gates.n_qubits):
        table = np.moveaxis(np.tensordot(confusion.T, table, axes=(1, axis)), 0, axis)
    return np.asarray(table.reshape(-1))


def test_noisy_shots_follow_the_density_matrix() -> None:
    """Twenty random circuits over the whole gate list: a chi-square test each."""
    rng = np.random.default_rng(61)
    circuits = [random_gates(rng, int(rng.integers(2, 5)), int(rng.integers(5, 30))) for _ in range(20)]
    blocks = [block_of(gates, rng.uniform(-3, 3, (1, gates.n_columns)), shots=20_000) for gates in circuits]
    found = run_blocks(open_local(f"depolarizing={DEPOLARIZING},readout={READOUT}"), *blocks)
    sigmas = [
        chi_square_sigmas(counts_of(part).dense()[0], noisy_probabilities(block.gates, block.angles[0]))
        for part, block in zip(found, blocks, strict=True)
    ]
    assert max(sigmas) < 5.0
    assert float(np.mean(sigmas)) < 1.0


def test_noise_changes_the_distribution() -> None:
    """The same test without noise fails: it can tell the difference."""
    rng = np.random.default_rng(62)
    gates = random_gates(rng, 3, 25)
    block = block_of(gates, rng.uniform(-3, 3, (1, gates.n_columns)), shots=20_000)
    (found,) = run_blocks(open_local(), block)
    assert chi_square_sigmas(counts_of(found).dense()[0], noisy_probabilities(gates, block.angles[0])) > 10.0


def test_packing_and_threads_change_no_bit_of_noise() -> None:
    """Every shot's Paulis and reading errors come from its own row's stream."""
    rng = np.random.default_rng(63)
    gates = random_gates(rng, 5, 20)
    block = block_of(gates, rng.uniform(-3, 3, (10, gates.n_columns)), shots=300)
    options = "depolarizing=0.02,readout=0.01"
    (whole,) = run_blocks(open_local(options, threads=1), block)
    (some,) = run_blocks(open_local(options, threads=3), rows_of(block, [7, 2, 9]))
    assert_same_counts(counts_of(some), counts_of(whole).take([7, 2, 9]))


def test_certain_reading_errors_flip_every_bit() -> None:
    """With readout=1 the state |000> is read as 111."""
    gates = random_gates(np.random.default_rng(64), 3, 0)
    (found,) = run_blocks(open_local("readout=1"), block_of(gates, np.zeros((1, 0)), shots=50))
    assert counts_of(found).row(0) == {"111": 50}


def test_noise_has_no_exact_values() -> None:
    """The check says so, and what to do instead; on torch there is no noise at all."""
    backend = open_local("readout=0.1")
    gates = random_gates(np.random.default_rng(65), 2, 3)
    with pytest.raises(CircuitError, match="give a number of shots"):
        backend.check(gates, Measurement(np.zeros(2, dtype=np.uint8), is_exact=True))
    assert not backend.capabilities.exact
    with pytest.raises(UsageError, match="numba engine"):
        open_local("readout=0.1,engine=torch")
