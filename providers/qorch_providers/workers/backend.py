"""What backends whose jobs run in worker processes have in common."""

from collections.abc import Sequence

from qorch.errors import CircuitError, RejectedError
from qorch.model.circuit import GateList
from qorch.model.job import JobRequest, JobResult, JobShape, Payload, RawResult
from qorch.model.measurement import Measurement, RowBlock
from qorch.model.timing import Phase
from qorch.ports.backend import Capabilities
from qorch.ports.clock import Clock
from qorch_providers.answers import read_answer
from qorch_providers.workers.pool import Pool
from qorch_providers.workers.process import WorkerProgram


class WorkerBackend:
    """See ``qorch.ports.backend.InProcessBackend``; a subclass has ``check`` and ``rows_per_job``."""

    def __init__(
        self, name: str, program: WorkerProgram, *, capabilities: Capabilities, context: bytes, clock: Clock
    ) -> None:
        """Start nothing yet. ``capabilities.slots`` is the number of workers, ``context`` the same for all circuits."""
        self._name = name
        self._program = program
        self._capabilities = capabilities
        self._context = context
        self._pool = Pool(program, size=capabilities.slots, now_ns=clock.monotonic_ns)

    @property
    def name(self) -> str:
        """The full name under which it was opened."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """Its limits on this machine."""
        return self._capabilities

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the living workers, for `qorch doctor` and tests."""
        return self._pool.pids

    def check(self, gates: GateList, measurement: Measurement) -> None:
        """See Backend."""
        raise NotImplementedError

    def rows_per_job(self, gates: GateList, measurement: Measurement, *, shots: int | None) -> int:
        """See Backend."""
        raise NotImplementedError

    def context(self, gates: GateList) -> bytes:
        """See Backend; the same for every circuit."""
        del gates
        return self._context

    async def open(self) -> None:
        """Start the workers in the background."""
        self._pool.open()

    def take_slow_starts(self) -> list[tuple[Phase, int, int]]:
        """See ``qorch.ports.SlowStarter``: the starts of workers, with all that they import."""
        return [(Phase.WORKERS, start_ns, end_ns) for start_ns, end_ns in self._pool.take_start_intervals()]

    async def prepare(self, circuits: Sequence[GateList]) -> None:
        """Nothing: a worker translates a circuit at its first job, and keeps it."""

    def encode(self, request: JobRequest, *, key: str) -> Payload:
        """See Backend."""
        return Payload(request, key)

    async def run(self, payload: Payload) -> RawResult:
        """See InProcessBackend."""
        request = payload.request
        for block in request.blocks:
            self._check_block(request, block)
        return await self._pool.run(request)

    def _check_block(self, request: JobRequest, block: RowBlock) -> None:
        try:
            self.check(block.gates, block.measurement)
        except CircuitError as error:
            raise RejectedError(f"job {request.job_id}: {error}") from error
        most = self._capabilities.max_shots
        if block.shots is not None and block.shots > most:
            raise RejectedError(
                f"job {request.job_id} asks for {block.shots} shots; {self._program.name} takes 1 to {most}"
            )

    def read(self, shape: JobShape, raw: RawResult) -> JobResult:
        """See Backend."""
        return read_answer(shape, raw.content)

    async def close(self) -> None:
        """End the workers and all jobs."""
        await self._pool.close()
