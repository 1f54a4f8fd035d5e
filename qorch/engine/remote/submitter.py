"""Carries jobs to their ends on a backend whose jobs outlive this process; what failed of a job runs again."""

import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from qorch.engine.accounts import Accounts
from qorch.engine.journal import Journal
from qorch.engine.remote.adoption import Adoption
from qorch.engine.remote.delivery import Delivery
from qorch.engine.remote.orphans import Orphans
from qorch.engine.remote.pacer import Pacer
from qorch.engine.remote.payloads import Payloads
from qorch.engine.remote.poller import Poller
from qorch.engine.remote.queue_watch import QueueWatch
from qorch.engine.remote.recovery import Recovered, Recovery, RecoveryOutcome
from qorch.engine.remote.resending import Resender
from qorch.engine.remote.retrying import Retrier
from qorch.engine.remote.sender import Sender
from qorch.engine.remote.sending import Sending
from qorch.engine.remote.sessions import RemoteSessions
from qorch.engine.remote.usage_watch import UsageWatch
from qorch.engine.reservation import Reservation
from qorch.engine.submission import Submission
from qorch.engine.submitter import HURRY_SECONDS, Returned, Wanted
from qorch.engine.worker import Compute
from qorch.errors import BackendError, BudgetError, JobFailedError
from qorch.model.identity import Position
from qorch.model.job import JobResult
from qorch.model.timing import Phase
from qorch.planning.packing import lost_rows
from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import Clock
from qorch.ports.provider_sessions import ProviderSessionRecord


@dataclass(eq=False)
class RemoteSubmitter:
    """Implements Submitter for a remote backend; its parts share one throttle, one poller and one retry budget.

    A cancelled call leaves what was accepted at the provider, to be adopted.
    """

    backend: RemoteBackend
    run_id: str
    journal: Journal
    reservation: Reservation
    accounts: Accounts
    retrier: Retrier
    payloads: Payloads
    poller: Poller
    queue: QueueWatch
    usage: UsageWatch
    pacer: Pacer
    sender: Sender
    sessions: RemoteSessions
    delivery: Delivery
    recovery: Recovery
    orphans: Orphans
    adoption: Adoption
    resender: Resender
    make_recovery: Callable[[], Recovery]
    clock: Clock
    max_jobs: int
    """How many jobs may try to bring the same rows."""

    @property
    def most_jobs(self) -> int:
        """See Submitter; the pacer adapts below it what is really used."""
        return self.backend.terms.most_jobs

    async def open(self) -> None:
        """See Submitter. Raises what ``RemoteBackend.open`` raises once the retries' patience is over."""
        await self.retrier.prepare(self.backend.open)
        # Before the search, as that may find one of these at the provider, and writes down that it does.
        await self.recovery.cancel_unsent(self.run_id)
        await self.orphans.start(self.run_id)
        await self.recovery.start(self.run_id)
        self.usage.start()
        await self.sessions.start()

    async def wait_at(self, position: Position) -> None:
        """See Submitter."""
        await self.recovery.wait_at(position)

    async def adopt(self, wanted: Wanted) -> bool:
        """See Submitter. Orphaned jobs come first, as they may carry rows of a job that is in doubt."""
        return await self.adoption.take(wanted) or await self.resender.settle(wanted, self._carry)

    async def recover_run(self, run_id: str) -> None:
        """See Submitter."""
        await self.make_recovery().recover_run(run_id)

    async def recovered(self) -> list[Recovered]:
        """What became of all jobs that earlier sessions left, once that is known of each."""
        ended = list(await self.recovery.wait())
        told = {recovered.job.job_id for recovered in ended}
        try:
            kept = [job for job in await self.orphans.wait() if job.job_id not in told]
        except BackendError:  # a resume searches again, and reports
            return ended
        return [*ended, *(Recovered(job, RecoveryOutcome.KEPT, job.error or "") for job in kept)]

    async def ended_sessions(self) -> Sequence[ProviderSessionRecord]:
        """What became of each session at the provider that an earlier process left open of this run."""
        return await self.sessions.ended()

    async def close(self, *, patience_seconds: float = HURRY_SECONDS) -> None:
        """See Submitter."""
        try:
            await self.sessions.close(patience_seconds=patience_seconds)
            await self.orphans.close()
            await self.recovery.close()
            await self.poller.close()
            await self.queue.close()
            await self.usage.close()
            await self.pacer.leave()
            await self.journal.flush()
        finally:
            await self.backend.close()

    @asynccontextmanager
    async def reserved(self, submissions: Sequence[Submission], *, compute: Compute) -> AsyncIterator[None]:
        """See Submitter. Later jobs are encoded while the first is on its way."""
        try:
            await self.payloads.prepare(submissions[0], compute)
            async with AsyncExitStack() as held:
                with self.sender.recorder.span(Phase.STORE, submissions[0].position):
                    await self._hold(held, submissions, compute)
                yield
        finally:
            for submission in submissions:
                self.payloads.forget(submission.job_id)

    async def _hold(self, held: AsyncExitStack, submissions: Sequence[Submission], compute: Compute) -> None:
        """Reserve; where time is billed, a budget may only lack what is still reserved for jobs that are over."""
        while True:
            try:
                await held.enter_async_context(self.reservation.hold(submissions, compute=compute))
            except BudgetError:
                if not (self.accounts.is_timed and await self.usage.settle()):
                    raise
            else:
                return

    async def carry_out(
        self, submission: Submission, *, compute: Compute, next_ordinal: Callable[[], int]
    ) -> list[Returned]:
        """See Submitter. Rows that failed at the provider, and were not charged, run again as a job of their own.

        As often as the terms (``most_repeats``) and the retry policy allow. Raises JobFailedError once no attempt is
        left, or for rows that would fail again, UnknownOutcomeError if a job is held, RejectedError,
        InvalidResultError, StoreError.
        """
        returned: list[Returned] = []
        repeats_left = self.max_jobs if self.backend.terms.most_repeats is None else self.backend.terms.most_repeats
        async with AsyncExitStack() as later_jobs:
            for attempt in itertools.count(1):
                try:
                    result = await self._run(submission, compute)
                except JobFailedError as error:
                    if not error.is_repeatable or attempt == self.max_jobs:
                        raise JobFailedError(f"{_clause(str(error))}. {_next_step(submission)}") from error
                    lost = submission.job
                else:
                    returned.append(Returned(submission.job, result))
                    _check_repeatable(submission, result)
                    failed = lost_rows(submission.job, [result.lost_in(index) for index in range(len(result.blocks))])
                    if failed is None:
                        break
                    if attempt == self.max_jobs or not repeats_left:
                        raise JobFailedError(
                            f"{failed.n_rows} rows failed at {self.backend.name} in each of {attempt} jobs:"
                            f" {_reasons(result)}. {_next_step(submission)}"
                        )
                    lost, repeats_left = failed, repeats_left - 1
                submission = replace(submission, ordinal=next_ordinal(), job=lost)
                await later_jobs.enter_async_context(self.reserved([submission], compute=compute))
        return returned

    async def _run(self, submission: Submission, compute: Compute) -> JobResult:
        """Run a job once."""
        await self.payloads.prepare(submission, compute)
        return await self._carry(self.sender.begin(submission), compute)

    async def _carry(self, sending: Sending, compute: Compute) -> JobResult:
        async with self.pacer.permit() as permit:
            await self.sender.submit(sending, permit)
            return await self.delivery.deliver(
                sending.record,
                sending.plan,
                attempt=sending.attempt,
                accepted=sending.acceptance,
                compute=compute,
                finished=permit.finished,
            )


def _check_repeatable(submission: Submission, result: JobResult) -> None:
    """Raise JobFailedError if rows failed that would fail again; all that came is recorded."""
    hopeless = tuple(tuple(part for part in parts if not part.is_repeatable) for parts in result.lost)
    count = sum(len(part.rows) for parts in hopeless for part in parts)
    if count:
        reasons = _reasons(replace(result, lost=hopeless))
        raise JobFailedError(
            f"{count} of its circuits failed, and would fail again: {reasons}. {_next_step(submission)}"
        )


def _reasons(result: JobResult) -> str:
    """Why rows were lost, each reason once."""
    parts = [part for parts in result.lost for part in parts if len(part.rows)]
    return "; ".join(dict.fromkeys(_clause(part.reason) or "the provider gave no reason" for part in parts))


def _clause(text: str) -> str:
    return text.rstrip(". ")


def _next_step(submission: Submission) -> str:
    place = f"step {submission.position.step}, call {submission.position.call}"
    return (
        f"It was job {submission.job_id} ({submission.job.n_rows} circuits of {place}); what others brought is kept."
        f" If the reason is the account or the device, resume the run, which sends these circuits again as a new job"
        f" (resume=True, or `qorch train WORKLOAD --resume {submission.run_id}`); if it is the circuit, change that,"
        " and start a new run"
    )
