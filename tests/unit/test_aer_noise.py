"""Noise on the aer backend: density matrices, reading errors, trajectories and a device's layout."""

import asyncio
import json
from pathlib import Path

import numpy as np
from qiskit import QuantumCircuit, transpile
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error, thermal_relaxation_error

from qorch.model.circuit import GateList, build_gate_list
from qorch.model.job import JobResult
from qorch.model.measurement import RowBlock
from qorch.ports.clock import WallClock
from qorch.testing.conformance.backend import (
    angles_for,
    assert_same_counts,
    block_of,
    counts_of,
    gate_triple,
    rows_of,
    values_of,
)
from qorch.testing.conformance.in_process import run_job
from qorch.testing.reference import chi_square_sigmas
from qorch_providers.aer import open_backend

BASIS_GATES = ["id", "rz", "sx", "x", "cx"]


def uneven_model() -> NoiseModel:
    """Errors that differ between qubits and directions, so that a mix-up shows."""
    model = NoiseModel(basis_gates=BASIS_GATES)
    model.add_all_qubit_quantum_error(depolarizing_error(0.01, 1), ["sx"])
    model.add_quantum_error(thermal_relaxation_error(50.0, 40.0, 20.0), ["x"], [0])
    model.add_quantum_error(depolarizing_error(0.15, 2), ["cx"], [0, 1])
    model.add_all_qubit_readout_error(ReadoutError([[0.97, 0.03], [0.06, 0.94]]))
    model.add_readout_error(ReadoutError([[0.8, 0.2], [0.1, 0.9]]), [1])
    return model


def write_model(model: NoiseModel, folder: Path) -> str:
    """The option that names the model, written to a file."""
    path = folder / "noise.json"
    path.write_text(json.dumps(model.to_dict(serializable=True)))
    return f"noise={path}"


def run_blocks(options: str, *blocks: RowBlock) -> JobResult:
    """One job on a fresh backend."""

    async def main() -> JobResult:
        backend = open_backend(options, clock=WallClock(), workers=1)
        try:
            return await run_job(backend, *blocks)
        finally:
            await backend.close()

    return asyncio.run(main())


def chain(n_qubits: int) -> GateList:
    """X on qubit 0, then free RY and CNOTs down the chain."""
    gates = [gate_triple("x", (0,)), *(gate_triple("ry", (q,), None) for q in range(1, n_qubits))]
    return build_gate_list(n_qubits, [*gates, *(gate_triple("cx", (q, q + 1)) for q in range(n_qubits - 1))])


def test_exact_noise_is_what_aer_samples_itself(tmp_path: Path) -> None:
    """Density matrix and reading errors give the distribution of Aer's own noisy shots of the same circuit."""
    model = uneven_model()
    gates = chain(3)
    angles = angles_for(gates, 2)
    exact = values_of(run_blocks(write_model(model, tmp_path), block_of(gates, angles, shots=None)).blocks[0])
    for row, (first, second) in enumerate(angles):
        circuit = QuantumCircuit(3)
        circuit.x(0)
        circuit.ry(first, 1)
        circuit.ry(second, 2)
        circuit.cx(0, 1)
        circuit.cx(1, 2)
        circuit.measure_all()
        compiled = transpile(circuit, basis_gates=BASIS_GATES, optimization_level=1, seed_transpiler=1)
        simulator = AerSimulator(noise_model=model, seed_simulator=5 + row)
        histogram = np.zeros(8)
        for outcome, count in simulator.run(compiled, shots=40_000).result().get_counts().items():
            histogram[int(outcome, 2)] = count
        assert chi_square_sigmas(histogram, exact[row]) < 6.0


def test_trajectories_follow_the_density_matrix(tmp_path: Path) -> None:
    """Beyond the density-matrix limit samples are seeded trajectories with the exact distribution."""
    options = write_model(uneven_model(), tmp_path)
    gates = chain(10)
    angles = np.tile(angles_for(gates, 1), (2, 1))
    sampled = block_of(gates, angles, shots=3_000)
    later = block_of(gates, angles, shots=3_000, shot_offset=3_000)
    whole, moved, rest, exact = run_blocks(
        options, sampled, rows_of(sampled, [1]), later, block_of(gates, angles[:1], shots=None)
    ).blocks
    histograms = [*counts_of(whole).dense(), *counts_of(rest).dense()]
    assert all(chi_square_sigmas(histogram, values_of(exact)[0]) < 6.0 for histogram in histograms)
    assert_same_counts(counts_of(whole).take([1]), counts_of(moved))
    assert len({histogram.tobytes() for histogram in histograms}) == 4


def test_a_device_keeps_the_users_bits() -> None:
    """Routed on a real coupling map, qubit i of the user is still bit i, and the noise is seen."""
    gates = build_gate_list(
        4,
        [
            gate_triple("ry", (1,), None),
            gate_triple("x", (3,)),
            *(gate_triple("cx", pair) for pair in ((3, 0), (0, 2), (2, 3), (3, 2))),
        ],
    )
    # With RY(0): qubit 3 starts at 1; the CNOTs copy it to 0 and 2, clear 3 and leave 2, so 0 and 2 are set.
    block = block_of(gates, np.array([[0.0], [np.pi]]), shots=None)
    table = values_of(run_blocks("noise=fake_lima", block).blocks[0])
    assert table.argmax(axis=1).tolist() == [0b0101, 0b0111]
    assert (table.max(axis=1) > 0.6).all()
    assert (table.max(axis=1) < 0.99).all()


def test_a_changed_noise_file_is_not_used(tmp_path: Path) -> None:
    """A worker that starts after the file was overwritten refuses, for its context would be wrong."""
    options = write_model(uneven_model(), tmp_path)
    gates = chain(2)

    async def main() -> str:
        backend = open_backend(options, clock=WallClock(), workers=1)
        (tmp_path / "noise.json").write_text('{"errors": []}')
        try:
            await run_job(backend, block_of(gates, angles_for(gates, 1), shots=10))
        except Exception as error:
            return str(error)
        finally:
            await backend.close()
        return ""

    assert "has changed" in asyncio.run(main())
