"""The store in SQLite: reads from pooled connections, writes through the one writer thread."""

import atexit
import datetime as dt
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Select, Table, func, select
from sqlalchemy.exc import SQLAlchemyError

from qorch.errors import StoreError
from qorch.model.arrays import ByteArray
from qorch.model.identity import Position
from qorch.model.job import OPEN_STATES, OVER_STATES, JobState
from qorch.model.measurement import BlockResult
from qorch.ports.clock import Clock
from qorch.ports.records import (
    AttemptRecord,
    BlockKeys,
    BlockRecord,
    CacheStatistics,
    Change,
    CheckpointRecord,
    JobPlan,
    JobRecord,
    LedgerRecord,
    MetricRecord,
    RawRecord,
    RunHolder,
    RunRecord,
    RunState,
    RunTotals,
    SessionRecord,
    SpanRecord,
    StepRecord,
    StoreRoom,
    Trimmed,
    Write,
)
from qorch_jobs_db.checking import find_damage
from qorch_jobs_db.decoding import (
    SqlRow,
    decode_attempt,
    decode_block,
    decode_block_keys,
    decode_block_result,
    decode_checkpoint,
    decode_entry,
    decode_job,
    decode_job_plan,
    decode_metric,
    decode_raw_result,
    decode_run,
    decode_session,
    decode_span,
    decode_step,
    parse_time_or_none,
)
from qorch_jobs_db.deletion import drop_run
from qorch_jobs_db.encoding import time_text
from qorch_jobs_db.locks import Locks
from qorch_jobs_db.opening import prepare_database
from qorch_jobs_db.pruning import prune_piece
from qorch_jobs_db.room import empty_log, file_bytes, measure, shrink_piece, trim_or_shrink
from qorch_jobs_db.schema import (
    ATTEMPTS,
    CHECKPOINTS,
    JOB_PLANS,
    JOBS,
    LEDGER,
    METRICS,
    RAW_RESULTS,
    ROW_BLOCKS,
    RUNS,
    SESSIONS,
    SPANS,
    STEPS,
)
from qorch_jobs_db.sql_errors import store_error
from qorch_jobs_db.sqlite import BUSY_SECONDS, LogWatch, create_file, database_path, read_engine, write_engine
from qorch_jobs_db.statements import Link, change_state, claim_rows
from qorch_jobs_db.totals import total_results, total_runs
from qorch_jobs_db.writer import Writer

_R = TypeVar("_R")
_IDS_PER_QUERY = 500
_KEY_COLUMNS = [column for column in ROW_BLOCKS.columns if column.name != "result"]
_RESULT_COLUMNS = [column for column in ROW_BLOCKS.columns if column.name not in {"row_keys", "places"}]


def open_store(url: str, *, clock: Clock) -> "SqlStore":
    """Open the database at ``sqlite:////folder/name.db`` or a bare path, making it or upgrading it first.

    Raises UsageError for another kind of URL, StoreUnavailableError where it cannot be opened or written,
    StoreCorruptError where it is no sound qorch database, StoreTooNewError where a newer qorch wrote it.
    """
    path = database_path(url)
    try:
        create_file(path)
        locks = Locks(path)
        with closing(locks.turn("open", patience_seconds=BUSY_SECONDS)) as turn, turn:
            store_id = prepare_database(
                path, clock=clock, is_claimed=lambda run_id: locks.holder_of(run_id) is not None
            )
    except OSError as error:
        raise store_error(error, location=str(path)) from error
    return SqlStore(path, store_id=store_id, locks=locks, clock=clock)


class SqlStore:
    """``qorch.ports.Store`` on one SQLite file; opened by ``open_store``.

    A call that the database refuses (it names a run or job that is not stored) fails alone; a full disk or an
    I/O error fails that call and all later ones. Every method but close raises StoreError in a forked child.
    """

    def __init__(self, path: Path, *, store_id: str, locks: Locks, clock: Clock) -> None:
        """Start the writer thread over a prepared database."""
        self._path = path
        self._store_id = store_id
        self._locks = locks
        self._pid = os.getpid()
        self._is_closed = False
        self._write_engine = write_engine(path)
        self._read_engine = read_engine(path)
        self._sweep_engine = write_engine(path, has_foreign_keys=False)
        # One writer at a time on this machine: waits are short and fair, and SQLite before 3.51.3 could lose
        # pages where one process wrote while another moved the write-ahead log into the file.
        turn = locks.turn("write", patience_seconds=BUSY_SECONDS)
        self._writer = Writer(
            self._write_engine, location=str(path), turn=turn, clock=clock, check=LogWatch(path).check
        )
        atexit.register(self.close)

    @property
    def store_id(self) -> str:
        """See Store."""
        return self._store_id

    @property
    def location(self) -> str:
        """The absolute path of the file."""
        return str(self._path)

    @property
    def commits(self) -> int:
        """Transactions committed by this store object; calls that waited together share one."""
        return self._writer.commits

    def write(self, writes: Sequence[Write]) -> "Future[None]":
        """See Store."""
        self._check_process()
        return self._writer.submit(writes)

    def update_shared_state(self, name: str, change: Callable[[bytes | None, int], Change[_R]]) -> "Future[_R]":
        """See Store; ``change`` is called in the writer's thread, and the time is the machine's monotonic clock."""
        self._check_process()
        return self._writer.run(lambda link: change_state(link, name, change))

    def claim_rows(self, run_id: str, claims: ByteArray) -> "Future[list[str]]":
        """See Store."""
        self._check_process()
        return self._writer.run(lambda link: claim_rows(link, run_id, claims))

    @contextmanager
    def claim_run(self, run_id: str) -> Iterator[None]:
        """See Store."""
        self._check_process()
        with self._locks.claim(run_id):
            yield

    def stop_asked(self, run_id: str) -> dt.datetime | None:
        """See Store."""
        query = select(RUNS.c.stop_asked_at).where(RUNS.c.run_id == run_id)
        return next(iter(self._fetch(query, lambda row: parse_time_or_none(row.stop_asked_at))), None)

    def holder_of(self, run_id: str) -> RunHolder | None:
        """See Store. Raises StoreUnavailableError if that cannot be found out."""
        self._check_process()
        return self._locks.holder_of(run_id)

    def find_run(self, name_or_id: str) -> RunRecord | None:
        """See Store."""
        exact = select(RUNS).where(RUNS.c.run_id == name_or_id)
        named = _newest_runs().where(RUNS.c.name == name_or_id).limit(1)
        found = self._fetch(exact, decode_run) or self._fetch(named, decode_run)
        return found[0] if found else None

    def runs(self) -> list[RunRecord]:
        """See Store."""
        return self._fetch(_newest_runs(), decode_run)

    def run_totals(self) -> dict[str, RunTotals]:
        """See Store."""
        with self._reading() as connection:
            return total_runs(connection)

    def sessions(self, run_id: str) -> list[SessionRecord]:
        """See Store."""
        return self._fetch(_of_run(SESSIONS, run_id).order_by(SESSIONS.c.ordinal), decode_session)

    def steps(self, run_id: str) -> list[StepRecord]:
        """See Store."""
        return self._fetch(_of_run(STEPS, run_id).order_by(STEPS.c.step), decode_step)

    def metrics(self, run_id: str) -> list[MetricRecord]:
        """See Store."""
        query = _of_run(METRICS, run_id).order_by(METRICS.c.step, METRICS.c.ordinal)
        return self._fetch(query, decode_metric)

    def jobs(self, run_id: str | None = None, *, state: JobState | None = None) -> list[JobRecord]:
        """See Store."""
        query = select(JOBS) if run_id is None else _of_run(JOBS, run_id)
        if state is not None:
            query = query.where(JOBS.c.state == state.value)
        return self._fetch(query.order_by(JOBS.c.number), decode_job)

    def executions_by_state(self, run_id: str) -> dict[JobState, int]:
        """See Store."""
        count = func.sum(JOBS.c.n_executions).label("executions")
        query = select(JOBS.c.state, count).where(JOBS.c.run_id == run_id).group_by(JOBS.c.state)
        return dict(self._fetch(query, lambda row: (JobState(row.state), row.executions)))

    def open_jobs(self, run_id: str | None = None) -> list[JobRecord]:
        """See Store."""
        query = select(JOBS) if run_id is None else _of_run(JOBS, run_id)
        return self._fetch(query.where(JOBS.c.state.in_(OPEN_STATES)).order_by(JOBS.c.number), decode_job)

    def jobs_at(self, run_id: str, position: Position) -> list[JobRecord]:
        """See Store."""
        return self._fetch(_at(JOBS, run_id, position).order_by(JOBS.c.number), decode_job)

    def attempts(self, job_id: str) -> list[AttemptRecord]:
        """See Store."""
        query = select(ATTEMPTS).where(ATTEMPTS.c.job_id == job_id)
        return self._fetch(query.order_by(ATTEMPTS.c.ordinal), decode_attempt)

    def job_plan(self, job_id: str) -> JobPlan | None:
        """See Store."""
        query = select(JOB_PLANS).join(JOBS, JOBS.c.job_id == JOB_PLANS.c.job_id)
        query = query.where(JOB_PLANS.c.job_id == job_id, JOBS.c.state.not_in(OVER_STATES))
        return next(iter(self._fetch(query, decode_job_plan)), None)

    def raw_result(self, job_id: str) -> RawRecord | None:
        """See Store."""
        query = select(RAW_RESULTS).where(RAW_RESULTS.c.job_id == job_id)
        return next(iter(self._fetch(query, decode_raw_result)), None)

    def spans(self, run_id: str) -> list[SpanRecord]:
        """See Store."""
        return self._fetch(_of_run(SPANS, run_id).order_by(SPANS.c.number), decode_span)

    def ledger(self, run_id: str | None = None) -> list[LedgerRecord]:
        """See Store."""
        query = select(LEDGER) if run_id is None else _of_run(LEDGER, run_id)
        return self._fetch(query.order_by(LEDGER.c.entry), decode_entry)

    def last_checkpoint(self, run_id: str) -> CheckpointRecord | None:
        """See Store; an unsound checkpoint is passed over for the one before it."""
        query = _of_run(CHECKPOINTS, run_id).order_by(CHECKPOINTS.c.number.desc())
        return next((found for found in self._fetch(query, decode_checkpoint) if found is not None), None)

    def blocks_at(self, run_id: str, position: Position) -> list[BlockRecord]:
        """See Store."""
        query = _at(ROW_BLOCKS, run_id, position)
        return self._fetch(query.order_by(ROW_BLOCKS.c.block_id), decode_block)

    def block_keys(
        self, context: bytes, measurement_digest: bytes, gates_digest: bytes, *, after_block_id: int = 0
    ) -> list[BlockKeys]:
        """See Store. Raises StoreCorruptError on a bad checksum."""
        query = select(*_KEY_COLUMNS).where(
            ROW_BLOCKS.c.context == context.hex(),
            ROW_BLOCKS.c.measurement_digest == measurement_digest.hex(),
            ROW_BLOCKS.c.gates_digest == gates_digest.hex(),
            ROW_BLOCKS.c.block_id > after_block_id,
        )
        return self._fetch(query.order_by(ROW_BLOCKS.c.block_id), decode_block_keys)

    def block_results(self, block_ids: Sequence[int]) -> dict[int, BlockResult]:
        """See Store."""
        wanted = [int(block_id) for block_id in block_ids]
        results: dict[int, BlockResult] = {}
        # A statement may hold only so many parameters.
        for start in range(0, len(wanted), _IDS_PER_QUERY):
            chunk = wanted[start : start + _IDS_PER_QUERY]
            query = select(*_RESULT_COLUMNS).where(ROW_BLOCKS.c.block_id.in_(chunk))
            results.update(self._fetch(query, lambda row: (row.block_id, decode_block_result(row))))
        return results

    def cache_statistics(self) -> CacheStatistics:
        """See Store; the bytes are those of the stored arrays."""
        with self._reading() as connection:
            return total_results(connection)

    def prune(self, *, run_id: str | None = None, before: dt.datetime | None = None) -> int:
        """See Store; without arguments all of them, piece by piece, so that others can write in between."""
        self._check_process()
        limit = None if before is None else time_text(before)

        def delete_some(link: Link) -> int | None:
            return prune_piece(link.connection, run_id=run_id, before=limit)

        rows = 0
        while (deleted := self._writer.run(delete_some).result()) is not None:
            rows += deleted
        return rows

    def trim_free(self, keep_bytes: int) -> "Future[Trimmed]":
        """See Store; in the writer's thread, some milliseconds a call."""
        self._check_process()
        return self._writer.run(lambda link: trim_or_shrink(link, keep_bytes=keep_bytes))

    def room(self) -> StoreRoom:
        """See Store."""
        # Whatever its state: a run that is resumed or recovered has its process long before it is stored as running.
        is_in_use = any(self._locks.holder_of(run.run_id) is not None for run in self.runs())
        with self._reading() as connection:
            return measure(connection, self._path, is_in_use=is_in_use)

    def shrink(self) -> int:
        """See Store. A database of an older qorch is written anew, once, if no run works on it."""
        room = self.room()
        if room.obstacle:
            return 0
        rewrites = room.is_rewritten and room.unused_bytes > 0
        while not rewrites and self._writer.run(shrink_piece).result():
            pass
        turn = self._locks.turn("write", patience_seconds=BUSY_SECONDS)
        with self._translated(), closing(turn), turn:
            empty_log(self._path, rewrites=rewrites)
        return max(0, room.file_bytes - file_bytes(self._path))

    def delete_run(self, run_id: str, *, keep_books: bool) -> None:
        """See Store; many results go in many transactions, so that no other writer waits long for one."""
        self._check_process()
        if self.find_run(run_id) is None:
            raise StoreError(f"run '{run_id}' is not stored, so it cannot be deleted; see `qorch runs`")
        self.prune(run_id=run_id)
        self._writer.run(lambda _link: None).result()  # wait for writes in the queue, which must not come after
        with self._translated(), closing(self._locks.turn("write", patience_seconds=BUSY_SECONDS)) as turn, turn:
            drop_run(self._sweep_engine, run_id, keep_books=keep_books)

    def check(self) -> list[str]:
        """A sentence for each finding of SQLite's own check, the foreign keys and the checksums."""
        with self._reading() as connection:
            return find_damage(connection)

    def close(self) -> None:
        """See Store; in a forked child it does nothing."""
        if self._is_closed or os.getpid() != self._pid:
            return
        self._is_closed = True
        atexit.unregister(self.close)
        self._writer.close()
        # The writer's connection is the last to go: it then folds the write-ahead log into the file.
        self._read_engine.dispose()
        self._sweep_engine.dispose()
        self._write_engine.dispose()

    def _fetch(self, query: Select[tuple[object, ...]], decode: Callable[[SqlRow], _R]) -> list[_R]:
        with self._reading() as connection:
            rows = connection.execute(query).all()
        return [decode(row) for row in rows]

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        self._check_process()
        if self._is_closed:
            raise StoreError(f"the store at {self._path} is closed; open it again")
        with self._translated(), self._read_engine.connect() as connection:
            yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            raise store_error(error, location=self.location) from error

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise StoreError(
                f"the store at {self._path} was opened by process {self._pid}, of which this one is a fork;"
                " open it again here"
            )


def _of_run(table: Table, run_id: str) -> Select[tuple[object, ...]]:
    return select(table).where(table.c.run_id == run_id)


def _at(table: Table, run_id: str, position: Position) -> Select[tuple[object, ...]]:
    return _of_run(table, run_id).where(table.c.step == position.step, table.c.call == position.call)


def _newest_runs() -> Select[tuple[object, ...]]:
    return select(RUNS).where(RUNS.c.state != RunState.DELETED).order_by(RUNS.c.created_at.desc(), RUNS.c.number.desc())
