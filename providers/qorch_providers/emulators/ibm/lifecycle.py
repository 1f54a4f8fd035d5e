"""The lifecycle of a job: queued, running, over. Its circuits are read and simulated in another thread, one at a time.

A job waits for the drawn time of the queue, then for its turn on the device and for the end of maintenance. It runs for
the drawn time of execution, or for as long as simulating it takes if that is longer.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from qorch.errors import CircuitError, UsageError
from qorch.model.latency import Latency
from qorch_providers.emulators.ibm.jobs import RAN_TOO_LONG, IbmJob, IbmJobRegistry
from qorch_providers.emulators.ibm.money import UsageModel, whole_seconds
from qorch_providers.emulators.ibm.programs.circuits import NotSupportedError
from qorch_providers.emulators.ibm.programs.outcome import JobOutcome
from qorch_providers.emulators.ibm.refusals import SESSION_CLOSED, IbmRefusedError
from qorch_providers.emulators.ibm.sessions import IbmSession, SessionBook
from qorch_providers.emulators.ibm.turns import DeviceTurns
from qorch_providers.emulators.kit.clock import ScaledClock

NOT_SUPPORTED, NOT_VALID, INTERNAL = 1517, 1002, 9999
_log = logging.getLogger(__name__)
_TOLD = "the emulator was told to let this fail"


@dataclass(frozen=True)
class _Ending:
    """How a job ends."""

    status: str
    usage_seconds: int = 0
    reason: str | None = None
    code: int | None = None


@dataclass(frozen=True)
class JobTimes:
    """How long things take. ``usage_delay``: until the usage of a job is complete."""

    queue: Latency
    execute: Latency
    usage_delay: Latency
    usage: UsageModel


class IbmLifecycle:
    """Moves jobs through their states."""

    def __init__(
        self,
        registry: IbmJobRegistry,
        sessions: SessionBook,
        turns: Mapping[str, DeviceTurns],
        *,
        clock: ScaledClock,
        times: JobTimes,
        prepare: Callable[[IbmJob], Callable[[], JobOutcome]],
        wait_for_device: Callable[[str], Awaitable[None]],
        second_micros: Callable[[IbmJob], int],
        rng: np.random.Generator,
    ) -> None:
        """``prepare`` gives what runs a job's program in another thread; ``second_micros``: what a second costs."""
        self._registry = registry
        self._sessions = sessions
        self._turns = turns
        self._clock = clock
        self._times = times
        self._prepare = prepare
        self._wait_for_device = wait_for_device
        self._second_micros = second_micros
        self._rng = rng
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="qorch-simulator")
        self._lifecycles: set[asyncio.Task[None]] = set()
        self._sessions_by_job: dict[IbmJob, IbmSession] = {}

    def begin(self, job: IbmJob, session: IbmSession | None, *, faults: Sequence[str]) -> None:
        """Start a job's lifecycle."""
        if session is not None:
            self._sessions_by_job[job] = session
        job.background = asyncio.create_task(self._live(job, session, frozenset(faults)))
        self._lifecycles.add(job.background)
        job.background.add_done_callback(self._lifecycles.discard)

    def cancel(self, job: IbmJob) -> None:
        """Cancel a job; if it runs, it is charged for the time that it ran. Raises IbmRefusedError (409)."""
        if job.is_over:
            raise IbmRefusedError(409, 1200, f"The job is {job.status} and cannot be cancelled")
        ran_seconds = 0.0
        if job.started_unix is not None:
            ran_seconds = (self._clock.unix() - job.started_unix) * self._clock.scale
        self._stop(job, _Ending("Cancelled", whole_seconds(ran_seconds)))

    def expire(self, job: IbmJob) -> None:
        """Fail a job that still waits, since the time of its session is over."""
        if job.status == "Queued":
            self._stop(job, _Ending("Failed", 0, "Session has been closed.", SESSION_CLOSED))

    async def close(self) -> None:
        """End all lifecycles."""
        for lifecycle in tuple(self._lifecycles):
            lifecycle.cancel()
        await asyncio.gather(*self._lifecycles, return_exceptions=True)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _stop(self, job: IbmJob, ending: _Ending) -> None:
        if job.background is not None:
            job.background.cancel()
        self._end(job, ending)

    async def _live(self, job: IbmJob, session: IbmSession | None, faults: frozenset[str]) -> None:
        await self._clock.sleep(self._times.queue.draw_seconds(self._rng))
        if "stuck" in faults:
            return
        turns = self._turns[job.order.backend]
        await turns.take(session)
        try:
            await self._wait_for_device(job.order.backend)
            job.status, job.started_unix = "Running", self._clock.unix()
            self._sessions.start_job(session)
            self._end(job, await self._run(job, faults))
        finally:
            turns.give_back()

    async def _run(self, job: IbmJob, faults: frozenset[str]) -> _Ending:
        program = asyncio.get_running_loop().run_in_executor(self._pool, self._prepare(job))
        seconds, limit = self._times.execute.draw_seconds(self._rng), job.order.max_seconds
        try:
            _, outcome = await asyncio.gather(self._clock.sleep(min(seconds, limit)), program)
        except (ArithmeticError, CircuitError, MemoryError, UsageError, ValueError) as error:
            code = NOT_SUPPORTED if isinstance(error, NotSupportedError) else NOT_VALID
            return _Ending("Failed", 0, str(error), code)
        except Exception as error:
            _log.exception("the emulator failed to run job %s", job.id)
            return _Ending("Failed", 0, f"the emulator itself failed: {error!r}", INTERNAL)
        if "invalid" in faults:
            # A failure by the user's fault is charged for what ran, one by the system's is not.
            return _Ending("Failed", whole_seconds(min(seconds, limit)), _TOLD, NOT_SUPPORTED)
        if "failure" in faults:
            return _Ending("Failed", 0, _TOLD, INTERNAL)
        job.rows, job.executions = outcome.rows, outcome.executions
        used = max(seconds, self._times.usage.seconds(outcome.executions))
        if used > limit:
            return _Ending("Cancelled", limit, "Job execution took too long.", RAN_TOO_LONG)
        await self._keep(job, outcome)
        return _Ending("Completed", whole_seconds(self._times.usage.seconds(outcome.executions)))

    async def _keep(self, job: IbmJob, outcome: JobOutcome) -> None:
        start_unix, end_unix = job.started_unix or 0.0, self._clock.unix()
        start, end = (self._clock.project(job.accepted_unix, unix) for unix in (start_unix, end_unix))
        loop = asyncio.get_running_loop()
        self._registry.keep(job, await loop.run_in_executor(self._pool, outcome.encode, start, end))

    def _end(self, job: IbmJob, ending: _Ending) -> None:
        if job.is_over:
            return
        session = self._sessions_by_job.pop(job, None)
        job.status, job.ended_unix = ending.status, self._clock.unix()
        job.reason, job.reason_code = ending.reason, ending.code
        job.usage_seconds = 0 if job.order.is_mock else ending.usage_seconds
        delay_seconds = self._times.usage_delay.draw_seconds(self._rng)
        job.usage_due_seconds = self._clock.protocol_seconds() + delay_seconds
        job.is_charged = session is None or not session.is_dedicated
        job.price_micros = job.usage_seconds * self._second_micros(job) if job.is_charged else 0
        self._sessions.end_job(session, has_run=job.started_unix is not None)
