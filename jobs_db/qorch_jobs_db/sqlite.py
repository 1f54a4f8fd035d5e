"""Connections to SQLite: which driver, how a file is made, and the pragmas that durability needs."""

import errno
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from qorch.errors import UsageError

BUSY_SECONDS = 10.0
_IN_MEMORY = ":memory:"
_NOT_IN_MEMORY = (
    "a database in memory would lose what was paid; give a file with --db, db= or QORCH_DB, such as"
    " sqlite:////folder/name.db"
)
LOG_BYTES = 8_000_000
_SOUND_WAL = (3, 51, 3)


@dataclass(frozen=True)
class SqliteVersion:
    """The SQLite in use. ``has_wal_bug``: before 3.51.3, two writers at once could in rare cases lose pages.

    The writers of qorch share a lock and are never two at once, so the bug needs another program that writes.
    """

    version: str
    has_wal_bug: bool


def sqlite_version() -> SqliteVersion:
    """The version of the SQLite that stores are opened with."""
    return SqliteVersion(sqlite3.sqlite_version, sqlite3.sqlite_version_info < _SOUND_WAL)


def database_path(url: str) -> Path:
    """The absolute path in ``sqlite:///relative.db``, ``sqlite:////absolute.db`` or a bare path.

    Raises UsageError for any other URL.
    """
    if url == _IN_MEMORY:
        raise UsageError(_NOT_IN_MEMORY)
    if "://" not in url:
        return Path(url).expanduser().absolute()
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise UsageError("the database URL cannot be read; write sqlite:////folder/name.db") from error
    if parsed.get_backend_name() != "sqlite":
        raise UsageError(
            f"there is no store for {parsed.get_backend_name()} databases; write sqlite:////folder/name.db"
        )
    if not parsed.database or parsed.database == _IN_MEMORY:
        raise UsageError(_NOT_IN_MEMORY)
    return Path(parsed.database).expanduser().absolute()


def create_file(path: Path) -> None:
    """Make an empty file that only its owner may read, and its folders if they are missing. Raises OSError."""
    for folder in reversed([parent for parent in path.parents if not parent.exists()]):
        folder.mkdir(mode=0o700, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path)) from None
        if not path.is_file():
            raise OSError(errno.EINVAL, "it is not a plain file", str(path)) from None


def write_engine(path: Path, *, has_foreign_keys: bool = True, is_durable: bool = True) -> Engine:
    """An engine of one connection whose every transaction is BEGIN IMMEDIATE. ``is_durable``: it survives a power cut.

    A deferred one that reads first and then writes fails at once with SQLITE_BUSY, whatever the busy timeout.
    """
    engine = _engine(path, pool_size=1)
    keys = "ON" if has_foreign_keys else "OFF"
    # On macOS a plain fsync does not reach the disk.
    pragmas = (
        f"foreign_keys={keys}", f"synchronous={'FULL' if is_durable else 'OFF'}", "fullfsync=ON",
        "checkpoint_fullfsync=ON",
        # A log that grew once, beside a long reader, becomes small again.
        f"journal_size_limit={LOG_BYTES}",
        # Some builds of SQLite write zeros over all that is deleted.
        "secure_delete=FAST",
    )  # fmt: skip
    event.listen(engine, "connect", lambda link, _entry: _set_pragmas(link, pragmas))
    event.listen(engine, "connect", _keep_journal)
    event.listen(engine, "begin", _begin_immediately)
    return engine


def read_engine(path: Path) -> Engine:
    """An engine of pooled connections that cannot write."""
    engine = _engine(path, pool_size=4)
    event.listen(engine, "connect", lambda link, _entry: _set_pragmas(link, ("query_only=ON",)))
    return engine


def _engine(path: Path, *, pool_size: int) -> Engine:
    # Always the interpreter's own SQLite: of two copies in one process each drops the other's locks on a file, and
    # a notebook that looks into the database uses this one.
    def connect() -> sqlite3.Connection:
        return sqlite3.connect(str(path), timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)

    return create_engine(
        "sqlite+pysqlite://", creator=connect, poolclass=QueuePool, pool_size=pool_size,
        max_overflow=60 if pool_size > 1 else 1,
    )  # fmt: skip


def _set_pragmas(link: DBAPIConnection, pragmas: tuple[str, ...]) -> None:
    cursor = link.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _keep_journal(link: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # WAL is written in the file; any other mode has to be asked for by every connection.
    cursor = link.cursor()
    cursor.execute("PRAGMA journal_mode")
    mode = cursor.fetchone()
    if mode is not None and mode[0] != "wal":
        cursor.execute("PRAGMA journal_mode=TRUNCATE")
        cursor.fetchall()
    cursor.close()


class LogWatch:
    """Notices that the write-ahead log which this process writes is no longer the one that others would read."""

    def __init__(self, path: Path) -> None:
        """``path``: of the database. Nothing is looked at before the first ``check``."""
        self._path = path.with_name(f"{path.name}-wal")
        self._first: tuple[int, int] | None = None
        self._has_seen = False

    def check(self) -> None:
        """Look once, after a commit. Raises OSError if the log is another file than at the first look, or gone."""
        found = self._identity()
        if not self._has_seen:
            self._first, self._has_seen = found, True
        elif found != self._first:
            raise OSError(
                errno.ESTALE,
                "its write-ahead log was taken away while a run was open, so that what was written last is lost: this"
                " process opened or copied the file by other means than Python's sqlite3",
            )

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:  # without WAL
            return None
        return found.st_dev, found.st_ino


def _begin_immediately(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def choose_journal(link: sqlite3.Connection) -> str:
    """Switch to WAL, prove it by a write, and fall back to TRUNCATE; which mode it came to.

    Some network file systems report success and then fail at the first write.
    """
    cursor = link.cursor()
    try:
        cursor.execute("PRAGMA journal_mode=WAL")
        mode = cursor.fetchone()
        if mode is not None and mode[0] == "wal":
            cursor.execute("PRAGMA user_version=1")
            return "wal"
    except sqlite3.OperationalError:
        cursor.close()
        cursor = link.cursor()
    cursor.execute("PRAGMA journal_mode=TRUNCATE")
    mode = cursor.fetchone()
    cursor.close()
    return "" if mode is None else str(mode[0])
