"""A pool of worker processes on one event loop: jobs queue, lost workers are replaced, cancelled jobs end."""

import asyncio
import contextlib
import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field

from qorch.errors import BackendError, WorkerLostError
from qorch.model.job import JobRequest, RawResult
from qorch_providers.workers.process import WorkerProcess, WorkerProgram, start_worker

MAX_STARTS = 3
"""A worker that does not come up so many times in a row will not come up."""
MAX_WORKERS_PER_JOB = 3
"""A job that so many workers died of is at fault itself."""
_MAX_REMEMBERED_LOSSES = 1_024


@dataclass(eq=False)
class _Job:
    """A job until its answer is there; ``answer`` is set once, by the lane or by ``close``, or is cancelled."""

    request: JobRequest
    answer: "asyncio.Future[RawResult]"
    worker: WorkerProcess | None = None

    def end(self, outcome: RawResult | BackendError) -> None:
        if self.answer.done():
            return
        if isinstance(outcome, BackendError):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)


@dataclass(eq=False)
class _Lane:
    """One place for a worker."""

    worker: WorkerProcess | None = None
    serving: "asyncio.Task[None] | None" = field(default=None, repr=False)


class Pool:
    """``size`` workers. Used from one event loop; started by ``open`` or the first ``run``."""

    def __init__(self, program: WorkerProgram, *, size: int, now_ns: Callable[[], int]) -> None:
        """Start nothing yet. ``now_ns``: the clock that measures how long jobs wait for workers to start."""
        self._program = program
        self._size = size
        self._lanes: list[_Lane] = []
        self._queue: asyncio.Queue[_Job] = asyncio.Queue()
        self._jobs: set[_Job] = set()
        self._running = 0
        self._losses: dict[str, int] = {}
        self._is_closed = False
        self._now_ns = now_ns
        self._first_run_ns: int | None = None
        self._starting: list[tuple[int, int]] = []
        _close_pipes_in_children(self)

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that live."""
        return [lane.worker.pid for lane in self._lanes if lane.worker is not None and lane.worker.is_alive]

    def open(self) -> None:
        """Start the workers in the background."""
        if self._is_closed:
            raise BackendError(f"this {self._program.name} backend is closed; open a new one")
        if not self._lanes:
            self._lanes = [_Lane() for _ in range(self._size)]
            for lane in self._lanes:
                lane.serving = asyncio.create_task(self._serve(lane))

    async def run(self, request: JobRequest) -> RawResult:
        """The answer to a job. If the call is cancelled, a worker that runs the job ends with it.

        Raises WorkerLostError if the worker died, BackendError if the job failed or the pool was closed.
        """
        self.open()
        if self._first_run_ns is None:
            self._first_run_ns = self._now_ns()
        job = _Job(request, asyncio.get_running_loop().create_future())
        self._jobs.add(job)
        self._queue.put_nowait(job)
        try:
            return await job.answer
        except asyncio.CancelledError:
            if job.worker is not None:
                job.worker.kill()
            raise
        finally:
            self._jobs.discard(job)

    async def close(self) -> None:
        """End all workers and jobs."""
        self._is_closed = True
        serving = [lane.serving for lane in self._lanes if lane.serving is not None]
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await asyncio.gather(*(lane.worker.end() for lane in self._lanes if lane.worker is not None))
        self._lanes = []
        for job in self._jobs:
            job.end(BackendError(f"job {job.request.job_id} was cancelled: the backend was closed"))

    def close_in_child(self) -> None:
        """In a forked child: let go of the workers' pipes."""
        for lane in self._lanes:
            if lane.worker is not None:
                lane.worker.close_in_child()

    async def _serve(self, lane: _Lane) -> None:
        with contextlib.suppress(BackendError):
            await self._ready_worker(lane)
        while True:
            job = await self._queue.get()
            if not job.answer.done():
                await self._run(lane, job)

    async def _run(self, lane: _Lane, job: _Job) -> None:
        self._running += 1
        try:
            worker = await self._ready_worker(lane)
            if job.answer.done():
                return
            job.worker = worker
            outcome: RawResult | BackendError = await worker.run(job.request, threads=self._threads(job))
            self._losses.pop(job.request.job_id, None)
        except WorkerLostError as error:
            outcome = self._count_loss(job, error)
        except BackendError as error:
            outcome = error
        except Exception as error:  # a lane that ends would leave every later job waiting for ever
            outcome = BackendError(f"job {job.request.job_id} could not be handed to a worker: {error}")
            outcome.__cause__ = error
        finally:
            self._running -= 1
            job.worker = None
        job.end(outcome)

    def _threads(self, job: _Job) -> int:
        """All cores for a single large job, one otherwise. Bits do not depend on it."""
        largest = max((block.gates.n_qubits for block in job.request.blocks), default=0)
        is_alone = self._running == 1 and self._queue.empty()
        return self._size if is_alone and largest >= self._program.threads_min_qubits else 1

    def _count_loss(self, job: _Job, error: WorkerLostError) -> BackendError:
        if job.answer.done():
            return error
        job_id = job.request.job_id
        if len(self._losses) >= _MAX_REMEMBERED_LOSSES:
            self._losses.clear()
        self._losses[job_id] = self._losses.get(job_id, 0) + 1
        if self._losses[job_id] < MAX_WORKERS_PER_JOB:
            return error
        final = BackendError(f"job {job_id} ended {MAX_WORKERS_PER_JOB} workers and is not tried again: {error}")
        final.__cause__ = error
        return final

    def take_start_intervals(self) -> list[tuple[int, int]]:
        """Begins and ends of the starts of workers since the last call, from the first job on, which waits for them."""
        taken, self._starting = self._starting, []
        first_run_ns = self._first_run_ns
        if first_run_ns is None:
            return []
        return [(max(begun_ns, first_run_ns), ended_ns) for begun_ns, ended_ns in taken if ended_ns > first_run_ns]

    async def _ready_worker(self, lane: _Lane) -> WorkerProcess:
        if lane.worker is not None and lane.worker.is_alive:
            return lane.worker
        for attempt in range(1, MAX_STARTS + 1):
            if lane.worker is not None:
                await lane.worker.end()
            lane.worker = None
            begun_ns = self._now_ns()
            worker = await start_worker(self._program, threads=self._size)
            lane.worker = worker
            try:
                await worker.wait_ready()
            except WorkerLostError as error:
                if attempt == MAX_STARTS:
                    raise BackendError(f"{self._program.name} workers do not start: {error}") from error
            else:
                self._starting.append((begun_ns, self._now_ns()))
                return worker
        raise AssertionError("unreachable")


def _close_pipes_in_children(pool: Pool) -> None:
    """Forked children (of a DataLoader, say) must not hold the pipes; the callback does not keep the pool alive."""
    reference = weakref.ref(pool)

    def close() -> None:
        inherited = reference()
        if inherited is not None:
            inherited.close_in_child()

    os.register_at_fork(after_in_child=close)
