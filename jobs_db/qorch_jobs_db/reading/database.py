"""What all reads of the database share: pooled connections, errors of qorch, and the process that opened it."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Select, Table, select
from sqlalchemy.exc import SQLAlchemyError

from qorch.errors import StoreError
from qorch.model.identity import Position
from qorch_jobs_db.decoding import SqlRow
from qorch_jobs_db.sql_errors import store_error
from qorch_jobs_db.sqlite import read_engine

_R = TypeVar("_R")


class Reading:
    """Reads from one database file, in the process that made this object and nowhere else."""

    def __init__(self, path: Path) -> None:
        """Open the pool of connections; none is made yet."""
        self._path = path
        self._pid = os.getpid()
        self._is_closed = False
        self._read_engine = read_engine(path)

    @property
    def location(self) -> str:
        """The absolute path of the file."""
        return str(self._path)

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


def of_run(table: Table, run_id: str) -> Select[tuple[object, ...]]:
    """The rows of a table that belong to a run."""
    return select(table).where(table.c.run_id == run_id)


def at(table: Table, run_id: str, position: Position) -> Select[tuple[object, ...]]:
    """The rows of a table that belong to a call of a run."""
    return of_run(table, run_id).where(table.c.step == position.step, table.c.call == position.call)
