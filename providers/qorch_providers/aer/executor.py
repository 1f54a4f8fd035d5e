"""In the worker: the blocks of a job executed by Aer, circuit by circuit."""

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial

import numpy as np
from qiskit_aer import AerSimulator

from qorch.model.circuit import GateList
from qorch.model.measurement import BlockResult, RowBlock
from qorch_providers.aer.circuits import IdealProgram, build_circuit
from qorch_providers.aer_engine.noise import Noise, NoisyProgram, run_noisy
from qorch_providers.workers.batches import MAX_PROGRAMS, execute_in_batches, read_table

Program = IdealProgram | NoisyProgram


class Executor:
    """Turns blocks into results; keeps the most recently used circuits compiled."""

    def __init__(self, noise: Noise | None) -> None:
        """Nothing is compiled yet."""
        self._noise = noise
        self._simulator = AerSimulator()
        self._program = lru_cache(maxsize=MAX_PROGRAMS)(self._compile)

    def execute(self, blocks: list[RowBlock], *, threads: int) -> list[BlockResult]:
        """One result per block, in order."""
        return execute_in_batches(blocks, partial(self._run, threads=threads))

    def _run(self, parts: Sequence[RowBlock], *, threads: int) -> Iterator[BlockResult]:
        program = self._program(parts[0].gates, parts[0].measurement.basis.tobytes())
        if isinstance(program, NoisyProgram):
            return run_noisy(program, parts, threads=threads)
        table = program.probabilities(np.concatenate([part.angles for part in parts]), threads=threads)
        return read_table(parts, table)

    def _compile(self, gates: GateList, basis_bytes: bytes) -> Program:
        basis = np.frombuffer(basis_bytes, dtype=np.uint8)
        if self._noise is None:
            return IdealProgram(self._simulator, gates, basis)
        compiled = self._noise.compile(build_circuit(gates, basis), n_qubits=gates.n_qubits)
        return NoisyProgram(self._simulator, compiled)
