"""Bring a database file to the current schema: make it, upgrade it, or say why it cannot be used."""

import re
import secrets
import sqlite3
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError

from qorch.errors import StoreCorruptError, StoreTooNewError, StoreUnavailableError
from qorch.model.ledger_chain import empty_head
from qorch.ports.clock import Clock
from qorch_jobs_db.encoding import time_text
from qorch_jobs_db.schema import ALEMBIC_VERSION, LEDGER_ANCHOR, META, METADATA
from qorch_jobs_db.sql_errors import store_error
from qorch_jobs_db.sqlite import choose_journal, write_engine
from qorch_jobs_db.triggers import create_triggers
from qorch_jobs_db.views import create_views

MIGRATIONS = Path(__file__).parent / "migrations"
_LEAST_BYTES = 512


def prepare_database(path: Path, *, clock: Clock, is_claimed: Callable[[str], bool], scripts: Path = MIGRATIONS) -> str:
    """Make or upgrade the database at ``path``, an existing file; its store id.

    ``is_claimed``: whether a process works on a run: one of an older qorch could not write to it after an upgrade.
    Raises StoreCorruptError for a file that is not a qorch database, StoreTooNewError for one of a newer qorch,
    StoreUnavailableError if it cannot be written, or cannot be upgraded now.
    """
    # Never open the file but through SQLite: closing it would drop the locks that another store of this process
    # holds on it. SQLite takes what is smaller than a page's header for empty.
    size_bytes = path.stat().st_size
    if 0 < size_bytes < _LEAST_BYTES:
        raise StoreCorruptError(f"{path} is not a database; give another path with --db")
    engine = write_engine(path, has_foreign_keys=False)
    try:
        if size_bytes == 0:
            _set_up(path)
        with engine.begin() as connection:
            revision = _revision(connection, path=path, clock=clock, scripts=scripts)
            # Asked for before the upgrade, which must not change the database of another program.
            store_id = _store_id(connection, path)
            if revision == _revisions(scripts)[-1]:
                return store_id
            _check_unused(connection, path, is_claimed)
        from qorch_jobs_db.upgrade import upgrade_database

        upgrade_database(engine, path=path, scripts=scripts, now=clock.now())
    except SQLAlchemyError as error:
        raise store_error(error, location=str(path)) from error
    finally:
        engine.dispose()
    return store_id


def check_current(connection: Connection, path: Path, *, scripts: Path = MIGRATIONS) -> str:
    """The store id. Raises StoreUnavailableError for a database of an older qorch, and else as above."""
    tables = set(inspect(connection).get_table_names())
    if not {"alembic_version", "meta"} <= tables:
        raise StoreCorruptError(f"{path} is no database of qorch; give another path with --db")
    revision = connection.execute(select(ALEMBIC_VERSION.c.version_num)).scalar_one_or_none()
    known = _revisions(scripts)
    if revision == known[-1]:
        return _store_id(connection, path)
    _check_known(revision, path=path, known=known)
    raise StoreUnavailableError(f"{path} was made by an older qorch; `qorch runs --db {path}` upgrades it")


def _check_unused(connection: Connection, path: Path, is_claimed: Callable[[str], bool]) -> None:
    """Raise StoreUnavailableError if a run is at work on a database that is to be upgraded."""
    run_ids = [str(run_id) for (run_id,) in connection.execute(text("SELECT run_id FROM runs"))]
    for run_id in filter(is_claimed, run_ids):
        raise StoreUnavailableError(
            f"{path} was made by an older qorch, which is at work on run {run_id} there and would fail if the database"
            " were upgraded now: wait until that run has ended, or use the qorch with which it was started"
        )


def _set_up(path: Path) -> None:
    """Set what SQLite takes only before the first table: that the file can shrink, and its journal."""
    link = sqlite3.connect(str(path), isolation_level=None)
    try:
        link.execute("PRAGMA auto_vacuum=INCREMENTAL")
        choose_journal(link)
    finally:
        link.close()


def _revisions(scripts: Path) -> list[str]:
    """All known revisions, oldest first; they are numbers, and the first word of their file's name."""
    return sorted(file.name.split("_")[0] for file in (scripts / "versions").glob("[0-9]*.py"))


def _revision(connection: Connection, *, path: Path, clock: Clock, scripts: Path) -> str:
    """The revision of a database, which is made if it is empty."""
    tables = set(inspect(connection).get_table_names())
    known = _revisions(scripts)
    if not tables:
        create_schema(connection, clock=clock, revision=known[-1])
        return known[-1]
    if not {"alembic_version", "meta"} <= tables:
        raise StoreCorruptError(f"{path} is the database of another program; give another path with --db")
    revision = connection.execute(select(ALEMBIC_VERSION.c.version_num)).scalar_one_or_none()
    _check_known(revision, path=path, known=known)
    return str(revision)


def _check_known(revision: object, *, path: Path, known: list[str]) -> None:
    if revision in known:
        return
    if not isinstance(revision, str) or re.fullmatch(r"\d+", revision) is None:
        raise StoreCorruptError(f"{path} has the unknown revision '{revision}'; give another path with --db")
    raise StoreTooNewError(
        f"{path} was written by a newer qorch (revision {revision}; this one knows {known[-1]}); upgrade"
    )


def create_schema(connection: Connection, *, clock: Clock, revision: str) -> None:
    """All tables, views and triggers of a fresh database, stamped as Alembic would: its import takes half a second."""
    METADATA.create_all(connection)
    create_views(connection)
    create_triggers(connection)
    connection.execute(ALEMBIC_VERSION.insert(), {"version_num": revision})
    store_id = secrets.token_hex(16)
    values = {"store_id": store_id, "created_at": time_text(clock.now())}
    connection.execute(META.insert(), [{"name": name, "value": value} for name, value in values.items()])
    connection.execute(LEDGER_ANCHOR.insert(), {"entries": 0, "head": empty_head(store_id)})


def _store_id(connection: Connection, path: Path) -> str:
    columns = {column["name"] for column in inspect(connection).get_columns(META.name)}
    query = select(META.c.value).where(META.c.name == "store_id")
    value = connection.execute(query).scalar_one_or_none() if {"name", "value"} <= columns else None
    if value is None:
        raise StoreCorruptError(f"{path} has no store id; restore a backup or give another path with --db")
    return str(value)
