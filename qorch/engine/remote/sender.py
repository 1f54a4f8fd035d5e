"""Gets one job accepted: intent, submission, and what follows each of its outcomes."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace

from qorch.engine.journal import Journal
from qorch.engine.recorder import Recorder
from qorch.engine.remote.pacer import Pacer, Permit
from qorch.engine.remote.payloads import Payloads
from qorch.engine.remote.reconcile import Reconciler
from qorch.engine.remote.remembering import first_in_doubt, seconds_left
from qorch.engine.remote.retrying import Retrier
from qorch.engine.remote.sending import Sending, SentTime
from qorch.engine.remote.sessions import RemoteSessions
from qorch.engine.reservation import Reservation
from qorch.engine.submission import Submission
from qorch.errors import (
    BusyError,
    CredentialsError,
    RejectedError,
    SessionEndedError,
    UnknownOutcomeError,
    UnreachableError,
)
from qorch.model.clock_offset import ServerClock
from qorch.model.exchange_times import ExchangeTimes
from qorch.model.job import AttemptOutcome, JobState, Payload
from qorch.model.timing import Phase
from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import Clock
from qorch.ports.exchange_log import log_exchanges
from qorch.ports.policy import RetryPolicy
from qorch.ports.records import AttemptRecord, JobRecord
from qorch.ports.store import Jobs

GRACE_SECONDS = 2.0
"""How long a submission on its way may still be answered after its caller was cancelled."""


@dataclass(eq=False)
class Sender:
    """Submits jobs. The intent, with its key, is durable before the first byte leaves.

    Every resend has the same key and the same bytes. It follows only upon a proof that the provider does not have the
    job, or upon the settle time if the terms allow that, or while the provider remembers the key.
    """

    backend: RemoteBackend
    store: Jobs
    journal: Journal
    recorder: Recorder
    reservation: Reservation
    payloads: Payloads
    pacer: Pacer
    sessions: RemoteSessions
    retrier: Retrier
    reconciler: Reconciler
    server_clock: ServerClock
    clock: Clock
    retry: RetryPolicy

    def __post_init__(self) -> None:
        """Nothing was sent yet."""
        self._reaching = asyncio.Lock()

    def begin(self, submission: Submission) -> Sending:
        """A job, reserved and encoded, that is about to be sent."""
        now = self.clock.now()
        record = submission.record(JobState.RESERVED, changed_at=now)
        encoded = self.payloads.find(record.job_id)
        none = AttemptRecord(record.job_id, 0, encoded.key, now)
        return Sending(encoded, submission.plan, record, now, none)

    def begin_again(self, submission: Submission, unknown: JobRecord, attempts: Sequence[AttemptRecord]) -> Sending:
        """A job, encoded, that an earlier process left in doubt, and that no list shows after the settle time.

        ``attempts``: at least one; the time of the first that is in doubt counts for what the provider remembers.
        """
        encoded = self.payloads.find(unknown.job_id)
        first = first_in_doubt(attempts)
        reason = attempts[-1].error or unknown.error
        return Sending(
            encoded,
            submission.plan,
            unknown,
            attempts[0].started_at,
            replace(attempts[-1], error=reason),
            first_sent=None if first is None else SentTime.of_earlier_process(first.started_at, self.clock),
            is_in_doubt=True,
            unanswered=[
                replace(attempt, outcome=AttemptOutcome.UNANSWERED, error=reason)
                for attempt in attempts
                if attempt.outcome is AttemptOutcome.INTENT
            ],
        )

    async def submit(self, sending: Sending, permit: Permit) -> None:
        """Get the job accepted: ``sending.record`` is then SUBMITTED.

        Raises RejectedError if it was refused for good, or the retries' patience is over; UnknownOutcomeError if it is
        held; StoreError. If the caller is cancelled, a job that is not at the provider is CANCELLED.
        """
        await self._reach(sending)
        try:
            await self.retrier.resume(lambda: self._try(sending, permit))
        except asyncio.CancelledError:
            if sending.record.attempts and sending.record.state is JobState.RESERVED:
                sending.record = sending.record.moved(JobState.CANCELLED, at=self.clock.now())
                self.journal.record_soon([sending.record])
            raise
        except RejectedError as error:
            if sending.is_in_doubt and await self._look_for(sending, str(error), may_resend=True):
                return
            if sending.record.attempts:
                failed = sending.record.moved(JobState.FAILED, at=self.clock.now(), error=str(error))
                await self.journal.write_ahead([failed])
            raise

    async def _reach(self, sending: Sending) -> None:
        """Before the first submission of a session, ask whether a server answers at all, without waiting for a turn.

        A wrong address is then reported soon, and leaves no job in doubt. Raises UnreachableError.
        """
        async with self._reaching:
            if not self.retrier.was_reached:
                with self.recorder.span(Phase.PACE, sending.record.position, job_id=sending.record.job_id):
                    await self.retrier.repeat(self._ask_whether_open)

    async def _ask_whether_open(self) -> None:
        try:
            availability = await self.backend.availability()
        except UnreachableError:
            raise
        except BusyError:
            return  # a server answered; the pacer deals with the rest
        if availability.is_open:
            self.pacer.saw_open()

    async def _try(self, sending: Sending, permit: Permit) -> None:
        """Submit once when it is its turn. Raises BusyError if the same may be tried again."""
        if sending.is_in_doubt and not self._is_remembered(sending):
            reason = sending.attempt.error or "no answer came"
            if await self._look_for(sending, reason, may_resend=sending.unknowns < self.retry.max_unknowns):
                return
        await self._check_payload(sending)
        with self.recorder.span(Phase.PACE, sending.record.position, job_id=sending.record.job_id):
            await self._enter_session()
            await permit.obtain()
        try:
            session_id = await self._enter_session()  # another one, if that has ended meanwhile
            async with self.payloads.lend(sending.encoded) as payload:
                await self._make_ready(sending, permit)
                await self._send(sending, _in_session(payload, session_id), permit)
        except RejectedError as error:
            await permit.withdrawn()  # unless it was sent
            if isinstance(error, SessionEndedError):
                self.sessions.note_ended(session_id, str(error))
                raise BusyError(f"job {sending.record.job_id} goes into another session: {error}") from error
            raise
        self.sessions.note_taken(session_id)

    async def _enter_session(self) -> str:
        """The provider's session for the job; empty if jobs run by themselves. Raises RejectedError if none opens."""
        try:
            return await self.sessions.enter()
        except CredentialsError as error:
            self.pacer.stop(error)
            raise

    async def _make_ready(self, sending: Sending, permit: Permit) -> None:
        """Write the intent down. Raises BusyError if the job must not be sent now."""
        if sending.is_in_doubt and not self._is_remembered(sending):
            raise BusyError(f"job {sending.record.job_id} is looked for before it is sent again")
        await self._intend(sending)
        if permit.is_void:
            await self._note_unsent(sending, "another submission was refused meanwhile")
            raise BusyError(f"job {sending.record.job_id} waits: another submission was refused")

    def _is_remembered(self, sending: Sending) -> bool:
        """Whether the provider would know the same payload for the same job if it was sent now."""
        first = sending.first_sent
        if first is None:
            return False
        return seconds_left(self.backend.terms, age_seconds=SentTime.now(self.clock).seconds_since(first)) > 0

    async def _check_payload(self, sending: Sending) -> None:
        """Raise RejectedError if an earlier attempt sent other bytes under this key."""
        if not sending.record.attempts:
            return
        attempts = await asyncio.to_thread(self.store.attempts, sending.record.job_id)
        for attempt in attempts:
            if attempt.payload_digest not in (None, sending.encoded.digest):
                raise RejectedError(
                    f"job {sending.record.job_id} is not sent again: under its key, attempt {attempt.ordinal} had the"
                    f" payload {attempt.payload_digest}, and now it is {sending.encoded.digest}. The adapter of"
                    f" {self.backend.name} must encode a job the same way every time; please report this"
                )

    async def _intend(self, sending: Sending) -> None:
        record, encoded = sending.record, sending.encoded
        if not record.attempts:
            record = self.reservation.take(record.job_id)
        now = self.clock.now()
        earlier, sending.unanswered = sending.unanswered, []
        error = record.error if sending.intent_state is JobState.UNKNOWN else None
        record = record.moved(sending.intent_state, at=now, attempts=record.attempts + 1, error=error)
        sending.record = record
        sending.attempt = AttemptRecord(
            record.job_id,
            record.attempts,
            encoded.key,
            now,
            payload_digest=encoded.digest,
            search_text=encoded.search_text,
        )
        with self.recorder.span(Phase.STORE, record.position, job_id=record.job_id):
            try:
                await self.journal.write_ahead([*earlier, record, sending.attempt, sending.plan])
            except asyncio.CancelledError:
                # It reaches the disk all the same, and nothing was sent.
                sending.record = record.moved(sending.unsent_state, at=now)
                withdrawn = replace(sending.attempt, outcome=AttemptOutcome.WITHDRAWN)
                self.journal.record_soon([sending.record, withdrawn])
                raise

    async def _send(self, sending: Sending, payload: Payload, permit: Permit) -> None:
        """Send once, and deal with every outcome.

        What is known of the job is on its way to the disk before anything else is waited for, since a caller may be
        cancelled at every await.
        """
        permit.note_sent()
        try:
            provider_id = await self._post(sending, payload)
        except UnknownOutcomeError as error:
            await self._doubt(sending, permit, str(error))
        except RejectedError as error:
            if isinstance(error, CredentialsError):
                self.pacer.stop(error)
            elif isinstance(error, BusyError):
                self.pacer.shut()
            try:
                await self._note_unsent(sending, str(error))
            finally:
                await (permit.refused(error) if isinstance(error, BusyError) else permit.rejected())
            raise
        else:
            stored, noted = self._accept(sending, provider_id), permit.accepted()  # in one transaction, if possible
            with self.recorder.span(Phase.STORE, sending.record.position, job_id=sending.record.job_id):
                try:
                    await stored
                finally:
                    await noted

    def _accept(self, sending: Sending, provider_id: str) -> Awaitable[None]:
        now = self.clock.now()
        sending.accepted_ns = self.clock.monotonic_ns()
        sending.record = sending.record.moved(JobState.SUBMITTED, at=now, provider_id=provider_id, error=None)
        accepted = replace(sending.attempt, outcome=AttemptOutcome.ACCEPTED)
        return self.journal.write_ahead([sending.record, accepted])

    async def _post(self, sending: Sending, payload: Payload) -> str:
        """Send the job once. If the caller is cancelled, wait a moment for the provider's response, and record it."""
        if sending.first_sent is None:
            sending.first_sent = SentTime.now(self.clock)
        with log_exchanges() as exchanges:
            post = asyncio.ensure_future(self.backend.submit(payload))
        begun_ns = self.clock.monotonic_ns()
        try:
            return await asyncio.shield(post)
        except asyncio.CancelledError:
            try:
                await asyncio.wait([post], timeout=GRACE_SECONDS)
                self._note_late(sending, post)
            finally:
                post.cancel()
            raise
        finally:
            self._note_exchanges(sending.record, exchanges, begun_ns=begun_ns)

    def _note_exchanges(self, record: JobRecord, exchanges: Sequence[ExchangeTimes], *, begun_ns: int) -> None:
        """Record the submission: from its begin, and of that the connecting and the wait for the server's answer."""
        self.server_clock.note(exchanges)
        self.recorder.add(Phase.SUBMIT, begun_ns, self.clock.monotonic_ns(), record.position, record.job_id)
        for times in exchanges:
            if times.connected_ns is not None:
                self.recorder.add(Phase.CONNECT, times.begun_ns, times.connected_ns, record.position, record.job_id)
            if times.sent_ns is not None:
                self.recorder.add(Phase.SERVER, times.sent_ns, times.first_byte_ns, record.position, record.job_id)

    def _note_late(self, sending: Sending, post: "asyncio.Future[str]") -> None:
        """Write down an answer whose caller was cancelled: the job is adopted, or known not to be there."""
        if not post.done() or post.cancelled():
            return
        now, error = self.clock.now(), post.exception()
        if error is None:
            sending.record = sending.record.moved(JobState.SUBMITTED, at=now, provider_id=post.result())
            self.journal.record_soon([sending.record, replace(sending.attempt, outcome=AttemptOutcome.ACCEPTED)])
        elif isinstance(error, RejectedError):
            sending.record = sending.record.moved(sending.unsent_state, at=now, error=str(error))
            refused = replace(sending.attempt, outcome=AttemptOutcome.REFUSED, error=str(error))
            self.journal.record_soon([sending.record, refused])

    async def _doubt(self, sending: Sending, permit: Permit, reason: str) -> None:
        """A submission has no answer. Raises BusyError if the job is to be sent again."""
        sending.unknowns += 1
        may_resend = sending.unknowns < self.retry.max_unknowns
        if may_resend and self._is_remembered(sending):
            sending.is_in_doubt = True
            sending.attempt = replace(sending.attempt, outcome=AttemptOutcome.UNANSWERED, error=reason)
            try:
                await self.journal.write_ahead([sending.attempt])
            finally:
                await permit.refused(BusyError(reason))
            raise BusyError(f"job {sending.record.job_id}: {reason}; it is sent again, under the same key")
        await permit.unanswered()
        if not await self._look_for(sending, reason, may_resend=may_resend):
            await permit.finished()
            raise BusyError(f"job {sending.record.job_id}: {reason}; no list shows it, so it is sent again")

    async def _look_for(self, sending: Sending, reason: str, *, may_resend: bool) -> bool:
        """Whether the provider has a job that is in doubt; it is then SUBMITTED, and else RESERVED.

        Raises UnknownOutcomeError if it is held, or cannot be looked for.
        """
        sending.record = await self.reconciler.reconcile(
            sending.record,
            attempt=sending.attempt,
            since=sending.begun_at,
            reason=reason,
            may_resend=may_resend,
            first_sent_at=None if sending.first_sent is None else sending.first_sent.at,
        )
        sending.is_in_doubt = False
        is_found = sending.record.state is JobState.SUBMITTED
        if is_found:
            sending.accepted_ns = self.clock.monotonic_ns()
            sending.attempt = replace(sending.attempt, outcome=AttemptOutcome.ACCEPTED, error=None)
        else:
            sending.attempt = replace(sending.attempt, outcome=AttemptOutcome.UNANSWERED, error=reason)
            sending.first_sent = None
        await self.journal.write_ahead([sending.attempt])
        return is_found

    async def _note_unsent(self, sending: Sending, reason: str) -> None:
        """Write down that this submission provably did not bring the job to the provider."""
        sending.record = sending.record.moved(sending.unsent_state, at=self.clock.now(), error=reason)
        if not sending.is_in_doubt:
            sending.first_sent = None
        refused = replace(sending.attempt, outcome=AttemptOutcome.REFUSED, error=reason)
        await self.journal.write_ahead([sending.record, refused])


def _in_session(payload: Payload, session_id: str) -> Payload:
    """The payload for a session; the digest is of its content, which stays the same."""
    return replace(payload, session_id=session_id) if session_id else payload
