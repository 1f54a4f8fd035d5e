"""In the worker: the blocks of a job executed by a simulator of the SDK, circuit by circuit."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from qorch.model.circuit import GateList
from qorch.model.measurement import BlockResult, Measurement, RowBlock
from qorch_providers.braket.circuits.programs import program_of
from qorch_providers.braket.local.simulation import CompiledProgram, describe_simulator
from qorch_providers.braket.options import Options
from qorch_providers.workers.batches import MAX_PROGRAMS, execute_in_batches, read_table


class LocalExecutor:
    """Turns blocks into results; keeps the most recently used circuits compiled."""

    def __init__(self, simulator: str) -> None:
        """Nothing is compiled yet."""
        self._device = describe_simulator(simulator)
        self._options = Options(self._device.arn)
        self._compiled = lru_cache(maxsize=MAX_PROGRAMS)(self._compile)

    def execute(self, blocks: list[RowBlock], *, threads: int) -> list[BlockResult]:
        """One result per block, in order; one thread computes."""
        del threads
        return execute_in_batches(blocks, self._run)

    def _run(self, parts: Sequence[RowBlock]) -> Iterator[BlockResult]:
        compiled = self._compiled(parts[0].gates, parts[0].measurement.basis.tobytes())
        return read_table(parts, compiled.probabilities(np.concatenate([part.angles for part in parts])))

    def _compile(self, gates: GateList, basis_bytes: bytes) -> CompiledProgram:
        """The program for all probabilities: shots are drawn from them, and parities are sums of them."""
        measurement = Measurement(np.frombuffer(basis_bytes, dtype=np.uint8), is_exact=True)
        program = program_of(gates, measurement, device=self._device, options=self._options)
        return CompiledProgram(program, simulator=self._device.name, n_qubits=gates.n_qubits)
