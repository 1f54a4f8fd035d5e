"""Brings to an end what another process, or an earlier life of this run, left at the provider."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from qorch.engine.journal import Journal
from qorch.engine.remote.delivery import Delivery
from qorch.engine.remote.orphans import is_orphan
from qorch.engine.remote.reconcile import Settlement
from qorch.errors import InvalidResultError, JobFailedError, UnknownOutcomeError
from qorch.model.identity import Position
from qorch.model.job import JobResult, JobState
from qorch.ports.clock import Clock
from qorch.ports.records import JobRecord
from qorch.ports.store import Jobs


class Ending(StrEnum):
    """What became of a job that was left behind."""

    FETCHED = "fetched"
    KEPT = "kept for the run"
    FAILED = "failed"
    HELD = "held"
    NOT_SENT = "not sent"
    RELEASED = "released"


@dataclass(frozen=True)
class Recovered:
    """One job that was left behind, and what became of it."""

    job: JobRecord
    ending: Ending
    reason: str = ""


class Recovery:
    """Adopts the open jobs of one run: found by key or id, waited for, fetched and stored, never sent again.

    Its caller has claimed the run.
    """

    def __init__(
        self, store: Jobs, journal: Journal, *, settlement: Settlement, delivery: Delivery, clock: Clock
    ) -> None:
        """Nothing is asked before ``start`` or ``recover``."""
        self._store = store
        self._journal = journal
        self._settlement = settlement
        self._delivery = delivery
        self._clock = clock
        self._tasks: dict[Position, list[asyncio.Task[Recovered]]] = defaultdict(list)

    def start(self, run_id: str) -> None:
        """Adopt the run's open jobs in the background."""
        for job in self._store.jobs(run_id, state=JobState.RESERVED):
            never_sent = replace(job, state=JobState.CANCELLED, changed_at=self._clock.now())
            self._journal.record_soon([never_sent])
        for job in self._store.open_jobs(run_id):
            self.adopt(job)

    def adopt(self, job: JobRecord) -> None:
        """Adopt one open job, in the background."""
        self._tasks[job.position].append(asyncio.create_task(self._recover(job)))

    async def wait_at(self, position: Position) -> None:
        """Wait until nothing of this call is open any more: whatever it had bought is then in the store.

        Raises UnknownOutcomeError where a job is held, and what the provider's answers raise.
        """
        # Whoever waits may be cancelled; what is being recovered goes on.
        ended = await asyncio.gather(*(asyncio.shield(task) for task in self._tasks[position]))
        held = [recovered for recovered in ended if recovered.ending is Ending.HELD]
        if held:
            raise UnknownOutcomeError(held[0].reason)

    async def wait(self) -> Sequence[Recovered]:
        """Wait for all that was started; what became of each job."""
        tasks = [task for group in self._tasks.values() for task in group]
        self._tasks.clear()
        return await asyncio.gather(*tasks)

    async def close(self) -> None:
        """Stop: what is open stays open."""
        tasks = [task for group in self._tasks.values() for task in group]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _recover(self, job: JobRecord) -> Recovered:
        attempts = self._store.attempts(job.job_id)
        if is_orphan(self._store, job):
            return Recovered(job, Ending.KEPT, job.error or "")
        plan = self._store.job_plan(job.job_id)
        if plan is None or not attempts:
            reason = f"job {job.job_id} was written by another version; nothing says what it carries"
            await self._journal.write_ahead(
                [replace(job, state=JobState.UNKNOWN, error=reason, changed_at=self._clock.now())]
            )
            return Recovered(job, Ending.HELD, reason)
        if job.provider_id is None:
            reason = job.error or "the process that submitted it ended before an answer came"
            try:
                found = await self._settlement.settle(
                    job, key=attempts[-1].key, since=attempts[0].started_at, reason=reason
                )
            except UnknownOutcomeError as error:
                return Recovered(job, Ending.HELD, str(error))
            if found is None:
                return await self._drop(job)
            job = replace(job, state=JobState.SUBMITTED, provider_id=found, error=None)
        try:
            await self._delivery.deliver(
                job, plan, key=attempts[-1].key, accepted_ns=None, call_rows=job.n_executions, take=_ignore
            )
        except UnknownOutcomeError as error:
            return Recovered(job, Ending.HELD, str(error))
        except (JobFailedError, InvalidResultError) as error:
            return Recovered(job, Ending.FAILED, str(error))
        return Recovered(job, Ending.FETCHED)

    async def _drop(self, job: JobRecord) -> Recovered:
        reason = "no list of the provider shows it"
        await self._journal.write_ahead(
            [replace(job, state=JobState.CANCELLED, error=reason, changed_at=self._clock.now())]
        )
        return Recovered(job, Ending.NOT_SENT, reason)


def _ignore(result: JobResult) -> None:
    """The rows are replayed from the store by whoever needs them."""
