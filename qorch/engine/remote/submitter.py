"""The life of a job at a provider: intent, submission, and what follows each of its outcomes."""

import asyncio
import datetime
from collections.abc import Callable
from dataclasses import dataclass, replace

from qorch.engine.journal import Journal
from qorch.engine.local import Assemble
from qorch.engine.recorder import Recorder
from qorch.engine.remote.delivery import Delivery
from qorch.engine.remote.pacer import CLOSED_SECONDS, Pacer, Ticket
from qorch.engine.remote.reconcile import Settlement
from qorch.engine.remote.retrying import Retrier
from qorch.engine.submission import Submission
from qorch.errors import (
    BusyError,
    CredentialsError,
    JobFailedError,
    RejectedError,
    UnavailableError,
    UnknownOutcomeError,
    UnreachableError,
)
from qorch.model.identity import idempotency_key
from qorch.model.job import JobResult, JobState
from qorch.model.timing import Phase
from qorch.planning.packing import PlannedJob, lost_rows
from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import Clock
from qorch.ports.policy import RetryPolicy
from qorch.ports.records import AttemptRecord, JobPlan, JobRecord

GRACE_SECONDS = 2.0
"""How long a submission on its way may still be answered where its caller has gone."""


@dataclass
class _Sending:
    """One job on its way to the provider."""

    submission: Submission
    plan: JobPlan
    record: JobRecord
    key: str
    first_sent_at: datetime.datetime
    unknowns: int = 0
    accepted_ns: int = 0
    is_counted: bool = False
    """Whether the pacer counts it among the jobs in progress."""


class RemoteSubmitter:
    """Carries submissions through their states on a backend whose jobs outlive this process.

    The intent, with its key, is durable before the first byte leaves; every resend keeps the key, and follows only
    upon a proof, or upon the settle time where the terms allow it.
    """

    def __init__(
        self,
        backend: RemoteBackend,
        journal: Journal,
        recorder: Recorder,
        *,
        pacer: Pacer,
        retrier: Retrier,
        settlement: Settlement,
        delivery: Delivery,
        clock: Clock,
        retry: RetryPolicy,
    ) -> None:
        """Everything is shared with the engine that owns this."""
        self._backend = backend
        self._journal = journal
        self._recorder = recorder
        self._pacer = pacer
        self._retrier = retrier
        self._settlement = settlement
        self._delivery = delivery
        self._clock = clock
        self._retry = retry
        self._reaching = asyncio.Lock()

    async def carry_out(self, submission: Submission, assemble: Assemble, *, next_ordinal: Callable[[], int]) -> None:
        """Run one job to its end and hand its verified results to ``assemble``.

        Rows that failed at the provider, and were not charged, run again as a job of their own, ``next_ordinal`` of
        the call. Raises JobFailedError once no attempt is left, UnknownOutcomeError where the job is held,
        RejectedError, InvalidResultError, StoreError. A cancelled call leaves what was accepted to be adopted.
        """
        for attempt in range(1, self._retry.max_attempts + 1):
            try:
                lost = await self._run(submission, assemble)
            except JobFailedError as error:
                if not error.is_repeatable or attempt == self._retry.max_attempts:
                    raise JobFailedError(f"{_clause(error)}. {_next_step(submission)}") from error
                lost = submission.job
            if lost is None:
                return
            if attempt < self._retry.max_attempts:
                submission = replace(submission, ordinal=next_ordinal(), job=lost)
        raise JobFailedError(
            f"{submission.job.n_rows} rows failed at {self._backend.name} in each of {self._retry.max_attempts} jobs."
            f" {_next_step(submission)}"
        )

    async def _run(self, submission: Submission, assemble: Assemble) -> PlannedJob | None:
        """Run a job once; the rows of it that failed, or None."""
        record = submission.record(JobState.INTENT, changed_at=self._clock.now())
        key = idempotency_key(self._journal.store_id, record.job_id, epoch=0)
        sending = _Sending(submission, submission.plan, record, key, first_sent_at=record.changed_at)

        def take(result: JobResult) -> None:
            assemble(submission.job, result)

        try:
            await self._submit(sending)
            result = await self._delivery.deliver(
                sending.record,
                sending.plan,
                key=sending.key,
                accepted_ns=sending.accepted_ns,
                call_rows=sum(group.n_rows for group in submission.groups),
                take=take,
            )
        finally:
            if sending.is_counted:
                await asyncio.shield(self._pacer.finished())
        return lost_rows(submission.job, result.lost)

    async def _submit(self, sending: _Sending) -> None:
        """Get the job accepted: ``sending.record`` is then SUBMITTED."""
        await self._reach(sending)
        try:
            await self._retrier.resume(lambda: self._try(sending))
        except RejectedError as error:
            failed = replace(sending.record, state=JobState.FAILED, error=str(error), changed_at=self._clock.now())
            if sending.record.attempts:
                await self._journal.write_ahead([failed])
            raise

    async def _reach(self, sending: _Sending) -> None:
        """Before the first submission of a session, ask whether a server answers at all, without waiting for a turn.

        A wrong address is then reported soon, and leaves no job in doubt. Raises UnreachableError.
        """
        async with self._reaching:
            if not self._retrier.was_reached:
                with self._recorder.span(Phase.PACE, sending.record.position, job_id=sending.record.job_id):
                    await self._retrier.repeat(self._look)

    async def _look(self) -> None:
        try:
            availability = await self._backend.availability()
        except UnreachableError:
            raise
        except BusyError:
            return  # a server answered; the pacer deals with the rest
        if availability.is_open:
            self._pacer.saw_open()

    async def _try(self, sending: _Sending) -> None:
        """Submit once when it is its turn. Raises BusyError where the same may be tried again."""
        job_id, position = sending.record.job_id, sending.record.position
        with self._recorder.span(Phase.PACE, position, job_id=job_id):
            ticket = await self._pacer.admit()
        sending.is_counted = True
        try:
            attempt = await self._intend(sending)
            if self._pacer.is_shut(ticket):
                await self._unsent(sending, attempt, "another submission was refused meanwhile")
                raise BusyError(f"job {job_id} waits: another submission was refused")
        except BaseException:
            sending.is_counted = False
            await asyncio.shield(self._pacer.withdrawn())
            raise
        with self._recorder.span(Phase.SUBMIT, position, job_id=job_id):
            await self._send(sending, attempt, ticket)

    async def _intend(self, sending: _Sending) -> AttemptRecord:
        now = self._clock.now()
        record = replace(
            sending.record, state=JobState.INTENT, attempts=sending.record.attempts + 1, error=None, changed_at=now
        )
        name = f"qorch {sending.key[:16]}"  # what IonQ's console shows; a payload names it once adapters encode one
        attempt = AttemptRecord(record.job_id, record.attempts, sending.key, now, search_text=name)
        with self._recorder.span(Phase.STORE, record.position, job_id=record.job_id):
            try:
                await self._journal.write_ahead([record, attempt, sending.plan])
            except asyncio.CancelledError:
                # It reaches the disk all the same, and nothing was sent.
                unsent = replace(record, state=JobState.RESERVED)
                self._journal.record_soon([unsent, replace(attempt, outcome="withdrawn")])
                raise
        sending.record = record
        return attempt

    async def _send(self, sending: _Sending, attempt: AttemptRecord, ticket: Ticket) -> None:
        """Send once, and deal with every outcome.

        What is known of the job is on its way to the disk before anything else is waited for, since a caller may go
        away at every await; and whatever happens, the pacer gets its ticket back.
        """
        try:
            provider_id = await self._post(sending, attempt)
        except UnknownOutcomeError as error:
            await self._accept(sending, attempt, await self._settle(sending, attempt, ticket, str(error)))
            return
        except RejectedError as error:
            sending.is_counted = False
            if isinstance(error, CredentialsError):
                self._pacer.stop(error)
            elif isinstance(error, BusyError):
                self._pacer.shut()
            try:
                await self._unsent(sending, attempt, str(error))
            finally:
                await asyncio.shield(self._tell(ticket, error))
            raise
        except BaseException:
            sending.is_counted = False
            await asyncio.shield(self._pacer.rejected())
            raise
        try:
            await self._accept(sending, attempt, provider_id)
        finally:
            await asyncio.shield(self._pacer.accepted())

    async def _accept(self, sending: _Sending, attempt: AttemptRecord, provider_id: str) -> None:
        sending.accepted_ns = self._clock.monotonic_ns()
        sending.record = replace(
            sending.record,
            state=JobState.SUBMITTED,
            provider_id=provider_id,
            error=None,
            changed_at=self._clock.now(),
        )
        await self._journal.write_ahead([sending.record, replace(attempt, outcome="accepted")])

    async def _tell(self, ticket: Ticket, error: RejectedError) -> None:
        """Let the pacer know of a refusal."""
        if not isinstance(error, BusyError):
            await self._pacer.rejected()
            return
        is_closed = isinstance(error, UnavailableError)
        wait = CLOSED_SECONDS if error.retry_after_seconds is None and is_closed else error.retry_after_seconds
        await self._pacer.refused(ticket, retry_after_seconds=wait, is_limit=not is_closed)

    async def _post(self, sending: _Sending, attempt: AttemptRecord) -> str:
        """Send the job once. If the caller is cancelled, wait a moment for the provider's response, and record it."""
        post = asyncio.ensure_future(self._backend.submit(sending.submission.labelled_request, key=sending.key))
        try:
            return await asyncio.shield(post)
        except asyncio.CancelledError:
            try:
                await asyncio.wait([post], timeout=GRACE_SECONDS)
                self._note_late(sending.record, attempt, post)
            finally:
                post.cancel()
            raise

    def _note_late(self, record: JobRecord, attempt: AttemptRecord, post: "asyncio.Future[str]") -> None:
        """Write down an answer that nobody waits for: the job is adopted, or known not to be there."""
        if not post.done() or post.cancelled():
            return
        error = post.exception()
        if error is None:
            record = replace(record, state=JobState.SUBMITTED, provider_id=post.result())
            self._journal.record_soon([record, replace(attempt, outcome="accepted")])
        elif isinstance(error, RejectedError):
            record = replace(record, state=JobState.RESERVED, error=str(error))
            self._journal.record_soon([record, replace(attempt, outcome="refused", error=str(error))])

    async def _settle(self, sending: _Sending, attempt: AttemptRecord, ticket: Ticket, reason: str) -> str:
        """The id of a job that was accepted after all. Raises BusyError where it may be sent again."""
        await self._pacer.refused(ticket, is_over=False)
        sending.unknowns += 1
        provider_id = await self._settlement.settle(
            sending.record,
            key=sending.key,
            since=sending.first_sent_at,
            reason=reason,
            may_resend=sending.unknowns < self._retry.max_unknowns,
        )
        if provider_id is None:
            sending.is_counted = False
            await self._pacer.finished()
            await self._journal.write_ahead([replace(attempt, outcome="unanswered", error=reason)])
            raise BusyError(f"job {sending.record.job_id}: {reason}; no list shows it, so it is sent again")
        return provider_id

    async def _unsent(self, sending: _Sending, attempt: AttemptRecord, reason: str) -> None:
        """Write down that the provider provably does not have the job."""
        sending.record = replace(sending.record, state=JobState.RESERVED, error=reason, changed_at=self._clock.now())
        await self._journal.write_ahead([sending.record, replace(attempt, outcome="refused", error=reason)])


def _clause(error: JobFailedError) -> str:
    return str(error).rstrip(". ")


def _next_step(submission: Submission) -> str:
    place = f"step {submission.position.step}, call {submission.position.call}"
    return (
        f"It was job {submission.job_id} ({submission.job.n_rows} circuits of {place}); what others brought is kept."
        f" If the reason is the account or the device, resume the run, which sends these circuits again as a new job"
        f" (resume=True, or `qorch train WORKLOAD --resume {submission.run_id}`); if it is the circuit, change that,"
        " and start a new run"
    )
