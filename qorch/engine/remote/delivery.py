"""From a job at the provider to verified rows in the store."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

from qorch.engine.journal import Journal
from qorch.engine.recorder import Recorder
from qorch.engine.remote.poller import Poller, lost_job
from qorch.engine.remote.queue_watch import QueueWatch
from qorch.engine.remote.retrying import Retrier
from qorch.engine.remote.usage_watch import UsageWatch
from qorch.engine.remote.waits import Acceptance, Sightings, split_wait
from qorch.engine.submission import block_records, shape_of
from qorch.engine.submitter import read_verified
from qorch.engine.worker import Compute, compute_for
from qorch.errors import (
    BusyError,
    HeldResultError,
    InvalidResultError,
    JobFailedError,
    JobMissingError,
    UnknownOutcomeError,
)
from qorch.model.clock_offset import ServerClock
from qorch.model.job import JobResult, JobState, JobStatus, RawResult, RemoteState
from qorch.model.timing import Phase
from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import Clock
from qorch.ports.records import AttemptRecord, JobPlan, JobRecord, RawRecord, UsageRecord, Write

INLINE_BYTES = 500_000
"""A larger answer is read as its call is computed, however few its executions are: they may have many outcomes."""


@dataclass
class _Answer:
    """What came back so far: kept even if it cannot be believed. ``note_usage``: called as the job's end is written."""

    raw: RawResult | None = None
    note_usage: Callable[..., Sequence[UsageRecord]] = tuple
    fetches: int = 0
    fetched_from_ns: int = 0
    missing_since_ns: int | None = None


class Delivery:
    """Waits for jobs, fetches and verifies their answers, and records them, whichever process submitted them."""

    def __init__(
        self,
        backend: RemoteBackend,
        journal: Journal,
        recorder: Recorder,
        *,
        poller: Poller,
        queue: QueueWatch,
        usage: UsageWatch,
        retrier: Retrier,
        clock: Clock,
        server_clock: ServerClock,
        fetches: int,
    ) -> None:
        """``fetches``: how often an answer is fetched that fails verification. ``server_clock``: the provider's."""
        self._server_clock = server_clock
        self._holds_unreadable = backend.capabilities.charges
        self._backend = backend
        self._journal = journal
        self._recorder = recorder
        self._poller = poller
        self._queue = queue
        self._usage = usage
        self._retrier = retrier
        self._clock = clock
        self._fetches = fetches

    async def deliver(
        self,
        record: JobRecord,
        plan: JobPlan,
        *,
        attempt: AttemptRecord,
        accepted: Acceptance | None,
        compute: Compute,
        finished: Callable[[], Awaitable[None]] | None = None,
    ) -> JobResult:
        """Wait until a submitted job is over; its results, once they are durable.

        ``attempt``: with which it was submitted; ``accepted``: None if that was not in this process; ``finished``:
        called when its results are on their way to the disk, so that its place is given back with them. Raises
        JobFailedError (it has no result) and InvalidResultError (its answer is kept), both with the job's
        end written down; UnknownOutcomeError if it is held: a paid answer that cannot be read, a job that the provider
        should know and does not, or has under another key. BusyError and CredentialsError if the provider cannot be
        asked.
        """
        provider_id = record.provider_id or ""
        answer = _Answer()
        try:
            status, seen = await self._wait(record)
            answer.fetched_from_ns = self._clock.monotonic_ns()
            self._record_wait(record, status, seen, accepted=accepted, over_ns=answer.fetched_from_ns)
            if status.key not in (None, attempt.key):
                record = record.moved(record.state, at=record.changed_at, provider_id=None)
                raise UnknownOutcomeError(
                    f"{self._backend.name} has {provider_id} under another key, so it is not job {record.job_id}, which"
                    f" stays held; look for '{attempt.name_at_provider}' there, then `qorch recover` with --adopt or"
                    " --release"
                )
            answer.note_usage = partial(self._usage.note, record, status, attempt=attempt)
            if status.state is RemoteState.CANCELLED:
                raise JobFailedError(f"job {record.job_id} ({provider_id}) was cancelled at the provider")
            result = await self._retrier.repeat(lambda: self._fetch(record, plan, answer, compute))
        except JobFailedError as error:
            await self._end(record, JobState.FAILED, answer, str(error))
            raise
        except InvalidResultError as error:
            if not self._holds_unreadable:
                await self._end(record, JobState.FAILED, answer, str(error))
                raise
            held = _held_result(record, error)
            await self._end(record, JobState.UNKNOWN, answer, str(held))
            raise held from error
        except UnknownOutcomeError as error:
            await self._end(record, JobState.UNKNOWN, answer, str(error))
            raise
        await self._finish(record, plan, answer, result, finished)
        return result

    async def _wait(self, record: JobRecord) -> tuple[JobStatus, Sightings]:
        seen = Sightings()

        def see(status: JobStatus, asked_ns: int) -> None:
            seen.note(status, asked_ns=asked_ns, answered_ns=self._clock.monotonic_ns())
            self._queue.see(record, status)

        try:
            return await self._poller.wait(record.provider_id or "", see), seen
        finally:
            self._queue.leave(record)

    def _record_wait(
        self,
        record: JobRecord,
        status: JobStatus,
        seen: Sightings,
        *,
        accepted: Acceptance | None,
        over_ns: int,
    ) -> None:
        """Record queue and execution of a job that this process submitted."""
        if accepted is not None:
            spans = split_wait(status, seen, acceptance=accepted, over_ns=over_ns, server=self._server_clock.offset)
            self._recorder.add_spans(spans, record.position, record.job_id)

    async def _fetch(self, record: JobRecord, plan: JobPlan, answer: _Answer, compute: Compute) -> JobResult:
        try:
            answer.raw = await self._backend.fetch(record.provider_id or "")
        except JobMissingError as error:
            self._miss(record, answer, error)
        except InvalidResultError as error:
            answer.fetches += 1
            self._doubt(answer, error)
        received_ns = self._clock.monotonic_ns()
        self._recorder.add(Phase.TRANSFER, answer.fetched_from_ns, received_ns, record.position, record.job_id)
        answer.fetches += 1
        answer.fetched_from_ns = received_ns
        try:
            with self._recorder.span(Phase.DECODE, record.position, job_id=record.job_id):
                is_small = len(answer.raw.content) <= INLINE_BYTES
                read = compute_for(record.n_executions, compute) if is_small else compute
                return await read(read_verified, self._backend, shape_of(plan), answer.raw)
        except InvalidResultError as error:
            self._doubt(answer, error)

    def _doubt(self, answer: _Answer, error: InvalidResultError) -> NoReturn:
        """Fetch an unreadable answer again, up to ``fetches`` times: it is free, and a proxy may have cut it short."""
        if answer.fetches >= self._fetches:
            raise error
        raise BusyError(f"{error}; it is fetched again") from error

    def _miss(self, record: JobRecord, answer: _Answer, error: JobMissingError) -> NoReturn:
        """One server of several may not have heard of it yet: a job is lost only after the settle time."""
        now_ns = self._clock.monotonic_ns()
        if answer.missing_since_ns is None:
            answer.missing_since_ns = now_ns
        if now_ns - answer.missing_since_ns > self._backend.terms.settle_seconds * 1e9:
            raise lost_job(self._backend, record.provider_id or "") from error
        raise BusyError(f"{error}; it is asked again") from error

    async def _finish(
        self,
        record: JobRecord,
        plan: JobPlan,
        answer: _Answer,
        result: JobResult,
        finished: Callable[[], Awaitable[None]] | None,
    ) -> None:
        now = self._clock.now()
        writes: list[Write] = [record.moved(JobState.DONE, at=now, error=None)]
        writes += block_records(plan, result, position=record.position, created_at=now)
        writes += answer.note_usage(of_result=result.usage)
        if self._backend.capabilities.charges and answer.raw is not None:
            writes.append(RawRecord(record.job_id, record.run_id, answer.raw.content, now))
        with self._recorder.span(Phase.STORE, record.position, job_id=record.job_id):
            stored = self._journal.record(writes)
            noted = None if finished is None else finished()
            try:
                await stored
            finally:
                if noted is not None:
                    await noted

    async def _end(self, record: JobRecord, state: JobState, answer: _Answer, error: str) -> None:
        now = self._clock.now()
        writes: list[Write] = [record.moved(state, at=now, error=error), *answer.note_usage()]
        if answer.raw is not None:
            writes.append(RawRecord(record.job_id, record.run_id, answer.raw.content, now, is_quarantined=True))
        await self._journal.record(writes)


def _held_result(record: JobRecord, error: InvalidResultError) -> HeldResultError:
    return HeldResultError(
        f"{error}. Job {record.job_id} ({record.provider_id or ''}) is paid for, so it is held: resume the run, or run"
        f" `qorch recover`, to fetch it again; give it up with --release"
    )
