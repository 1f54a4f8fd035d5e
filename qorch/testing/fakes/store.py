"""A Store in memory: the same contract, for tests. Nothing outlives the object."""

import datetime as dt
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

from qorch.errors import QorchError, RunBusyError, StoreError
from qorch.model.arrays import ByteArray
from qorch.model.identity import Position
from qorch.model.job import OPEN_STATES, OVER_STATES, JobState
from qorch.model.ledger import LedgerAnchor, LedgerBalance, LedgerEntry, LedgerRecord
from qorch.model.ledger_chain import LedgerRow, row_of
from qorch.model.measurement import BlockResult
from qorch.ports.books import Granted
from qorch.ports.clock import Clock
from qorch.ports.provider_sessions import MAYBE_OPEN, ProviderSessionRecord
from qorch.ports.records import (
    AttemptRecord,
    BlockKeys,
    BlockRecord,
    Change,
    CheckpointRecord,
    JobPlan,
    JobRecord,
    MetricRecord,
    RawRecord,
    RunHolder,
    RunRecord,
    RunState,
    SessionRecord,
    SpanRecord,
    StepRecord,
    Write,
)
from qorch.ports.statistics import CacheStatistics, JobSpans, RunTotals, StoreRoom, Trimmed, collect_job_spans
from qorch.testing.fakes.store_books import MemoryBooks
from qorch.testing.fakes.store_runs import drop_run, is_like, missing_run, total_run
from qorch.testing.fakes.store_tables import MemoryTables
from qorch.testing.fakes.store_trimming import choose_pruned, choose_trimmed, n_bytes, total_results

_T = TypeVar("_T")


class MemoryStore:
    """``qorch.ports.Store`` over dictionaries; every write is in effect when ``write`` returns."""

    def __init__(self, clock: Clock, *, store_id: str | None = None) -> None:
        """An empty store; ``store_id`` is random if it is not given.

        ``clock`` is the store's own: it dates blocks that have no time, and is what changes of shared state are told.
        """
        self._clock = clock
        self._store_id = store_id or secrets.token_hex(16)
        self._tables = MemoryTables(MemoryBooks(self._store_id))
        self._claimed: set[str] = set()
        self._is_closed = False
        self._lock = threading.RLock()

    @property
    def store_id(self) -> str:
        """See Store."""
        return self._store_id

    @property
    def books(self) -> MemoryBooks:
        """The ledger itself, for tests that damage it."""
        return self._tables.books

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
                self._tables.check_references(writes)
            except QorchError as error:
                future.set_exception(error)
            else:
                self._tables.apply(writes, now=self._clock.now)
                future.set_result(None)
        return future

    def update_shared_state(self, name: str, change: Callable[[bytes | None, int], Change[_T]]) -> "Future[_T]":
        """See Store; the future is done."""
        future: Future[_T] = Future()
        with self._lock:
            self._check_open()
            try:
                made = change(self._tables.shared_states.get(name), self._clock.monotonic_ns())
                self._tables.check_references(made.writes)
            except Exception as error:  # whatever it raises belongs to the caller
                future.set_exception(error)
            else:
                self._tables.apply(made.writes, now=self._clock.now)
                self._tables.keep_state(name, made.state)
                future.set_result(made.value)
        return future

    def reserve(
        self, check: Callable[[Sequence[LedgerBalance]], Granted[_T]], *, since: dt.date = dt.date.min
    ) -> "Future[_T]":
        """See Store; the future is done."""
        return self._grant(lambda: check(self.ledger_balances(since=since)))

    def settle(
        self, job_ids: Sequence[str], close: Callable[[Mapping[str, Sequence[LedgerRecord]]], Sequence[Write]]
    ) -> "Future[None]":
        """See Store; the future is done."""
        return self._grant(lambda: Granted(None, close({job_id: self.job_ledger(job_id) for job_id in job_ids})))

    def _grant(self, make: Callable[[], Granted[_T]]) -> "Future[_T]":
        future: Future[_T] = Future()
        with self._lock:
            self._check_open()
            try:
                granted = make()
                self._tables.check_references(granted.writes)
            except Exception as error:  # whatever it raises belongs to the caller
                future.set_exception(error)
            else:
                self._tables.apply(granted.writes, now=self._clock.now)
                future.set_result(granted.value)
        return future

    def claim_rows(self, run_id: str, claims: ByteArray) -> "Future[list[str]]":
        """See Store; the future is done."""
        future: Future[list[str]] = Future()
        with self._lock:
            self._check_open()
            if run_id in self._tables.runs:
                owners = self._tables.row_owners
                future.set_result([owners.setdefault(claim.tobytes(), run_id) for claim in claims])
            else:
                future.set_exception(missing_run(run_id))
        return future

    @contextmanager
    def claim_run(self, run_id: str) -> Iterator[None]:
        """See Store; here it holds between claims of this object only."""
        with self._lock:
            if run_id in self._claimed:
                raise RunBusyError.in_this_process(run_id, pid=os.getpid())
            self._claimed.add(run_id)
        try:
            yield
        finally:
            self._claimed.discard(run_id)

    def stop_asked(self, run_id: str) -> dt.datetime | None:
        """See Store."""
        run = self._read().runs.get(run_id)
        return None if run is None else run.stop_asked_at

    def holder_of(self, run_id: str) -> RunHolder | None:
        """See Store; it is this process, or none."""
        return RunHolder(os.getpid(), socket.gethostname()) if run_id in self._claimed else None

    def find_run(self, name_or_id: str) -> RunRecord | None:
        """See Store."""
        exact = self._read().runs.get(name_or_id)
        return exact or next((run for run in self.runs() if run.name == name_or_id), None)

    def runs(self) -> list[RunRecord]:
        """See Store."""
        with self._lock:
            found = [run for run in self._read().runs.values() if run.state != RunState.DELETED]
            newest_last = sorted(found, key=lambda run: run.created_at)
            return newest_last[::-1]

    def run_totals(self) -> dict[str, RunTotals]:
        """See Store."""
        return {run.run_id: total_run(self, run.run_id) for run in self.runs()}

    def sessions(self, run_id: str) -> list[SessionRecord]:
        """See Store."""
        with self._lock:
            return [item for key, item in sorted(self._read().sessions.items()) if key[0] == run_id]

    def steps(self, run_id: str) -> list[StepRecord]:
        """See Store."""
        with self._lock:
            return [item for key, item in sorted(self._read().steps.items()) if key[0] == run_id]

    def runs_like(self, run: RunRecord, *, limit: int) -> list[RunRecord]:
        """See Store."""
        return [found for found in self.runs() if is_like(found, run)][:limit]

    def last_steps(self, run_id: str, *, limit: int) -> list[StepRecord]:
        """See Store."""
        return self.steps(run_id)[-limit:]

    def metrics(self, run_id: str) -> list[MetricRecord]:
        """See Store."""
        with self._lock:
            return [item for key, item in sorted(self._read().metrics.items()) if key[0] == run_id]

    def jobs(self, run_id: str | None = None, *, state: JobState | None = None) -> list[JobRecord]:
        """See Store."""
        with self._lock:
            return [
                job for job in self._read().jobs.values() if run_id in {None, job.run_id} and state in {None, job.state}
            ]

    def executions_by_state(self, run_id: str) -> dict[JobState, int]:
        """See Store."""
        executions: dict[JobState, int] = {}
        for job in self.jobs(run_id):
            executions[job.state] = executions.get(job.state, 0) + job.n_executions
        return executions

    def open_jobs(self, run_id: str | None = None) -> list[JobRecord]:
        """See Store."""
        return [job for job in self.jobs(run_id) if job.state in OPEN_STATES]

    def jobs_without_usage(self, run_id: str | None = None) -> list[JobRecord]:
        """See Store."""
        runs = self._read().runs
        return [
            job
            for job in self.jobs(run_id)
            if job.provider_id is not None
            and (job.state in OVER_STATES or job.state is JobState.UNKNOWN)
            and (job.usage is None or not job.usage.is_final)
            and runs[job.run_id].may_charge
        ]

    def jobs_at(self, run_id: str, position: Position) -> list[JobRecord]:
        """See Store."""
        return [job for job in self.jobs(run_id) if job.position == position]

    def attempts(self, job_id: str) -> list[AttemptRecord]:
        """See Store."""
        with self._lock:
            return [attempt for _, attempt in sorted(self._read().attempts.get(job_id, {}).items())]

    def run_attempts(self, run_id: str) -> list[AttemptRecord]:
        """See Store."""
        return [attempt for job in self.jobs(run_id) for attempt in self.attempts(job.job_id)]

    def job_plan(self, job_id: str) -> JobPlan | None:
        """See Store."""
        with self._lock:
            tables = self._read()
            job = tables.jobs.get(job_id)
            return None if job is None or job.state in OVER_STATES else tables.plans.get(job_id)

    def raw_result(self, job_id: str) -> RawRecord | None:
        """See Store."""
        with self._lock:
            return self._read().answers.get(job_id)

    def provider_sessions(self, run_id: str | None = None) -> list[ProviderSessionRecord]:
        """See Store."""
        with self._lock:
            return [item for item in self._read().provider_sessions.values() if run_id in {None, item.run_id}]

    def open_provider_sessions(self, run_id: str | None = None) -> list[ProviderSessionRecord]:
        """See Store."""
        return [item for item in self.provider_sessions(run_id) if item.state in MAYBE_OPEN]

    def spans(self, run_id: str) -> list[SpanRecord]:
        """See Store."""
        with self._lock:
            return [span for span in self._read().spans if span.run_id == run_id]

    def job_spans(self, run_id: str) -> JobSpans:
        """See Store."""
        return collect_job_spans(self.spans(run_id))

    def ledger(self, run_id: str | None = None) -> list[LedgerRecord]:
        """See Store."""
        with self._lock:
            return self._read().books.records(run_id=run_id)

    def job_ledger(self, job_id: str) -> list[LedgerRecord]:
        """See Store."""
        with self._lock:
            return self._read().books.records(job_id=job_id)

    def ledger_entries(self, *, after: int = 0, limit: int = 10_000) -> list[LedgerEntry]:
        """See Store."""
        with self._lock:
            return list(self._read().books.after(after, limit))

    def ledger_rows(self, *, after: int | None = None, limit: int = 10_000) -> list[LedgerRow]:
        """See Store."""
        with self._lock:
            return [row_of(entry) for entry in self._read().books.after(after, limit)]

    def ledger_anchor(self) -> LedgerAnchor:
        """See Store."""
        return self._read().books.anchor

    def ledger_balances(self, *, since: dt.date = dt.date.min) -> list[LedgerBalance]:
        """See Store."""
        with self._lock:
            return self._read().books.balances(self._tables.runs, since)

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
                BlockKeys(number, block.rows.keys, block.rows.samples)
                for number, block in self._read().blocks.items()
                if number > after_block_id
                and (block.rows.context, block.measurement_digest, block.rows.gates_digest) == wanted
            ]

    def block_results(self, block_ids: Sequence[int]) -> dict[int, BlockResult]:
        """See Store."""
        with self._lock:
            blocks = self._read().blocks
            return {number: blocks[number].result for number in block_ids if number in blocks}

    def cache_statistics(self) -> CacheStatistics:
        """See Store."""
        with self._lock:
            return total_results(list(self._read().blocks.values()), self._tables.runs)

    def prune(self, *, run_id: str | None = None, before: dt.datetime | None = None) -> int:
        """See Store."""
        with self._lock:
            blocks = self._read().blocks
            gone = [blocks.pop(number) for number in choose_pruned(blocks, run_id=run_id, before=before)]
        return sum(len(block.rows) for block in gone)

    def trim_free(self, keep_bytes: int) -> "Future[Trimmed]":
        """See Store; the future is done."""
        future: Future[Trimmed] = Future()
        with self._lock:
            tables = self._read()
            gone, has_more = choose_trimmed(tables.blocks, tables.runs, tables.checkpoints, keep_bytes=keep_bytes)
            blocks = [tables.blocks.pop(number) for number in gone]
        future.set_result(Trimmed(sum(len(block.rows) for block in blocks), sum(map(n_bytes, blocks)), has_more))
        return future

    def room(self) -> StoreRoom:
        """See Store; it takes no room on any disk."""
        self._read()
        return StoreRoom(0, 0, 0)

    def delete_run(self, run_id: str, *, keep_books: bool) -> None:
        """See Store."""
        with self._lock:
            if run_id not in self._read().runs:
                raise missing_run(run_id)
            drop_run(vars(self._tables), run_id, keep_books=keep_books)

    def shrink(self) -> int:
        """See Store; nothing is on a disk."""
        self._read()
        return 0

    def close(self) -> None:
        """See Store."""
        self._is_closed = True

    def _read(self) -> MemoryTables:
        self._check_open()
        return self._tables

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreError("the store in memory is closed; open another")
