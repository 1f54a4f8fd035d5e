"""Upgrade an older database with Alembic, behind a backup."""

import datetime as dt
import logging
import os
import shutil
import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, inspect

from qorch.errors import StoreError, StoreFullError
from qorch_jobs_db.room import file_bytes
from qorch_jobs_db.sql_errors import store_error
from qorch_jobs_db.triggers import create_triggers, drop_triggers
from qorch_jobs_db.views import create_views, drop_views

LARGE_BYTES = 100_000_000
"""The upgrade of a larger database takes more than a moment, and its copy room that a user should know of."""
_MORE_ROOM = 1.1
"""Room that an upgrade needs, in sizes of the database: for the copy, and for the tables that are written anew."""

_logger = logging.getLogger("qorch.store")


def upgrade_database(engine: Engine, *, path: Path, scripts: Path, now: dt.datetime) -> Path:
    """Bring the database to the newest revision in ``scripts``, in one transaction; the path of the backup.

    Raises StoreError if a migration fails, StoreFullError if there is no room; the database is then as it was.
    """
    backup = path.with_name(f"{path.name}.backup-{now:%Y%m%dT%H%M%S%f}")
    _prepare(path, backup)
    back_up(path, target=backup)
    try:
        with engine.begin() as connection:
            migrate(connection, scripts=scripts)
    except Exception as error:  # a migration may raise anything; the transaction is rolled back
        raise StoreError(
            f"upgrading {path} failed ({error}); it is unchanged, with a copy at {backup}: please report this"
        ) from error
    return backup


def _prepare(path: Path, backup: Path) -> None:
    """See that there is room, and say what takes long and stays. Raises StoreFullError."""
    size = file_bytes(path)
    free = shutil.disk_usage(path.parent).free
    if free < size * _MORE_ROOM:
        raise StoreFullError(
            f"{path} was made by an older qorch, and upgrading it needs {size * _MORE_ROOM / 1e6:,.0f} MB beside it for"
            f" a copy, where {free / 1e6:,.0f} MB are free; it is unchanged: free more, or give another path with --db"
        )
    if size > LARGE_BYTES:
        _logger.warning(
            "upgrading %s (%s MB), once, which takes a while; a copy as it is now stays at %s until you delete it",
            path, f"{size / 1e6:,.0f}", backup,
        )  # fmt: skip


def back_up(path: Path, *, target: Path) -> None:
    """Copy a live database to a new file that only its owner may read.

    Raises StoreError if that fails; nothing of the copy is left then.
    """
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    source_link, target_link = sqlite3.connect(str(path)), sqlite3.connect(str(target))
    try:
        source_link.backup(target_link)
    except BaseException as error:
        target.unlink(missing_ok=True)
        if isinstance(error, sqlite3.Error):
            raise store_error(error, location=str(target)) from error
        raise
    finally:
        source_link.close()
        target_link.close()


def migrate(connection: Connection, *, scripts: Path, revision: str = "head") -> None:
    """Run the migrations on a connection within its transaction, and make views and triggers anew.

    Foreign keys must be off on the connection (a table that is rebuilt is dropped for a moment); they are
    checked at the end. Raises StoreError if one is broken.
    """
    drop_triggers(connection)
    drop_views(connection, names=inspect(connection).get_view_names())
    config = Config()
    config.set_main_option("script_location", str(scripts))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    create_views(connection)
    create_triggers(connection)
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if broken:
        raise StoreError(f"{len(broken)} rows of {broken[0][0]} would lose what they belong to")
