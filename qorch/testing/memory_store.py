"""A Store in memory: the same contract, for tests. Nothing outlives the object."""

import datetime as dt
import secrets
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from qorch.errors import RunBusyError, StoreError
from qorch.model.arrays import AnyArray
from qorch.model.identity import Position
from qorch.model.job import JobState
from qorch.model.measurement import BlockResult
from qorch.ports import Clock
from qorch.records import (
    AttemptRecord,
    BlockKeys,
    BlockRecord,
    CacheStatistics,
    CheckpointRecord,
    JobRecord,
    LedgerRecord,
    RunMove,
    RunRecord,
    SessionRecord,
    SpanRecord,
    StepRecord,
    Write,
)

_KEPT_CHECKPOINTS = 2


@dataclass
class _Tables:
    runs: dict[str, RunRecord] = field(default_factory=dict)
    sessions: dict[tuple[str, int], SessionRecord] = field(default_factory=dict)
    steps: dict[tuple[str, int], StepRecord] = field(default_factory=dict)
    jobs: dict[str, JobRecord] = field(default_factory=dict)
    attempts: dict[tuple[str, int], AttemptRecord] = field(default_factory=dict)
    blocks: dict[int, BlockRecord] = field(default_factory=dict)
    spans: list[SpanRecord] = field(default_factory=list)
    checkpoints: dict[str, list[CheckpointRecord]] = field(default_factory=dict)
    ledger: list[LedgerRecord] = field(default_factory=list)


class MemoryStore:
    """``qorch.ports.Store`` over dictionaries; every write is in effect when ``write`` returns."""

    def __init__(self, clock: Clock) -> None:
        """An empty store; ``clock`` dates blocks that have no time."""
        self._clock = clock
        self._store_id = secrets.token_hex(16)
        self._tables = _Tables()
        self._claimed: set[str] = set()
        self._next_block = 1
        self._is_closed = False
        self._lock = threading.RLock()

    @property
    def store_id(self) -> str:
        """See Store."""
        return self._store_id

    @property
    def location(self) -> str:
        """See Store."""
        return "memory"

    def write(self, writes: Sequence[Write]) -> "Future[None]":
        """See Store."""
        future: Future[None] = Future()
        with self._lock:
            self._check_open()
            try:
                self._check_references(writes)
            except StoreError as error:
                future.set_exception(error)
            else:
                for record in sorted(writes, key=_generation):
                    self._apply(record)
                future.set_result(None)
        return future

    @contextmanager
    def claim_run(self, run_id: str) -> Iterator[None]:
        """See Store; here it holds between claims of this object only."""
        with self._lock:
            if run_id in self._claimed:
                raise RunBusyError(f"run '{run_id}' is being worked on; wait for it, or stop it and resume")
            self._claimed.add(run_id)
        try:
            yield
        finally:
            self._claimed.discard(run_id)

    def find_run(self, name_or_id: str) -> RunRecord | None:
        """See Store."""
        exact = self._read().runs.get(name_or_id)
        return exact or next((run for run in self.runs() if run.name == name_or_id), None)

    def runs(self) -> list[RunRecord]:
        """See Store."""
        with self._lock:
            newest_last = sorted(self._read().runs.values(), key=lambda run: run.created_at)
            return newest_last[::-1]

    def sessions(self, run_id: str) -> list[SessionRecord]:
        """See Store."""
        with self._lock:
            return [item for key, item in sorted(self._read().sessions.items()) if key[0] == run_id]

    def steps(self, run_id: str) -> list[StepRecord]:
        """See Store."""
        with self._lock:
            return [item for key, item in sorted(self._read().steps.items()) if key[0] == run_id]

    def jobs(self, run_id: str | None = None, *, state: JobState | None = None) -> list[JobRecord]:
        """See Store."""
        with self._lock:
            return [
                job for job in self._read().jobs.values() if run_id in {None, job.run_id} and state in {None, job.state}
            ]

    def spans(self, run_id: str) -> list[SpanRecord]:
        """See Store."""
        with self._lock:
            return [span for span in self._read().spans if span.run_id == run_id]

    def ledger(self, run_id: str | None = None) -> list[LedgerRecord]:
        """See Store."""
        with self._lock:
            return [entry for entry in self._read().ledger if run_id in {None, entry.run_id}]

    def last_checkpoint(self, run_id: str) -> CheckpointRecord | None:
        """See Store."""
        kept = self._read().checkpoints.get(run_id)
        return kept[-1] if kept else None

    def blocks_at(self, run_id: str, position: Position) -> list[BlockRecord]:
        """See Store."""
        with self._lock:
            blocks = self._read().blocks.values()
            return [block for block in blocks if (block.run_id, block.position) == (run_id, position)]

    def block_keys(
        self, context: bytes, measurement_digest: bytes, gates_digest: bytes, *, after_block_id: int = 0
    ) -> list[BlockKeys]:
        """See Store."""
        wanted = (context, measurement_digest, gates_digest)
        with self._lock:
            return [
                BlockKeys(number, block.keys, block.streams, block.ordinals, block.shots, block.shot_offset)
                for number, block in self._read().blocks.items()
                if number > after_block_id and (block.context, block.measurement_digest, block.gates_digest) == wanted
            ]

    def block_results(self, block_ids: Sequence[int]) -> dict[int, BlockResult]:
        """See Store."""
        with self._lock:
            blocks = self._read().blocks
            return {number: blocks[number].result for number in block_ids if number in blocks}

    def cache_statistics(self) -> CacheStatistics:
        """See Store."""
        totals: dict[str, tuple[int, int]] = {}
        with self._lock:
            blocks = list(self._read().blocks.values())
        for block in blocks:
            rows, size = totals.get(block.run_id, (0, 0))
            totals[block.run_id] = (rows + len(block.rows), size + _nbytes(block))
        runs = tuple((run_id, *totals[run_id]) for run_id in sorted(totals))
        return CacheStatistics(len(blocks), sum(run[1] for run in runs), sum(run[2] for run in runs), runs)

    def prune(self, *, run_id: str | None = None, before: dt.datetime | None = None) -> int:
        """See Store."""
        with self._lock:
            gone = {
                number: block
                for number, block in self._read().blocks.items()
                if run_id in {None, block.run_id}
                and (before is None or (block.created_at is not None and block.created_at < before))
            }
            for number in gone:
                del self._tables.blocks[number]
        return sum(len(block.rows) for block in gone.values())

    def close(self) -> None:
        """See Store."""
        self._is_closed = True

    def _read(self) -> _Tables:
        self._check_open()
        return self._tables

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreError("the store in memory is closed; open another")

    def _check_references(self, writes: Sequence[Write]) -> None:
        tables = self._tables
        runs = tables.runs.keys() | {record.run_id for record in writes if isinstance(record, RunRecord)}
        jobs = tables.jobs.keys() | {record.job_id for record in writes if isinstance(record, JobRecord)}
        for record in writes:
            if not isinstance(record, Write):
                raise StoreError(f"cannot store a {type(record).__name__}; write the records of qorch.ports")
            if not isinstance(record, AttemptRecord) and record.run_id not in runs:
                raise StoreError(f"run '{record.run_id}' is not stored; write its RunRecord first")
            job_id = record.job_id if isinstance(record, AttemptRecord | BlockRecord | LedgerRecord) else None
            if job_id is not None and job_id not in jobs:
                raise StoreError(f"job '{job_id}' is not stored; write its JobRecord first")

    def _apply(self, record: Write) -> None:
        if isinstance(record, SpanRecord):
            self._tables.spans.append(record)
        elif isinstance(record, LedgerRecord):
            self._tables.ledger.append(record)
        elif isinstance(record, BlockRecord):
            dated = record if record.created_at else replace(record, created_at=self._clock.now())
            self._tables.blocks[self._next_block] = dated
            self._next_block += 1
        elif isinstance(record, CheckpointRecord):
            kept = self._tables.checkpoints.setdefault(record.run_id, [])
            kept.append(record)
            del kept[:-_KEPT_CHECKPOINTS]
        else:
            self._replace(record)

    def _replace(self, record: RunRecord | RunMove | SessionRecord | StepRecord | JobRecord | AttemptRecord) -> None:
        tables = self._tables
        if isinstance(record, RunRecord):
            tables.runs[record.run_id] = record
        elif isinstance(record, RunMove):
            run = tables.runs[record.run_id]
            summary = run.summary if record.summary is None else record.summary
            tables.runs[record.run_id] = replace(run, state=record.state, summary=summary)
        elif isinstance(record, SessionRecord):
            tables.sessions[record.run_id, record.ordinal] = record
        elif isinstance(record, StepRecord):
            tables.steps[record.run_id, record.step] = record
        elif isinstance(record, JobRecord):
            tables.jobs[record.job_id] = record
        else:
            tables.attempts[record.job_id, record.ordinal] = record


def _generation(record: Write) -> int:
    """Runs before all else: one call may hold a run and what belongs to it in any order."""
    return 0 if isinstance(record, RunRecord) else 1


def _nbytes(block: BlockRecord) -> int:
    arrays: list[AnyArray] = [block.keys, block.rows, block.streams, block.ordinals]
    if block.result.values is not None:
        arrays.append(block.result.values)
    counts = 0 if block.result.counts is None else block.result.counts.nbytes
    return sum(array.nbytes for array in arrays) + counts
