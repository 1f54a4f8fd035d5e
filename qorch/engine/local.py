"""The lifecycle of a job in this process: executed, read, verified, recorded."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from qorch.engine.journal import Journal
from qorch.engine.recorder import Recorder
from qorch.engine.reservation import Reservation
from qorch.engine.submission import Submission, block_records
from qorch.engine.submitter import HURRY_SECONDS, Returned, Wanted, read_verified
from qorch.engine.worker import Compute
from qorch.errors import WorkerLostError
from qorch.model.identity import Position, idempotency_key
from qorch.model.job import AttemptOutcome, JobResult, JobState, Payload, RawResult
from qorch.model.timing import Phase
from qorch.ports.backend import InProcessBackend
from qorch.ports.clock import Clock
from qorch.ports.policy import RetryPolicy
from qorch.ports.records import AttemptRecord, JobRecord


@dataclass(eq=False)
class LocalSubmitter:
    """Implements Submitter for a backend whose jobs end with this process, and which therefore leaves none behind.

    If it is free, a job is written down once it is over, and not reserved.
    """

    backend: InProcessBackend
    journal: Journal
    recorder: Recorder
    reservation: Reservation
    clock: Clock
    retry: RetryPolicy

    @property
    def most_jobs(self) -> int:
        """See Submitter. One job more than the backend has slots waits for each, so that none idles between two."""
        return 2 * self.backend.capabilities.slots

    async def open(self) -> None:
        """See Submitter."""
        await self.backend.open()

    async def wait_at(self, position: Position) -> None:
        """See Submitter; there are none."""

    async def adopt(self, wanted: Wanted) -> bool:
        """See Submitter; there are none."""
        return False

    async def recover_run(self, run_id: str) -> None:
        """See Submitter; there are none."""

    async def close(self, *, patience_seconds: float = HURRY_SECONDS) -> None:
        """See Submitter; there is no provider."""
        del patience_seconds
        try:
            await self.journal.flush()
        finally:
            await self.backend.close()

    @asynccontextmanager
    async def reserved(self, submissions: Sequence[Submission], *, compute: Compute) -> AsyncIterator[None]:
        """See Submitter."""
        if not self.backend.capabilities.charges:
            yield
            return
        async with self.reservation.hold(submissions, compute=compute):
            yield

    async def carry_out(
        self, submission: Submission, *, compute: Compute, next_ordinal: Callable[[], int]
    ) -> list[Returned]:
        """See Submitter. Raises what the backend raises once no attempt is left; the job's last state is written."""
        charges = self.backend.capabilities.charges
        record = self.reservation.take(submission.job_id) if charges else self._plan(submission)
        failed: list[AttemptRecord] = []
        try:
            while True:
                attempt = self._new_attempt(record)
                state = JobState.INTENT if charges else record.state
                record = record.moved(state, at=attempt.started_at, attempts=attempt.ordinal)
                result: JobResult | None = None
                try:
                    result = await self._try(submission, record, attempt, compute)
                    await self._finish(submission, record, attempt, result)
                    return [Returned(submission.job, result)]
                except asyncio.CancelledError:
                    if result is None:  # else it is done, and is written although nothing waits for that any more
                        self._end(record, JobState.CANCELLED, None)
                    raise
                except Exception as error:
                    failed.append(replace(attempt, outcome=AttemptOutcome.FAILED, error=str(error)))
                    # A job whose worker was lost provably does not run any more: the same rows may run again.
                    if not isinstance(error, WorkerLostError) or record.attempts >= self.retry.max_attempts:
                        self._end(record, JobState.FAILED, str(error))
                        raise
        finally:
            # After the job, without which they cannot be stored.
            self.journal.record_soon(failed)

    def _plan(self, submission: Submission) -> JobRecord:
        return submission.record(JobState.PLANNED, changed_at=self.clock.now())

    def _new_attempt(self, record: JobRecord) -> AttemptRecord:
        key = idempotency_key(self.journal.store_id, record.job_id, epoch=record.attempts)
        return AttemptRecord(record.job_id, record.attempts + 1, key, self.clock.now())

    async def _try(
        self, submission: Submission, record: JobRecord, attempt: AttemptRecord, compute: Compute
    ) -> JobResult:
        await self.journal.write_ahead([record, attempt])
        payload: Payload = await compute(self.backend.encode, submission.request, key=attempt.key)
        started_ns = self.clock.monotonic_ns()
        raw = await self.backend.run(payload)
        self._observe(submission, raw, started_ns)
        with self.recorder.span(Phase.DECODE, submission.position, job_id=record.job_id):
            return await compute(read_verified, self.backend, submission.request.shape, raw)

    async def _finish(
        self, submission: Submission, record: JobRecord, attempt: AttemptRecord, result: JobResult
    ) -> None:
        now = self.clock.now()
        done = record.moved(JobState.DONE, at=now)
        blocks = block_records(submission.plan, result, position=submission.position, created_at=now)
        await self.journal.record([done, replace(attempt, outcome=AttemptOutcome.ACCEPTED), *blocks])

    def _observe(self, submission: Submission, raw: RawResult, started_ns: int) -> None:
        if raw.started_ns is None or raw.ended_ns is None:
            return
        received_ns = self.clock.monotonic_ns()
        edges = (
            (Phase.WAIT, started_ns, raw.started_ns),
            (Phase.EXECUTE, raw.started_ns, raw.ended_ns),
            (Phase.TRANSFER, raw.ended_ns, received_ns),
        )
        for phase, start_ns, end_ns in edges:
            self.recorder.add(phase, start_ns, end_ns, submission.position, submission.job_id)

    def _end(self, record: JobRecord, state: JobState, error: str | None) -> None:
        self.journal.record_soon([record.moved(state, at=self.clock.now(), error=error)])
