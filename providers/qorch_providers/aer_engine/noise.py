"""In the worker: noise of a device or a file, circuits compiled for it, density matrices and trajectories."""

import hashlib
import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from qiskit import ClassicalRegister, QuantumCircuit, transpile
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel

from qorch.errors import BackendError, CircuitError
from qorch.model.arrays import FloatArray, IntArray
from qorch.model.measurement import BlockResult, RowBlock
from qorch.model.samples import Samples
from qorch_providers.aer_engine.circuits import BoundCircuit, run_probabilities, with_probabilities
from qorch_providers.aer_engine.devices import FAKE_PREFIX, load_device
from qorch_providers.aer_engine.kept_noise import NoiseTable, kept_file, load_or_build
from qorch_providers.aer_engine.limits import MAX_EXACT_NOISY_ACTIVE_QUBITS, MAX_SAMPLED_DENSITY_QUBITS
from qorch_providers.sampling import pack_counts
from qorch_providers.workers.batches import read_table

TRANSPILER_SEED = 2_026
OPTIMIZATION_LEVEL = 1
_IDENTITY = ((1.0, 0.0), (0.0, 1.0))


@dataclass(frozen=True, eq=False)
class Compiled:
    """A circuit over the ``n_active`` qubits that it really uses; ``layout[i]`` is the place of user qubit i."""

    bound: BoundCircuit
    layout: list[int]
    model: NoiseModel
    readout: list[Sequence[Sequence[float]]]

    @property
    def n_active(self) -> int:
        """How many qubits the simulation has, routing included."""
        return int(self.bound.circuit.num_qubits)


class Noise:
    """A noise model, with its device if it belongs to one."""

    def __init__(self, name: str, *, digest: bytes) -> None:
        """Load ``fake_<device>``, or a file of ``NoiseModel.to_dict(serializable=True)`` with that SHA-256."""
        if name.startswith(FAKE_PREFIX):
            device = load_device(name)
            table = load_or_build(kept_file(name, digest=digest), lambda: _as_table(NoiseModel.from_backend(device)))
            self._device: Any = device
        else:
            self._device = None
            table = _as_table(NoiseModel.from_dict(json.loads(_read_unchanged(Path(name), digest=digest))))
        self._basis_gates = table.basis_gates
        self._errors = table.errors

    def compile(self, bound: BoundCircuit, *, n_qubits: int) -> Compiled:
        """Transpile once with a fixed seed, angles symbolic, then drop the device's idle qubits."""
        target = {"backend": self._device} if self._device is not None else {"basis_gates": self._basis_gates}
        circuit = transpile(
            bound.circuit, seed_transpiler=TRANSPILER_SEED, optimization_level=OPTIMIZATION_LEVEL, **target
        )
        return self.place(bound.replaced_by(circuit), _final_layout(circuit, n_qubits))

    def place(self, bound: BoundCircuit, layout: list[int]) -> Compiled:
        """A circuit on the device's own qubits, without the idle ones; ``layout[i]``: where user qubit i is."""
        places = _places_of_active(bound.circuit, layout)
        errors = _errors_at(self._errors, places)
        readout = [_readout_of(errors, places[qubit]) for qubit in layout]
        return Compiled(
            bound.replaced_by(_compact(bound.circuit, places)),
            [places[qubit] for qubit in layout],
            NoiseModel.from_dict({"errors": errors}),
            readout,
        )


def _as_table(model: NoiseModel) -> NoiseTable:
    return NoiseTable(model.basis_gates, model.to_dict()["errors"])


def _read_unchanged(path: Path, *, digest: bytes) -> bytes:
    content = path.read_bytes()
    if hashlib.sha256(content).digest() != digest:
        raise BackendError(f"the noise file '{path}' has changed since the backend was opened; open it again")
    return content


def _final_layout(circuit: QuantumCircuit, n_qubits: int) -> list[int]:
    if circuit.layout is None:
        return list(range(n_qubits))
    return [int(place) for place in circuit.layout.final_index_layout()][:n_qubits]


def _places_of_active(circuit: QuantumCircuit, layout: list[int]) -> dict[int, int]:
    used = {circuit.find_bit(qubit).index for item in circuit.data for qubit in item.qubits}
    return {qubit: place for place, qubit in enumerate(sorted(used | set(layout)))}


def _compact(circuit: QuantumCircuit, places: dict[int, int]) -> QuantumCircuit:
    compacted = QuantumCircuit(len(places))
    for item in circuit.data:
        compacted.append(item.operation, [places[circuit.find_bit(qubit).index] for qubit in item.qubits])
    return compacted


def _errors_at(errors: list[dict[str, Any]], places: dict[int, int]) -> list[dict[str, Any]]:
    """The errors of the active qubits, renumbered: Aer prepares all it is given, anew in every run."""
    kept = []
    for error in errors:
        groups = error.get("gate_qubits")
        if groups is None:
            kept.append(error)
            continue
        active = [tuple(places[q] for q in group) for group in groups if all(q in places for q in group)]
        if active:
            kept.append({**error, "gate_qubits": active})
    return kept


def _readout_of(errors: list[dict[str, Any]], place: int) -> Sequence[Sequence[float]]:
    """``[true][read]`` probabilities of a qubit; its own error goes before the one for all qubits."""
    found: Sequence[Sequence[float]] = _IDENTITY
    for error in errors:
        if error["type"] != "roerror":
            continue
        groups = error.get("gate_qubits")
        if groups is not None and (place,) in [tuple(group) for group in groups]:
            return list(error["probabilities"])
        if groups is None:
            found = error["probabilities"]
    return found


def apply_readout(probabilities: FloatArray, readout: list[Sequence[Sequence[float]]]) -> FloatArray:
    """What is read instead of what is: each qubit's ``[true][read]`` matrix applied to ``(R, 2**n)``."""
    table = probabilities
    for qubit, matrix in enumerate(readout):
        split = table.reshape(len(table), -1, 2, 1 << qubit)
        zero, one = split[:, :, 0], split[:, :, 1]
        mixed = [zero * matrix[0][read] + one * matrix[1][read] for read in (0, 1)]
        table = np.stack(mixed, axis=2).reshape(probabilities.shape)
    return table


class NoisyProgram:
    """A circuit with noise, ready to run.

    Up to MAX_SAMPLED_DENSITY_QUBITS active qubits its density matrix gives exact probabilities; beyond, shots are
    trajectories of Aer, seeded by row. Which of the two depends on the circuit alone.
    """

    def __init__(self, simulator: AerSimulator, compiled: Compiled) -> None:
        """Run a circuit that was compiled for the device."""
        self._simulator = simulator
        self._compiled = compiled
        self._saving = with_probabilities(self._compiled.bound, self._compiled.layout)
        self._measuring = _with_measurement(self._compiled)

    @property
    def is_sampled_by_aer(self) -> bool:
        """Whether shots are trajectories."""
        return self._compiled.n_active > MAX_SAMPLED_DENSITY_QUBITS

    def probabilities(self, angles: FloatArray, *, threads: int) -> FloatArray:
        """Outcome probabilities ``(R, 2**n)``. Raises CircuitError if the density matrix is too large."""
        if self._compiled.n_active > MAX_EXACT_NOISY_ACTIVE_QUBITS:
            raise CircuitError(
                f"compiled for the device the circuit uses {self._compiled.n_active} qubits; exact values with"
                f" noise are possible up to {MAX_EXACT_NOISY_ACTIVE_QUBITS}: ask for shots"
            )
        table = run_probabilities(
            self._simulator,
            self._saving,
            angles,
            method="density_matrix",
            noise_model=self._compiled.model,
            max_parallel_threads=threads,
        )
        # A density matrix has rounding noise around zero; its trace is one up to the device's own data.
        table = np.maximum(table, 0.0)
        return apply_readout(table / table.sum(axis=1, keepdims=True), self._compiled.readout)

    def trajectories(
        self, angles: FloatArray, *, stream: int, ordinal: int, shots: int, shot_offset: int
    ) -> tuple[IntArray, IntArray]:
        """Outcomes and counts of one row; another offset is another, independent seed."""
        text = struct.pack("<QQQ", stream, ordinal, shot_offset)
        seed = int.from_bytes(hashlib.sha256(b"qorch-trajectory-1" + text).digest()[:8], "little") >> 2
        result = self._simulator.run(
            self._measuring.row(angles),
            shots=shots,
            seed_simulator=seed,
            method="statevector",
            noise_model=self._compiled.model,
            max_parallel_threads=1,
        ).result()
        if not result.success:
            raise BackendError(f"Aer could not simulate the circuit: {result.status}")
        seen = sorted((int(outcome, 16), count) for outcome, count in result.data(0)["counts"].items())
        table = np.array(seen, dtype=np.int64)
        return table[:, 0], table[:, 1]


def _with_measurement(compiled: Compiled) -> BoundCircuit:
    circuit = compiled.bound.circuit.copy()
    register = ClassicalRegister(len(compiled.layout))
    circuit.add_register(register)
    circuit.measure(compiled.layout, register)
    return compiled.bound.replaced_by(circuit)


def run_noisy(program: NoisyProgram, parts: Sequence[RowBlock], *, threads: int) -> Iterator[BlockResult]:
    """The results of blocks of the program's circuit, which are all exact or all sampled."""
    if program.is_sampled_by_aer and parts[0].samples is not None:
        return (_run_trajectories(program, part, part.samples) for part in parts if part.samples is not None)
    table = program.probabilities(np.concatenate([part.angles for part in parts]), threads=threads)
    return read_table(parts, table)


def _run_trajectories(program: NoisyProgram, block: RowBlock, samples: Samples) -> BlockResult:
    rows = [
        program.trajectories(
            block.angles[row],
            stream=int(samples.streams[row]),
            ordinal=int(samples.ordinals[row]),
            shots=samples.shots,
            shot_offset=samples.offset,
        )
        for row in range(block.n_rows)
    ]
    outcomes, counts = [row[0] for row in rows], [row[1] for row in rows]
    return BlockResult(counts=pack_counts(outcomes, counts, n_qubits=block.gates.n_qubits))
