"""A pool of worker processes on one event loop: jobs queue, lost workers are replaced, cancelled jobs end."""

import asyncio
import contextlib
import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from qorch.errors import BackendError, WorkerLostError
from qorch.model.job import JobRequest, RawResult
from qorch_providers.aer.process import WorkerProcess, start_worker

MAX_STARTS = 3
"""A worker that does not come up so many times in a row will not come up."""
MAX_WORKERS_PER_JOB = 3
"""A job that so many workers died of is at fault itself."""
THREADS_MIN_QUBITS = 20
"""Below, Aer gains nothing from a second thread (measured: nothing at 12 to 18 qubits)."""
_MAX_REMEMBERED_LOSSES = 1_024


@dataclass(eq=False)
class _Task:
    """A submitted job; ``outcome`` is set once, by the lane, ``cancel`` or ``close``."""

    request: JobRequest
    outcome: "asyncio.Future[RawResult | BackendError]"
    worker: WorkerProcess | None = None

    def settle(self, outcome: RawResult | BackendError) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)


@dataclass(eq=False)
class _Lane:
    """One place for a worker."""

    worker: WorkerProcess | None = None
    serving: "asyncio.Task[None] | None" = field(default=None, repr=False)


class Pool:
    """``size`` workers. Used from one event loop; started by ``open`` or the first ``put``."""

    def __init__(self, *, size: int, worker_arguments: tuple[str, ...], now_ns: Callable[[], int]) -> None:
        """Start nothing yet. ``now_ns``: the clock that measures how long jobs wait for workers to start."""
        self._size = size
        self._worker_arguments = worker_arguments
        self._lanes: list[_Lane] = []
        self._queue: asyncio.Queue[_Task] = asyncio.Queue()
        self._tasks: dict[str, _Task] = {}
        self._running = 0
        self._numbers = count(1)
        self._losses: dict[str, int] = {}
        self._is_closed = False
        self._now_ns = now_ns
        self._first_put_ns: int | None = None
        self._starting: list[tuple[int, int]] = []
        _close_pipes_in_children(self)

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that live."""
        return [lane.worker.pid for lane in self._lanes if lane.worker is not None and lane.worker.is_alive]

    def open(self) -> None:
        """Start the workers in the background."""
        if self._is_closed:
            raise BackendError("this aer backend is closed; open a new one")
        if not self._lanes:
            self._lanes = [_Lane() for _ in range(self._size)]
            for lane in self._lanes:
                lane.serving = asyncio.create_task(self._serve(lane))

    def put(self, request: JobRequest) -> str:
        """Queue a job; returns its number."""
        self.open()
        if self._first_put_ns is None:
            self._first_put_ns = self._now_ns()
        number = f"{next(self._numbers)}"
        task = _Task(request, asyncio.get_running_loop().create_future())
        self._tasks[number] = task
        self._queue.put_nowait(task)
        return number

    async def wait(self, number: str) -> RawResult:
        """The answer to a job, handed out once. Raises what ended it otherwise."""
        task = self._tasks.get(number)
        if task is None:
            raise BackendError(f"aer has no job {number}; an answer can be fetched once")
        outcome = await asyncio.shield(task.outcome)
        self._tasks.pop(number, None)
        if isinstance(outcome, BackendError):
            raise outcome
        return outcome

    def cancel(self, number: str) -> None:
        """End a job: one that runs takes its worker with it."""
        task = self._tasks.get(number)
        if task is None or task.outcome.done():
            return
        task.settle(BackendError(f"job {task.request.job_id} was cancelled"))
        if task.worker is not None:
            task.worker.kill()

    async def close(self) -> None:
        """End all workers and jobs."""
        self._is_closed = True
        serving = [lane.serving for lane in self._lanes if lane.serving is not None]
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await asyncio.gather(*(lane.worker.end() for lane in self._lanes if lane.worker is not None))
        self._lanes = []
        for job in self._tasks.values():
            job.settle(BackendError(f"job {job.request.job_id} was cancelled: the backend was closed"))

    def close_in_child(self) -> None:
        """In a forked child: let go of the workers' pipes."""
        for lane in self._lanes:
            if lane.worker is not None:
                lane.worker.close_in_child()

    async def _serve(self, lane: _Lane) -> None:
        with contextlib.suppress(BackendError):
            await self._ready_worker(lane)
        while True:
            task = await self._queue.get()
            if not task.outcome.done():
                await self._run(lane, task)

    async def _run(self, lane: _Lane, task: _Task) -> None:
        self._running += 1
        try:
            worker = await self._ready_worker(lane)
            if task.outcome.done():
                return
            task.worker = worker
            outcome: RawResult | BackendError = await worker.run(task.request, threads=self._threads(task))
            self._losses.pop(task.request.job_id, None)
        except WorkerLostError as error:
            outcome = self._count_loss(task, error)
        except BackendError as error:
            outcome = error
        except Exception as error:  # a lane that ends would leave every later job waiting for ever
            outcome = BackendError(f"job {task.request.job_id} could not be handed to a worker: {error}")
            outcome.__cause__ = error
        finally:
            self._running -= 1
            task.worker = None
        task.settle(outcome)

    def _threads(self, task: _Task) -> int:
        """All cores for a single large job, one otherwise. Bits do not depend on it."""
        largest = max((block.gates.n_qubits for block in task.request.blocks), default=0)
        is_alone = self._running == 1 and self._queue.empty()
        return self._size if is_alone and largest >= THREADS_MIN_QUBITS else 1

    def _count_loss(self, task: _Task, error: WorkerLostError) -> BackendError:
        if task.outcome.done():
            return error
        job_id = task.request.job_id
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
        first_put_ns = self._first_put_ns
        if first_put_ns is None:
            return []
        return [(max(begun_ns, first_put_ns), ended_ns) for begun_ns, ended_ns in taken if ended_ns > first_put_ns]

    async def _ready_worker(self, lane: _Lane) -> WorkerProcess:
        if lane.worker is not None and lane.worker.is_alive:
            return lane.worker
        for attempt in range(1, MAX_STARTS + 1):
            if lane.worker is not None:
                await lane.worker.end()
            lane.worker = None
            begun_ns = self._now_ns()
            worker = await start_worker(self._worker_arguments, threads=self._size)
            lane.worker = worker
            try:
                await worker.wait_ready()
            except WorkerLostError as error:
                if attempt == MAX_STARTS:
                    raise BackendError(f"aer workers do not start: {error}") from error
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
