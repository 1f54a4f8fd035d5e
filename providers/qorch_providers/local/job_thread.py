"""Runs jobs one after the other in a thread, or in the event loop itself if they are short."""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from qorch.errors import BackendError
from qorch.model.job import JobRequest, RawResult
from qorch.ports.clock import Clock
from qorch_providers.local.durations import Durations


class Stop:
    """Whether a job is to stop; asked between the pieces of its work."""

    def __init__(self, name: str) -> None:
        """``name``: of the job, for the error."""
        self._name = name
        self._event = threading.Event()

    def set(self) -> None:
        """Stop at the next check."""
        self._event.set()

    def check(self) -> None:
        """Raise BackendError if the job is to stop."""
        if self._event.is_set():
            raise BackendError(f"{self._name} was cancelled: the backend was closed")


class JobThread:
    """One thread for jobs, started by the first one that needs it, and again after a fork."""

    def __init__(self, clock: Clock) -> None:
        """Start nothing yet."""
        self._clock = clock
        self._durations = Durations()
        self._stops: set[Stop] = set()
        self._executor: ThreadPoolExecutor | None = None
        self._owner_pid = os.getpid()

    async def run(self, request: JobRequest, compute: Callable[[Stop], RawResult]) -> RawResult:
        """What ``compute`` returns. If the call is cancelled, the job stops at its next check.

        Raises what ``compute`` raises, and BackendError for a job that ``close`` stopped.
        """
        stop = Stop(f"job {request.job_id}")
        if not self._stops and self._durations.is_short(request):
            result = self._compute(request, compute, stop)
            await asyncio.sleep(0)  # other tasks have their turn between two short jobs
            return result
        executor = self._own_executor()
        self._stops.add(stop)
        future = executor.submit(self._compute, request, compute, stop)
        future.add_done_callback(lambda _: self._stops.discard(stop))
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            stop.set()
            raise

    def _compute(self, request: JobRequest, compute: Callable[[Stop], RawResult], stop: Stop) -> RawResult:
        stop.check()
        started_ns = self._clock.monotonic_ns()
        result = compute(stop)
        self._durations.note(request, duration_ns=self._clock.monotonic_ns() - started_ns)
        return result

    def _own_executor(self) -> ThreadPoolExecutor:
        if self._executor is None or self._owner_pid != os.getpid():  # threads do not survive a fork
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="qorch-local-job")
            self._owner_pid = os.getpid()
            self._stops.clear()
        return self._executor

    async def close(self) -> None:
        """Stop all jobs, and wait for the thread."""
        for stop in list(self._stops):
            stop.set()
        executor, self._executor = self._executor, None
        if executor is not None and self._owner_pid == os.getpid():
            await asyncio.to_thread(executor.shutdown)
