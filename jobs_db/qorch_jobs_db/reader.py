"""Reads a database and nothing else: it is neither made nor upgraded, and no turn to write is taken."""

import sqlite3
from pathlib import Path
from typing import cast

from sqlalchemy import select
from sqlalchemy.exc import DatabaseError

from qorch.errors import StoreUnavailableError
from qorch.ports.records import MetricRecord, RunHolder, StepRecord
from qorch.ports.statistics import CacheStatistics
from qorch_jobs_db.decoding import decode_metric, decode_step
from qorch_jobs_db.locks import Locks, lock_folder
from qorch_jobs_db.opening import check_current
from qorch_jobs_db.reading.books import BookReading
from qorch_jobs_db.reading.jobs import JobReading
from qorch_jobs_db.reading.runs import RunReading
from qorch_jobs_db.schema import METRICS, STEPS
from qorch_jobs_db.sql_errors import store_error
from qorch_jobs_db.sqlite import database_path
from qorch_jobs_db.totals import total_results


class SqlReader(RunReading, JobReading, BookReading):
    """What ``qorch.ports.reader.Reader`` asks for, on one SQLite file. Its connections cannot write."""

    def __init__(self, path: Path) -> None:
        """Raise StoreUnavailableError if there is no such file, or it is of an older qorch; see ``check_current``."""
        if not path.is_file():
            raise StoreUnavailableError(f"there is no database at {path}; `qorch train --db …` makes one")
        super().__init__(path)
        with self._reading() as connection:
            self._store_id = check_current(connection, path)
        self._watch = self._read_engine.connect()
        self._link = cast("sqlite3.Connection", self._watch.connection.driver_connection)

    @property
    def store_id(self) -> str:
        """See ``qorch.ports.store.NamedStore``."""
        return self._store_id

    def holder_of(self, run_id: str) -> RunHolder | None:
        """See ``qorch.ports.store.SharedState``."""
        self._check_process()
        return Locks(self._path).holder_of(run_id) if lock_folder(self._path).is_dir() else None

    def cache_statistics(self) -> CacheStatistics:
        """See ``qorch.ports.store.StoredStatistics``."""
        with self._reading() as connection:
            return total_results(connection)

    def version(self) -> int:
        """A number that changes with every transaction of another connection: one look, without reading anything."""
        try:
            # Asked several times a second: SQLAlchemy would take ten times as long.
            return int(self._link.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error as error:
            raise store_error(DatabaseError("PRAGMA data_version", None, error), location=self.location) from error

    def steps_after(self, run_id: str, step: int) -> list[StepRecord]:
        """The finished steps of a run with a larger number, in order."""
        query = select(STEPS).where(STEPS.c.run_id == run_id, STEPS.c.step > step)
        return self._fetch(query.order_by(STEPS.c.step), decode_step)

    def metrics_after(self, run_id: str, step: int) -> list[MetricRecord]:
        """What a run logged in steps with a larger number, in order."""
        query = select(METRICS).where(METRICS.c.run_id == run_id, METRICS.c.step > step)
        return self._fetch(query.order_by(METRICS.c.step, METRICS.c.ordinal), decode_metric)

    def close(self) -> None:
        """Let the file go."""
        self._is_closed = True
        self._watch.close()
        self._read_engine.dispose()


def open_reader(url: str) -> SqlReader:
    """Open the database at ``sqlite:////folder/name.db`` or a bare path for reading.

    Raises UsageError for another kind of URL, StoreUnavailableError and StoreTooNewError as SqlReader does.
    """
    return SqlReader(database_path(url))
