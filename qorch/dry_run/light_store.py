"""The store of one future: what its engine reads again, in memory and unchecked."""

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future as Pending
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from qorch.model.arrays import ByteArray
from qorch.model.identity import Position
from qorch.model.job import OPEN_STATES, OVER_STATES, JobState
from qorch.model.ledger import LedgerBalance, LedgerRecord
from qorch.model.measurement import BlockResult
from qorch.model.usage import ReportedUsage
from qorch.ports.books import Granted
from qorch.ports.clock import Clock
from qorch.ports.provider_sessions import ProviderSessionRecord
from qorch.ports.records import (
    AttemptRecord,
    BlockKeys,
    BlockRecord,
    Change,
    JobPlan,
    JobRecord,
    ReleasedRows,
    RunRecord,
    StepRecord,
    UsageRecord,
    Write,
)

T = TypeVar("T")


@dataclass(eq=False)
class LightStore:
    """Has of ``qorch.ports.Store`` what an engine calls whose run nothing resumes, and keeps nothing else.

    Every write is in effect at once, and costs next to nothing: nothing is checked, and the ledger is no chain.
    ``ledger``: in order. ``keeps_samples``: whether the engine may look for samples, as its cache policy says; exact
    values are kept anyway.
    """

    clock: Clock
    keeps_samples: bool = True
    store_id: str = "00" * 16
    location: str = "memory"
    ledger: list[LedgerRecord] = field(default_factory=list)
    entries_of_jobs: dict[str, list[LedgerRecord]] = field(default_factory=dict)
    _runs: dict[str, RunRecord] = field(default_factory=dict)
    _jobs: dict[str, JobRecord] = field(default_factory=dict)
    _attempts: dict[str, dict[int, AttemptRecord]] = field(default_factory=dict)
    _plans: dict[str, JobPlan] = field(default_factory=dict)
    _shots: dict[str, int] = field(default_factory=dict)
    _usages: dict[str, ReportedUsage] = field(default_factory=dict)
    _blocks: list[BlockRecord] = field(default_factory=list)
    _keyed: dict[tuple[bytes, bytes, bytes], list[BlockKeys]] = field(default_factory=dict)
    _states: dict[str, bytes] = field(default_factory=dict)
    _owners: dict[bytes, str] = field(default_factory=dict)

    def write(self, writes: Sequence[Write]) -> "Pending[None]":
        """See RecordLog."""
        for record in writes:
            self._keep(record)
        return _done(None)

    def _keep(self, record: Write) -> None:
        """Keep one; spans, answers, places in queues and whatever else is not named here are forgotten."""
        if isinstance(record, JobRecord):
            self._jobs[record.job_id] = record
            if record.state in OVER_STATES:
                self._plans.pop(record.job_id, None)
        elif isinstance(record, AttemptRecord):
            self._attempts.setdefault(record.job_id, {})[record.ordinal] = record
        elif isinstance(record, JobPlan):
            self._keep_plan(record)
        elif isinstance(record, LedgerRecord):
            self.ledger.append(record)
            self.entries_of_jobs.setdefault(record.job_id or "", []).append(record)
        elif isinstance(record, BlockRecord):
            self._keep_block(record)
        elif isinstance(record, UsageRecord):
            self._usages[record.job_id] = record.usage
        elif isinstance(record, RunRecord):
            self._runs[record.run_id] = record
        elif isinstance(record, ReleasedRows):
            self._release(record)

    def _keep_plan(self, record: JobPlan) -> None:
        self._plans[record.job_id] = record
        samples = (block.rows.samples for block in record.blocks)
        self._shots[record.job_id] = sum(0 if each is None else len(each.ordinals) * each.shots for each in samples)

    def _keep_block(self, record: BlockRecord) -> None:
        rows = record.rows
        if rows.samples is not None and not self.keeps_samples:
            return
        self._blocks.append(record)
        known = self._keyed.setdefault((rows.context, record.measurement_digest, rows.gates_digest), [])
        known.append(BlockKeys(len(self._blocks), rows.keys, rows.samples))

    def _release(self, record: ReleasedRows) -> None:
        names = list(self._owners) if record.claims is None else [claim.tobytes() for claim in record.claims]
        for name in names:
            if self._owners.get(name) == record.run_id:
                del self._owners[name]

    def reserve(
        self, check: Callable[[Sequence[LedgerBalance]], Granted[T]], *, since: datetime.date = datetime.date.min
    ) -> "Pending[T]":
        """See Books; no budget applies to a future, and so none is read."""
        granted = check(())
        self.write(granted.writes)
        return _done(granted.value)

    def settle(
        self, job_ids: Sequence[str], close: Callable[[Mapping[str, Sequence[LedgerRecord]]], Sequence[Write]]
    ) -> "Pending[None]":
        """See Books."""
        return self.write(close({job_id: self.entries_of_jobs.get(job_id, ()) for job_id in job_ids}))

    def update_shared_state(self, name: str, change: Callable[[bytes | None, int], Change[T]]) -> "Pending[T]":
        """See SharedState."""
        made = change(self._states.get(name), self.clock.monotonic_ns())
        self.write(made.writes)
        if made.state is None:
            self._states.pop(name, None)
        else:
            self._states[name] = made.state
        return _done(made.value)

    def claim_rows(self, run_id: str, claims: ByteArray) -> "Pending[list[str]]":
        """See SharedState."""
        return _done([self._owners.setdefault(claim.tobytes(), run_id) for claim in claims])

    @contextmanager
    def claim_run(self, run_id: str) -> Iterator[None]:
        """See SharedState; nobody else is there."""
        yield

    def holder_of(self, run_id: str) -> None:
        """See Holders; nobody else is there."""

    def find_run(self, name_or_id: str) -> RunRecord | None:
        """See Runs; by its id."""
        return self._runs.get(name_or_id)

    def steps(self, run_id: str) -> list[StepRecord]:
        """See Runs; none is kept."""
        return []

    def jobs(self, run_id: str | None = None, *, state: JobState | None = None) -> list[JobRecord]:
        """See Jobs."""
        return [
            replace(job, usage=self._usages.get(job.job_id))
            for job in self._jobs.values()
            if run_id in (None, job.run_id) and state in (None, job.state)
        ]

    def jobs_at(self, run_id: str, position: Position) -> list[JobRecord]:
        """See Jobs."""
        return [job for job in self._jobs.values() if (job.run_id, job.position) == (run_id, position)]

    def open_jobs(self, run_id: str | None = None) -> list[JobRecord]:
        """See Jobs."""
        return [job for job in self.jobs(run_id) if job.state in OPEN_STATES]

    def jobs_without_usage(self, run_id: str | None = None) -> list[JobRecord]:
        """See Jobs."""
        over = (job for job in self.jobs(run_id) if job.provider_id is not None and job.state in OVER_STATES)
        return [job for job in over if job.usage is None or not job.usage.is_final]

    def attempts(self, job_id: str) -> list[AttemptRecord]:
        """See Jobs."""
        return [attempt for _, attempt in sorted(self._attempts.get(job_id, {}).items())]

    def shots_of(self, job: JobRecord) -> int:
        """The shots of all executions of a job that was tried."""
        return self._shots.get(job.job_id, 0) if job.shots is None else job.n_executions * job.shots

    def job_plan(self, job_id: str) -> JobPlan | None:
        """See Jobs."""
        return self._plans.get(job_id)

    def provider_sessions(self, run_id: str | None = None) -> list[ProviderSessionRecord]:
        """See SessionHistory; mocks have no sessions."""
        return []

    open_provider_sessions = provider_sessions

    def blocks_at(self, run_id: str, position: Position) -> list[BlockRecord]:
        """See SampleBlocks."""
        return [block for block in self._blocks if (block.run_id, block.position) == (run_id, position)]

    def block_keys(
        self, context: bytes, measurement_digest: bytes, gates_digest: bytes, *, after_block_id: int = 0
    ) -> list[BlockKeys]:
        """See SampleBlocks."""
        known = self._keyed.get((context, measurement_digest, gates_digest), ())
        return [block for block in known if block.block_id > after_block_id]

    def block_results(self, block_ids: Sequence[int]) -> dict[int, BlockResult]:
        """See SampleBlocks."""
        return {number: self._blocks[number - 1].result for number in block_ids}


def _done(value: T) -> "Pending[T]":
    pending: Pending[T] = Pending()
    pending.set_result(value)
    return pending
