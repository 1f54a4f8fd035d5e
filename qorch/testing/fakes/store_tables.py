"""The tables of the store in memory, and how records are written into them."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from qorch.errors import StoreError
from qorch.model.job import OVER_STATES
from qorch.model.ledger import LedgerRecord
from qorch.model.ledger_chain import entry_fields
from qorch.ports.provider_sessions import ProviderSessionRecord
from qorch.ports.records import (
    AttemptRecord,
    BlockRecord,
    CheckpointRecord,
    JobPlan,
    JobRecord,
    MetricRecord,
    QueueMove,
    RawRecord,
    ReleasedRows,
    RunMove,
    RunRecord,
    SessionRecord,
    SpanRecord,
    StepRecord,
    StopRequest,
    UsageRecord,
    Write,
)
from qorch.testing.fakes.store_books import MemoryBooks
from qorch.testing.fakes.store_runs import missing_run, replace_run

_KEPT_CHECKPOINTS = 2


@dataclass
class MemoryTables:
    """Records by the table that a store on disk would have, and by key."""

    books: MemoryBooks
    runs: dict[str, RunRecord] = field(default_factory=dict)
    sessions: dict[tuple[str, int], SessionRecord] = field(default_factory=dict)
    steps: dict[tuple[str, int], StepRecord] = field(default_factory=dict)
    metrics: dict[tuple[str, int, int], MetricRecord] = field(default_factory=dict)
    jobs: dict[str, JobRecord] = field(default_factory=dict)
    attempts: dict[str, dict[int, AttemptRecord]] = field(default_factory=dict)
    provider_sessions: dict[str, ProviderSessionRecord] = field(default_factory=dict)
    plans: dict[str, JobPlan] = field(default_factory=dict)
    answers: dict[str, RawRecord] = field(default_factory=dict)
    shared_states: dict[str, bytes] = field(default_factory=dict)
    row_owners: dict[bytes, str] = field(default_factory=dict)
    blocks: dict[int, BlockRecord] = field(default_factory=dict)
    spans: list[SpanRecord] = field(default_factory=list)
    checkpoints: dict[str, list[CheckpointRecord]] = field(default_factory=dict)
    next_block: int = 1

    def check_references(self, writes: Sequence[Write]) -> None:
        """Raise StoreError if a record belongs to a run or job that is neither stored nor among the others.

        Raises UsageError for a ledger entry whose time has no zone.
        """
        runs = {record.run_id for record in writes if isinstance(record, RunRecord)}
        jobs = {record.job_id for record in writes if isinstance(record, JobRecord)}
        for record in writes:
            if not isinstance(record, Write):
                raise StoreError(f"cannot store a {type(record).__name__}; write those of qorch.ports.records")
            if isinstance(record, LedgerRecord):
                entry_fields(record)  # raises for a time without its zone
            run_id = None if isinstance(record, AttemptRecord | ReleasedRows) else record.run_id
            if run_id is not None and run_id not in self.runs and run_id not in runs:
                raise missing_run(run_id)
            job_id = record.job_id if isinstance(record, _OfJob) else None
            if job_id is not None and job_id not in self.jobs and job_id not in jobs:
                raise StoreError(f"job '{job_id}' is not stored; write its JobRecord first")

    def keep_state(self, name: str, state: bytes | None) -> None:
        """Replace a shared state; None deletes it."""
        if state is None:
            self.shared_states.pop(name, None)
        else:
            self.shared_states[name] = state

    def apply(self, writes: Sequence[Write], *, now: Callable[[], dt.datetime]) -> None:
        """Write records that ``check_references`` has let pass; ``now`` dates blocks that have no time."""
        for record in sorted(writes, key=_generation):
            self._apply(record, now)
        self._drop_plans(writes)

    def _apply(self, record: Write, now: Callable[[], dt.datetime]) -> None:
        if isinstance(record, SpanRecord):
            self.spans.append(record)
        elif isinstance(record, LedgerRecord):
            self.books.append(record)
        elif isinstance(record, BlockRecord):
            dated = record if record.created_at else replace(record, created_at=now())
            self.blocks[self.next_block] = dated
            self.next_block += 1
        elif isinstance(record, CheckpointRecord):
            kept = self.checkpoints.setdefault(record.run_id, [])
            kept.append(record)
            del kept[:-_KEPT_CHECKPOINTS]
        elif isinstance(record, ReleasedRows):
            self._release(record)
        elif isinstance(record, _ChangesJob):
            self._replace_of_job(record)
        else:
            self._replace_of_run(record)

    def _replace_of_run(
        self,
        record: RunRecord | RunMove | StopRequest | SessionRecord | StepRecord | MetricRecord | ProviderSessionRecord,
    ) -> None:
        if isinstance(record, RunRecord | RunMove | StopRequest):
            self.runs[record.run_id] = replace_run(self.runs.get(record.run_id), record)
        elif isinstance(record, SessionRecord):
            self.sessions[record.run_id, record.ordinal] = record
        elif isinstance(record, ProviderSessionRecord):
            self.provider_sessions[record.plan.key] = record
        elif isinstance(record, MetricRecord):
            self.metrics[record.run_id, record.step, record.ordinal] = record
        else:
            self.steps[record.run_id, record.step] = record

    def _replace_of_job(self, record: "_ChangesJob") -> None:
        if isinstance(record, JobRecord):
            known = self.jobs.get(record.job_id, record)
            self.jobs[record.job_id] = replace(record, queue_place=known.queue_place, usage=known.usage)
        elif isinstance(record, QueueMove):
            self.jobs[record.job_id] = replace(self.jobs[record.job_id], queue_place=record.place)
        elif isinstance(record, UsageRecord):
            self.jobs[record.job_id] = replace(self.jobs[record.job_id], usage=record.usage)
        elif isinstance(record, AttemptRecord):
            self.attempts.setdefault(record.job_id, {})[record.ordinal] = record
        elif isinstance(record, JobPlan):
            self.plans[record.job_id] = record
        else:
            self.answers[record.job_id] = record

    def _drop_plans(self, writes: Sequence[Write]) -> None:
        """One call may hold a job and its plan in any order, and only the job's last state counts."""
        for record in writes:
            if isinstance(record, JobRecord) and self.jobs[record.job_id].state in OVER_STATES:
                self.plans.pop(record.job_id, None)

    def _release(self, released: ReleasedRows) -> None:
        owners = self.row_owners
        wanted = list(owners) if released.claims is None else [claim.tobytes() for claim in released.claims]
        for claim in wanted:
            if owners.get(claim) == released.run_id:
                del owners[claim]


_OfJob = AttemptRecord | BlockRecord | LedgerRecord | JobPlan | RawRecord | QueueMove | UsageRecord
_ChangesJob = JobRecord | QueueMove | UsageRecord | AttemptRecord | JobPlan | RawRecord


def _generation(record: Write) -> int:
    """Runs before all else, and jobs before what changes them: one call may hold what belongs together in any order."""
    return 0 if isinstance(record, RunRecord) else 2 if isinstance(record, QueueMove | UsageRecord) else 1
