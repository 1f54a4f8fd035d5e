"""In the worker: the blocks of a job compiled for the recorded device, and run by Aer with its noise."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from qiskit_aer import AerSimulator

from qorch.model.circuit import GateList
from qorch.model.measurement import BlockResult, RowBlock
from qorch_providers.aer_engine.circuits import BoundCircuit
from qorch_providers.aer_engine.noise import Noise, NoisyProgram, run_noisy
from qorch_providers.ibm.circuits.compiler import IsaCompiler, default_folder
from qorch_providers.ibm.circuits.isa import rotated_circuit
from qorch_providers.ibm.circuits.transpiling import compile_circuit
from qorch_providers.ibm.device import IbmDevice
from qorch_providers.ibm.options import Options
from qorch_providers.workers.batches import MAX_PROGRAMS, execute_in_batches


class InWorkerTranspiler:
    """The transpiler in this process: a worker has no event loop that would wait for it."""

    def compile(self, gates: GateList, device: IbmDevice, options: Options) -> bytes:
        """See ``Transpiler``."""
        return compile_circuit(gates, device=device, options=options)

    def close(self) -> None:
        """See ``Transpiler``."""


class FakeDeviceExecutor:
    """Turns blocks into results; keeps the most recently used circuits ready."""

    def __init__(self, device: IbmDevice, options: Options, noise: Noise) -> None:
        """Nothing is compiled yet."""
        self._device, self._options, self._noise = device, options, noise
        self._simulator = AerSimulator()
        self._compiler = IsaCompiler(folder=default_folder(), transpiler=InWorkerTranspiler())
        self._program = lru_cache(maxsize=MAX_PROGRAMS)(self._prepare)

    def execute(self, blocks: list[RowBlock], *, threads: int) -> list[BlockResult]:
        """One result per block, in order."""

        def run(parts: Sequence[RowBlock]) -> Iterator[BlockResult]:
            program = self._program(parts[0].gates, parts[0].measurement.basis.tobytes())
            return run_noisy(program, parts, threads=threads)

        return execute_in_batches(blocks, run)

    def _prepare(self, gates: GateList, basis: bytes) -> NoisyProgram:
        isa = self._compiler.compile(gates, device=self._device, options=self._options)
        bound = BoundCircuit(rotated_circuit(isa, basis), tuple(isa.circuit.parameters), isa.values)
        return NoisyProgram(self._simulator, self._noise.place(bound, list(isa.layout)))
