"""The store in SQLite: reads from pooled connections, writes through the one writer thread."""

import atexit
import datetime as dt
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from qorch.errors import StoreError
from qorch.model.arrays import ByteArray
from qorch.model.ledger import LedgerBalance, LedgerRecord
from qorch.ports.books import Granted
from qorch.ports.clock import Clock
from qorch.ports.records import Change, RunHolder, Write
from qorch.ports.statistics import CacheStatistics, StoreRoom, Trimmed
from qorch_jobs_db.checking import find_broken_chain, find_damage
from qorch_jobs_db.deletion import drop_run
from qorch_jobs_db.encoding import time_text
from qorch_jobs_db.locks import Locks
from qorch_jobs_db.opening import prepare_database
from qorch_jobs_db.pruning import prune_piece
from qorch_jobs_db.reading.blocks import BlockReading
from qorch_jobs_db.reading.books import BookReading
from qorch_jobs_db.reading.jobs import JobReading
from qorch_jobs_db.reading.runs import RunReading
from qorch_jobs_db.room import empty_log, file_bytes, measure, shrink_piece, trim_or_shrink
from qorch_jobs_db.sql_errors import store_error
from qorch_jobs_db.sqlite import BUSY_SECONDS, LogWatch, create_file, database_path, write_engine
from qorch_jobs_db.statements import Link, change_state, claim_rows, reserve, settle
from qorch_jobs_db.totals import total_results
from qorch_jobs_db.writer import Writer

_R = TypeVar("_R")


def open_store(url: str, *, clock: Clock) -> "SqlStore":
    """Open the database at ``sqlite:////folder/name.db`` or a bare path, making it or upgrading it first.

    Raises UsageError for another kind of URL, StoreUnavailableError if it cannot be opened or written,
    StoreCorruptError if it is not a sound qorch database, StoreTooNewError if a newer qorch wrote it.
    """
    return _open(url, clock=clock, is_durable=True)


def open_throwaway_store(url: str, *, clock: Clock) -> "SqlStore":
    """The same for a database that nobody needs again: the disk is never waited for. Raises as ``open_store``."""
    return _open(url, clock=clock, is_durable=False)


def _open(url: str, *, clock: Clock, is_durable: bool) -> "SqlStore":
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
    return SqlStore(path, store_id=store_id, locks=locks, clock=clock, is_durable=is_durable)


class SqlStore(RunReading, JobReading, BookReading, BlockReading):
    """``qorch.ports.Store`` on one SQLite file; opened by ``open_store``.

    A call that the database refuses (it names a run or job that is not stored) fails alone; a full disk or an
    I/O error fails that call and all later ones. Every method but close raises StoreError in a forked child.
    """

    def __init__(self, path: Path, *, store_id: str, locks: Locks, clock: Clock, is_durable: bool = True) -> None:
        """Start the writer thread over a prepared database."""
        super().__init__(path)
        self._store_id = store_id
        self._locks = locks
        self._write_engine = write_engine(path, is_durable=is_durable)
        self._sweep_engine = write_engine(path, has_foreign_keys=False, is_durable=is_durable)
        # One writer at a time on this machine: waits are short and fair, and SQLite before 3.51.3 could lose
        # pages if one process wrote while another moved the write-ahead log into the file.
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
    def commits(self) -> int:
        """Transactions committed by this store object; calls that waited together share one."""
        return self._writer.commits

    def take_syncs(self) -> list[tuple[int, int]]:
        """See ``qorch.ports.SyncingStore``."""
        return self._writer.take_syncs()

    def write(self, writes: Sequence[Write]) -> "Future[None]":
        """See Store."""
        self._check_process()
        return self._writer.submit(writes)

    def update_shared_state(self, name: str, change: Callable[[bytes | None, int], Change[_R]]) -> "Future[_R]":
        """See Store; ``change`` is called in the writer's thread, and the time is the machine's monotonic clock."""
        self._check_process()
        return self._writer.run(lambda link: change_state(link, name, change))

    def reserve(
        self, check: Callable[[Sequence[LedgerBalance]], Granted[_R]], *, since: dt.date = dt.date.min
    ) -> "Future[_R]":
        """See Store; ``check`` is called in the writer's thread."""
        self._check_process()
        return self._writer.run(lambda link: reserve(link, check, since))

    def settle(
        self, job_ids: Sequence[str], close: Callable[[Mapping[str, Sequence[LedgerRecord]]], Sequence[Write]]
    ) -> "Future[None]":
        """See Store; ``close`` is called in the writer's thread."""
        self._check_process()
        return self._writer.run(lambda link: settle(link, job_ids, close))

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

    def holder_of(self, run_id: str) -> RunHolder | None:
        """See Store. Raises StoreUnavailableError if that cannot be found out."""
        self._check_process()
        return self._locks.holder_of(run_id)

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
        """A sentence for each finding of SQLite's own check, the foreign keys, the checksums and the ledger's chain."""
        with self._reading() as connection:
            found = find_damage(connection)
        return found + find_broken_chain(self, self._store_id)

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
