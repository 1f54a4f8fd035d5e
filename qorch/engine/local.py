"""The life of a job on a backend of this process or machine: submitted, fetched, decoded, recorded."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from qorch.engine.journal import Journal
from qorch.engine.recorder import Recorder
from qorch.engine.submission import Submission, block_records
from qorch.errors import WorkerLostError
from qorch.model.identity import idempotency_key
from qorch.model.job import JobRequest, JobResult, JobState, RawResult
from qorch.model.timing import Phase
from qorch.planning.packing import PlannedJob
from qorch.ports.backend import Backend
from qorch.ports.clock import Clock
from qorch.ports.policy import RetryPolicy
from qorch.ports.records import AttemptRecord, JobRecord

Assemble = Callable[[PlannedJob, JobResult], None]
"""What takes verified results of a job; called in the engine's thread."""


class LocalSubmitter:
    """Carries submissions through their states on a backend whose jobs die with their process."""

    def __init__(
        self, backend: Backend, journal: Journal, recorder: Recorder, *, clock: Clock, retry: RetryPolicy
    ) -> None:
        """Everything is shared with the engine that owns this."""
        self._backend = backend
        self._journal = journal
        self._recorder = recorder
        self._clock = clock
        self._retry = retry

    async def carry_out(self, submission: Submission, assemble: Assemble, *, next_ordinal: Callable[[], int]) -> None:
        """Run one job to its end and hand its verified results to ``assemble``.

        Raises what the backend raises once no attempt is left. Whatever happens, the job's last state is written.
        """
        record = submission.record(JobState.INTENT, changed_at=self._clock.now())
        failed: list[AttemptRecord] = []

        def note(provider_id: str) -> None:
            nonlocal record
            record = replace(record, provider_id=provider_id)

        try:
            for ordinal in range(1, self._retry.max_attempts + 1):
                record = replace(record, attempts=ordinal)
                attempt = self._new_attempt(record)
                try:
                    await self._try(submission, record, attempt, assemble, note)
                except WorkerLostError as error:
                    failed.append(replace(attempt, outcome="failed", error=str(error)))
                    if ordinal == self._retry.max_attempts:
                        self._end(record, JobState.FAILED, str(error))
                        raise
                    # The job is provably not running any more, and costs nothing: the same rows may run again.
                    continue
                except asyncio.CancelledError:
                    self._end(record, JobState.CANCELLED, None)
                    raise
                except Exception as error:
                    failed.append(replace(attempt, outcome="failed", error=str(error)))
                    self._end(record, JobState.FAILED, str(error))
                    raise
                return
        finally:
            # After the job, without which they cannot be stored.
            self._journal.record_soon(failed)

    def _new_attempt(self, record: JobRecord) -> AttemptRecord:
        key = idempotency_key(self._journal.store_id, record.job_id, epoch=record.attempts - 1)
        return AttemptRecord(record.job_id, record.attempts, key, self._clock.now())

    async def _try(
        self,
        submission: Submission,
        record: JobRecord,
        attempt: AttemptRecord,
        assemble: Assemble,
        note: Callable[[str], None],
    ) -> None:
        await self._journal.write_ahead([record, attempt])
        submitted_ns = self._clock.monotonic_ns()
        provider_id = await self._backend.submit(submission.request, key=attempt.key)
        note(provider_id)
        record = replace(record, state=JobState.SUBMITTED, provider_id=provider_id)
        await self._journal.write_ahead([record])
        raw = await self._fetch(provider_id)
        self._observe(submission, raw, submitted_ns)
        with self._recorder.span(Phase.DECODE, submission.position, job_id=record.job_id):
            rows = sum(group.n_rows for group in submission.groups)
            result = await self._journal.compute(rows, self._decode, submission, raw, assemble)
        now = self._clock.now()
        done = replace(record, state=JobState.DONE, changed_at=now)
        blocks = block_records(submission.plan, result, position=submission.position, created_at=now)
        await self._journal.record([done, replace(attempt, outcome="accepted"), *blocks])

    async def _fetch(self, provider_id: str) -> RawResult:
        try:
            return await self._backend.fetch(provider_id)
        except asyncio.CancelledError:
            await asyncio.shield(self._backend.cancel(provider_id))
            raise

    def _decode(self, submission: Submission, raw: RawResult, assemble: Assemble) -> JobResult:
        request: JobRequest = submission.request
        result = self._backend.decode(request, raw)
        assemble(submission.job, result)
        return result

    def _observe(self, submission: Submission, raw: RawResult, submitted_ns: int) -> None:
        if raw.started_ns is None or raw.ended_ns is None:
            return
        received_ns = self._clock.monotonic_ns()
        edges = (
            (Phase.WAIT, submitted_ns, raw.started_ns),
            (Phase.EXECUTE, raw.started_ns, raw.ended_ns),
            (Phase.TRANSFER, raw.ended_ns, received_ns),
        )
        for phase, start_ns, end_ns in edges:
            self._recorder.add(phase, start_ns, end_ns, submission.position, submission.job_id)

    def _end(self, record: JobRecord, state: JobState, error: str | None) -> None:
        self._journal.record_soon([replace(record, state=state, error=error, changed_at=self._clock.now())])
