"""Upgrade an older database with Alembic, behind a backup."""

import datetime as dt
import os
import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, inspect

from qorch.errors import StoreError
from qorch_jobs_db.views import create_views, drop_views


def upgrade_database(engine: Engine, *, path: Path, scripts: Path, now: dt.datetime) -> Path:
    """Bring the database to the newest revision in ``scripts``, in one transaction; the path of the backup.

    Raises StoreError where a migration fails; the database is then as it was.
    """
    backup = path.with_name(f"{path.name}.backup-{now:%Y%m%dT%H%M%S%f}")
    back_up(path, target=backup)
    try:
        with engine.begin() as connection:
            migrate(connection, scripts=scripts)
    except Exception as error:  # a migration may raise anything; the transaction is rolled back
        raise StoreError(
            f"upgrading {path} failed ({error}); it is unchanged, with a copy at {backup}: please report this"
        ) from error
    return backup


def back_up(path: Path, *, target: Path) -> None:
    """Copy a live database to a new file that only its owner may read."""
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    source_link, target_link = sqlite3.connect(str(path)), sqlite3.connect(str(target))
    try:
        source_link.backup(target_link)
    finally:
        source_link.close()
        target_link.close()


def migrate(connection: Connection, *, scripts: Path, revision: str = "head") -> None:
    """Run the migrations on a connection within its transaction, and make the views anew.

    Foreign keys must be off on the connection (a table that is rebuilt is dropped for a moment); they are
    checked at the end. Raises StoreError where one is broken.
    """
    drop_views(connection, names=inspect(connection).get_view_names())
    config = Config()
    config.set_main_option("script_location", str(scripts))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    create_views(connection)
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if broken:
        raise StoreError(f"{len(broken)} rows of {broken[0][0]} would lose what they belong to")
