"""Brings to an end what another process, or an earlier life of this run, left at the provider."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from qorch.engine.journal import Journal
from qorch.engine.remote.delivery import Delivery
from qorch.engine.remote.orphans import is_orphan
from qorch.engine.remote.reconcile import Reconciler
from qorch.engine.remote.remembering import first_in_doubt
from qorch.engine.worker import Worker
from qorch.errors import InvalidResultError, JobFailedError, UnknownOutcomeError
from qorch.model.identity import Position
from qorch.model.job import AttemptOutcome, JobState
from qorch.ports.clock import Clock
from qorch.ports.records import AttemptRecord, JobPlan, JobRecord
from qorch.ports.store import Jobs


class RecoveryOutcome(StrEnum):
    """What became of a job that was left behind."""

    FETCHED = "fetched"
    KEPT = "kept for the run"
    FAILED = "failed"
    HELD = "held"
    NOT_SENT = "not sent"
    RELEASED = "released"


@dataclass(frozen=True)
class LeftJob:
    """What is recorded of a job that was left behind. ``plan`` is None if it was written by another version."""

    job: JobRecord
    attempts: Sequence[AttemptRecord]
    plan: JobPlan | None
    is_orphan: bool


@dataclass(frozen=True)
class Recovered:
    """One job that was left behind, and what became of it.

    ``left``: of a held job that its run may send again, as the provider remembers its key (see ``resending``).
    """

    job: JobRecord
    outcome: RecoveryOutcome
    reason: str = ""
    left: LeftJob | None = None


class Recovery:
    """Adopts the open jobs of one run: found by key or id, waited for, fetched and stored; it sends none again.

    Its caller has claimed the run.
    """

    def __init__(
        self,
        store: Jobs,
        journal: Journal,
        *,
        reconciler: Reconciler,
        delivery: Delivery,
        worker: Worker,
        clock: Clock,
    ) -> None:
        """Nothing is asked before ``start`` or ``adopt``."""
        self._store = store
        self._journal = journal
        self._reconciler = reconciler
        self._delivery = delivery
        self._worker = worker
        self._clock = clock
        self._tasks: dict[Position, list[asyncio.Task[Recovered]]] = defaultdict(list)
        self._resent: set[str] = set()

    async def cancel_unsent(self, run_id: str) -> None:
        """Cancel the jobs that were reserved, and provably not sent."""
        unsent = await asyncio.to_thread(self._store.jobs, run_id, state=JobState.RESERVED)
        now = self._clock.now()
        self._journal.record_soon([job.moved(JobState.CANCELLED, at=now) for job in unsent])

    async def start(self, run_id: str) -> None:
        """Adopt the run's open jobs, in the background."""
        for job in await asyncio.to_thread(self._store.open_jobs, run_id):
            self.adopt(job)

    def adopt(self, job: JobRecord) -> None:
        """Adopt one open job, in the background."""
        self._tasks[job.position].append(asyncio.create_task(self._recover(job)))

    async def wait_at(self, position: Position) -> None:
        """Wait until nothing of this call is open any more: whatever it had bought is then in the store.

        All but what ``take_resendable`` returns. Raises UnknownOutcomeError if another job is held, and what the
        provider's answers raise.
        """
        # The caller may be cancelled; what is being recovered goes on.
        ended = await asyncio.gather(*(asyncio.shield(task) for task in self._tasks[position]))
        _raise_if_held([recovered for recovered in ended if not self._is_resendable(recovered)])

    def take_resendable(self, position: Position) -> list[LeftJob]:
        """The held jobs of this call that may be sent again, each once; after ``wait_at``.

        One that is not ``settled`` then stays held in this session.
        """
        ended = [task.result() for task in self._tasks.get(position, ())]
        resendable = [recovered for recovered in ended if self._is_resendable(recovered)]
        self._resent |= {recovered.job.job_id for recovered in resendable}
        return [recovered.left for recovered in resendable if recovered.left is not None]

    def settled(self, job: JobRecord) -> None:
        """What became of a job that was sent again is known, and written down."""
        tasks = self._tasks[job.position]
        self._tasks[job.position] = [task for task in tasks if task.result().job.job_id != job.job_id]

    def _is_resendable(self, recovered: Recovered) -> bool:
        return recovered.left is not None and recovered.job.job_id not in self._resent

    async def wait(self) -> Sequence[Recovered]:
        """Wait for all that was started; what became of each job."""
        ended = await asyncio.gather(*(task for group in self._tasks.values() for task in group))
        self._tasks.clear()
        return ended

    async def recover_run(self, run_id: str) -> None:
        """Bring the open jobs of a run to an end. Raises what ``wait_at`` raises; nothing goes on then."""
        try:
            await self.cancel_unsent(run_id)
            await self.start(run_id)
            _raise_if_held(await self.wait())
        finally:
            await self.close()

    async def close(self) -> None:
        """Cancel the recovery; jobs that are open stay open."""
        tasks = [task for group in self._tasks.values() for task in group]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _recover(self, job: JobRecord) -> Recovered:
        left = await asyncio.to_thread(self._look_up, job)
        if left.is_orphan:
            return Recovered(job, RecoveryOutcome.KEPT, job.error or "")
        if left.plan is None or not left.attempts:
            reason = f"job {job.job_id} was written by another version; nothing says what it carries"
            await self._journal.write_ahead([job.moved(JobState.UNKNOWN, at=self._clock.now(), error=reason)])
            return Recovered(job, RecoveryOutcome.HELD, reason)
        try:
            known = job if job.provider_id is not None else await self._look_for(left)
            if known.provider_id is None:
                return self._hold(left, known) if self._reconciler.holds else await self._drop(known)
            await self._delivery.deliver(
                known,
                left.plan,
                attempt=left.attempts[-1],
                accepted=None,
                compute=self._worker.for_call(job.n_executions),
            )
        except UnknownOutcomeError as error:
            return Recovered(job, RecoveryOutcome.HELD, str(error))
        except (JobFailedError, InvalidResultError) as error:
            return Recovered(job, RecoveryOutcome.FAILED, str(error))
        return Recovered(job, RecoveryOutcome.FETCHED)

    def _look_up(self, job: JobRecord) -> LeftJob:
        attempts, plan = self._store.attempts(job.job_id), self._store.job_plan(job.job_id)
        return LeftJob(job, attempts, plan, is_orphan(job, attempts, plan))

    async def _look_for(self, left: LeftJob) -> JobRecord:
        """The job as SUBMITTED, or as UNKNOWN if no list shows it."""
        reason = left.job.error or "the process that submitted it ended before an answer came"
        attempt = left.attempts[-1]
        known = await self._reconciler.look_for(
            left.job, attempt=attempt, since=left.attempts[0].started_at, reason=reason
        )
        if known.state is JobState.SUBMITTED:
            await self._journal.write_ahead([replace(attempt, outcome=AttemptOutcome.ACCEPTED, error=None)])
        return known

    def _hold(self, left: LeftJob, unknown: JobRecord) -> Recovered:
        first = first_in_doubt(left.attempts)
        first_sent_at = None if first is None else first.started_at
        error = self._reconciler.held(unknown, left.attempts[-1], first_sent_at=first_sent_at)
        is_resendable = self._reconciler.seconds_left(first_sent_at) > 0
        held = replace(left, job=unknown) if is_resendable else None
        return Recovered(unknown, RecoveryOutcome.HELD, str(error), left=held)

    async def _drop(self, job: JobRecord) -> Recovered:
        reason = "no list of the provider shows it"
        await self._journal.write_ahead([job.moved(JobState.CANCELLED, at=self._clock.now(), error=reason)])
        return Recovered(job, RecoveryOutcome.NOT_SENT, reason)


def _raise_if_held(ended: Sequence[Recovered]) -> None:
    held = [recovered for recovered in ended if recovered.outcome is RecoveryOutcome.HELD]
    if held:
        raise UnknownOutcomeError(held[0].reason)
