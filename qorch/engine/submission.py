"""The life of one job: written down, submitted, fetched, decoded, recorded."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from qorch.engine.journal import Journal
from qorch.engine.recorder import Recorder
from qorch.errors import WorkerLostError
from qorch.lowering import RowGroup
from qorch.model.identity import Position, idempotency_key, job_id_of
from qorch.model.job import JobRequest, JobResult, JobState, RawResult
from qorch.model.timing import Phase
from qorch.planning import PlannedJob
from qorch.policy import RetryPolicy
from qorch.ports import Backend, Clock
from qorch.records import AttemptRecord, BlockRecord, JobRecord, Write


@dataclass(frozen=True, eq=False)
class Submission:
    """One planned job of a call, and all that is needed to write it down."""

    run_id: str
    position: Position
    ordinal: int
    job: PlannedJob
    groups: tuple[RowGroup, ...]
    contexts: tuple[bytes, ...]

    @property
    def job_id(self) -> str:
        """The job's name, the same whenever the run is replayed."""
        return job_id_of(self.run_id, self.position, self.ordinal)

    @property
    def request(self) -> JobRequest:
        """What the backend gets."""
        return JobRequest(self.job_id, tuple(selection.block for selection in self.job.selections))


class Submitter:
    """Carries submissions through their states on one backend."""

    def __init__(
        self, backend: Backend, journal: Journal, recorder: Recorder, *, clock: Clock, retry: RetryPolicy
    ) -> None:
        """Everything is shared with the engine that owns this."""
        self._backend = backend
        self._journal = journal
        self._recorder = recorder
        self._clock = clock
        self._retry = retry

    async def carry_out(self, submission: Submission, assemble: "Callable[[JobResult], None]") -> None:
        """Run one job to its end and hand its verified results to ``assemble`` (called in the engine's thread).

        Raises what the backend raises once no attempt is left. Whatever happens, the job's last state is written.
        """
        record = self._record(submission, JobState.INTENT)
        for ordinal in range(1, self._retry.max_attempts + 1):
            record = replace(record, attempts=ordinal)
            try:
                await self._attempt(submission, record, assemble)
            except WorkerLostError as error:
                if ordinal == self._retry.max_attempts:
                    self._end(record, JobState.FAILED, str(error))
                    raise
                # The job is provably not running any more, and costs nothing: the same rows may run again.
                continue
            except asyncio.CancelledError:
                self._end(record, JobState.CANCELLED, None)
                raise
            except Exception as error:
                self._end(record, JobState.FAILED, str(error))
                raise
            return

    async def _attempt(
        self, submission: Submission, record: JobRecord, assemble: "Callable[[JobResult], None]"
    ) -> None:
        key = idempotency_key(self._journal.store_id, record.job_id, epoch=record.attempts - 1)
        attempt = AttemptRecord(record.job_id, record.attempts, key, self._clock.now())
        await self._journal.write_ahead([record, attempt])
        submitted_ns = self._clock.monotonic_ns()
        provider_id = await self._backend.submit(submission.request, key=key)
        record = replace(record, state=JobState.SUBMITTED, provider_id=provider_id)
        await self._journal.write_ahead([record])
        raw = await self._fetch(provider_id)
        self._observe(submission, raw, submitted_ns)
        with self._recorder.span(Phase.DECODE, submission.position, job_id=record.job_id):
            rows = sum(group.n_rows for group in submission.groups)
            result = await self._journal.compute(rows, self._decode, submission.request, raw, assemble)
        done = replace(record, state=JobState.DONE, changed_at=self._clock.now())
        blocks = self._blocks(submission, result)
        await self._journal.record([done, replace(attempt, outcome="accepted"), *blocks])

    async def _fetch(self, provider_id: str) -> RawResult:
        try:
            return await self._backend.fetch(provider_id)
        except asyncio.CancelledError:
            await asyncio.shield(self._backend.cancel(provider_id))
            raise

    def _decode(self, request: JobRequest, raw: RawResult, assemble: "Callable[[JobResult], None]") -> JobResult:
        result = self._backend.decode(request, raw)
        assemble(result)
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

    def _record(self, submission: Submission, state: JobState) -> JobRecord:
        return JobRecord(
            job_id=submission.job_id,
            run_id=submission.run_id,
            position=submission.position,
            state=state,
            n_rows=submission.job.n_rows,
            shots=submission.job.shots,
            changed_at=self._clock.now(),
        )

    def _end(self, record: JobRecord, state: JobState, error: str | None) -> None:
        self._journal.record_soon([replace(record, state=state, error=error, changed_at=self._clock.now())])

    def _blocks(self, submission: Submission, result: JobResult) -> list[Write]:
        return [
            BlockRecord(
                job_id=submission.job_id,
                run_id=submission.run_id,
                position=submission.position,
                group=selection.group,
                rows=selection.rows.astype("uint64"),
                keys=submission.groups[selection.group].keys[selection.rows],
                context=submission.contexts[selection.group],
                gates_digest=selection.block.gates.digest,
                measurement_digest=selection.block.measurement.digest,
                n_qubits=selection.block.gates.n_qubits,
                shots=selection.block.shots,
                shot_offset=selection.block.shot_offset,
                streams=selection.block.streams,
                ordinals=selection.block.ordinals,
                result=block,
                created_at=self._clock.now(),
            )
            for selection, block in zip(submission.job.selections, result.blocks, strict=True)
        ]
