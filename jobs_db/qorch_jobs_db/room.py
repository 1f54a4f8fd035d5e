"""Measures the room that a database takes on its disk, and shrinks it: gives unused pages back."""

import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection

from qorch.ports.statistics import StoreRoom, Trimmed
from qorch_jobs_db.pruning import trim_piece
from qorch_jobs_db.sqlite import BUSY_SECONDS
from qorch_jobs_db.statements import Link

SLACK_BYTES = 8_000_000
"""Unused room that trimming leaves, for the next writes."""
SHRUNK_PAGES = 256
"""Pages that one transaction gives back: about a megabyte."""
_INCREMENTAL = 2


def _pragma(connection: Connection, name: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())


def file_bytes(path: Path) -> int:
    """The size of the file and its log. Nothing is opened: closing the file would drop the locks of SQLite."""
    return sum(_size(path.with_name(path.name + suffix)) for suffix in ("", "-wal", "-journal"))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def unused_bytes(connection: Connection) -> int:
    """The bytes of the pages that hold nothing."""
    return _pragma(connection, "freelist_count") * _pragma(connection, "page_size")


def shrinks_in_place(connection: Connection) -> bool:
    """Whether unused pages can be given back without rewriting the file; not in databases of an older qorch."""
    return _pragma(connection, "auto_vacuum") == _INCREMENTAL


def measure(connection: Connection, path: Path, *, is_in_use: bool) -> StoreRoom:
    """The room of a database; ``is_in_use``: a run works on it, so that it cannot be rewritten."""
    unused = unused_bytes(connection)
    is_rewritten = not shrinks_in_place(connection)
    used = (_pragma(connection, "page_count") * _pragma(connection, "page_size")) - unused
    obstacle = _obstacle(path, used, is_in_use=is_in_use) if is_rewritten and unused else ""
    return StoreRoom(file_bytes(path), unused, shutil.disk_usage(path.parent).free, obstacle, is_rewritten)


def _obstacle(path: Path, used_bytes: int, *, is_in_use: bool) -> str:
    """A sentence why the file cannot be rewritten now, or ""."""
    if is_in_use:
        return (
            "a run is at work on this database, which was made by an older qorch and has to be written anew to become"
            " smaller; run `qorch cache prune` again when no run is at work"
        )
    # SQLite writes a copy into the folder for temporary files, and then all of it into the log beside the file.
    for folder, copies in _needs(path.parent, Path(tempfile.gettempdir())).items():
        free = shutil.disk_usage(folder).free
        if free < used_bytes * copies * 1.1:
            return (
                "this database was made by an older qorch and has to be written anew to become smaller, which needs"
                f" {used_bytes * copies * 1.1 / 1e6:,.0f} MB at {folder}, where {free / 1e6:,.0f} MB are free; free"
                " more and run `qorch cache prune` again"
            )
    return ""


def _needs(folder: Path, temporary: Path) -> dict[Path, int]:
    """How many copies of the content each file system must have room for."""
    if folder.stat().st_dev == temporary.stat().st_dev:
        return {folder: 2}
    return {folder: 1, temporary: 1}


def can_shrink(connection: Connection, *, leave_bytes: int = 0) -> bool:
    """Whether more than ``leave_bytes`` are unused and can be given back without rewriting the file."""
    return unused_bytes(connection) > leave_bytes and shrinks_in_place(connection)


def shrink_piece(link: Link, *, leave_bytes: int = 0) -> bool:
    """Give some unused pages back, within a transaction; whether more than ``leave_bytes`` are still unused."""
    connection = link.connection
    if not can_shrink(connection, leave_bytes=leave_bytes):
        return False
    before = unused_bytes(connection)
    pages = min(SHRUNK_PAGES, -(-(before - leave_bytes) // _pragma(connection, "page_size")))
    for _ in range(pages):
        # A page at a time: the pragma has a row without columns for each page, and the driver reads only the first.
        link.cursor.execute("PRAGMA incremental_vacuum(1)")
        link.cursor.fetchall()
    return leave_bytes < unused_bytes(connection) < before


def trim_or_shrink(link: Link, *, keep_bytes: int) -> Trimmed:
    """One piece of trimming; once nothing is left to delete, give a piece of unused room back instead."""
    trimmed = trim_piece(link.connection, keep_bytes=keep_bytes)
    if trimmed.rows == 0:
        return replace(trimmed, has_more=shrink_piece(link, leave_bytes=SLACK_BYTES))
    is_slack = can_shrink(link.connection, leave_bytes=SLACK_BYTES)
    return replace(trimmed, has_more=trimmed.has_more or is_slack)


def empty_log(path: Path, *, rewrites: bool) -> None:
    """Move the write-ahead log into the file and cut it to nothing; with ``rewrites`` write the file anew before.

    The file then is one that shrinks in place. For a thread that holds the turn to write, outside of transactions.
    """
    with closing(sqlite3.connect(str(path), timeout=BUSY_SECONDS, isolation_level=None)) as link:
        if rewrites:
            link.execute("PRAGMA auto_vacuum=INCREMENTAL")
            link.execute("VACUUM")
        link.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
