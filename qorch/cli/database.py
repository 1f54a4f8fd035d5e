"""Open the database for a command, and find runs in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qorch.errors import StoreUnavailableError, UsageError
from qorch.ports.clock import WallClock
from qorch.ports.records import RunRecord
from qorch.ports.store import Runs, Store


@contextmanager
def open_database(db: str | None) -> Iterator[Store]:
    """The store at ``--db``, or else the configured one. Raises UsageError if ``--db`` names a file that is missing."""
    from qorch.stores import open_store

    if db is not None and (missing := find_missing(db)):
        raise UsageError(f"there is no database at {missing}; `qorch train --db …` makes one")
    store = open_store(database_url(db), clock=WallClock())
    try:
        yield store
    finally:
        store.close()


def database_url(db: str | None) -> str:
    """The database that was asked for, or else the configured one."""
    from qorch.config import read_config

    return db or read_config().db


def find_missing(db: str | None) -> Path | None:
    """The file of a database that does not exist yet; None if it exists, or the store is not a file.

    Raises UsageError for a URL that names no store.
    """
    from qorch.stores import database_file

    database = database_file(database_url(db))
    return None if database is None or is_there(database) else database


def is_there(database: Path) -> bool:
    """Whether there is such a file. Raises StoreUnavailableError if the system does not let us look."""
    try:
        return database.exists()
    except OSError as error:
        raise StoreUnavailableError(
            f"cannot look for {database} ({error.strerror}); check the path and its permissions,"
            " or choose another with --db"
        ) from error


def require_run(store: Runs, run: str) -> RunRecord:
    """The run of that id or name, or the newest for ``latest``. Raises UnknownNameError if there is none."""
    from qorch.stored_run import require_record

    return require_record(store, run)
