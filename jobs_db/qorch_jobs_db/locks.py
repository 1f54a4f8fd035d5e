"""Kernel locks on files beside the database: the right to a run, and turns to write. They end with their process.

The right to a run is a flock and, on Linux, a record lock of the open file as well: the kernel answers whether
a process has a record lock (F_OFD_GETLK); a flock cannot be asked about without taking it for a moment.
"""

import fcntl
import hashlib
import os
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from qorch.errors import RunBusyError, StoreUnavailableError
from qorch.ports.records import RunHolder
from qorch_jobs_db.sql_errors import store_error

_POLL_SECONDS = 0.001
_GLANCE_SECONDS = 0.05
"""How long a claim tries: longer than others hold the shared lock by which they look if the kernel cannot be asked."""
_MAX_NAME = 200
_SIGNATURE_BYTES = 512
_FLOCK = "hhqqi4x"
"""The C struct flock of 64-bit Linux: type, whence, start, length, pid."""
_WHOLE_FILE = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
_HAS_RECORD_LOCKS = sys.platform == "linux" and sys.maxsize > 2**32
_CLOSED = -1
# Descriptors of this process that may be locked. A file description is shared with a forked child, so the child
# must close its copy: the set has to be a global that the hook of the process-wide fork can find.
_kept: set[int] = set()


def _close_kept() -> None:
    for descriptor in _kept:
        os.close(descriptor)
    _kept.clear()


os.register_at_fork(after_in_child=_close_kept)


class Locks:
    """The folder ``<database>.locks`` (mode 0700). Files stay: a deleted lock locks nothing."""

    def __init__(self, database: Path) -> None:
        """Make the folder. Raises OSError if that cannot be done."""
        self._folder = lock_folder(database)
        self._folder.mkdir(mode=0o700, exist_ok=True)

    @contextmanager
    def claim(self, run_id: str) -> Iterator[None]:
        """Hold the right to a run.

        Raises RunBusyError, with the holder's pid, if it is taken; StoreUnavailableError without a lock file.
        """
        try:
            descriptor = self._open(f"run-{_file_name(run_id)}")
        except OSError as error:
            raise store_error(error, location=str(self._folder)) from error
        _kept.add(descriptor)
        try:
            if not _lock_soon(descriptor):
                raise _busy(run_id, _read_signature(descriptor))
            # Signed before others can see by the record lock that the run is taken: they find this name, not an older.
            _sign(descriptor, f"{os.getpid()} {socket.gethostname()}")
            if not _show(descriptor):
                _sign(descriptor, str(os.getpid()))
            yield
        finally:
            _close(descriptor)

    def holder_of(self, run_id: str) -> RunHolder | None:
        """The process that holds the right to a run. Raises StoreUnavailableError if that cannot be found out."""
        try:
            descriptor = os.open(self._path(f"run-{_file_name(run_id)}"), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise store_error(error, location=str(self._folder)) from error
        _kept.add(descriptor)
        try:
            return _read_signature(descriptor) if _is_taken(descriptor) else None
        finally:
            _close(descriptor)

    def turn(self, name: str, *, patience_seconds: float) -> "Turn":
        """A short right that is taken over and over; see Turn."""
        return Turn(self._path(name), patience_seconds=patience_seconds)

    def _open(self, name: str) -> int:
        return _open(self._path(name))

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.lock"


def lock_folder(database: Path) -> Path:
    """Where the locks of a database lie."""
    return database.with_name(database.name + ".locks")


class Turn:
    """A short right, for one thread: ``with turn: …``. The file stays open until ``close``.

    After ``patience_seconds`` of waiting it goes on, and SQLite's own lock decides. The lock is polled,
    because a thread that waits in a blocking flock cannot give up; which process gets it next is a matter of chance.
    """

    def __init__(self, path: Path, *, patience_seconds: float) -> None:
        """Nothing is opened before the first use."""
        self._path = path
        self._patience_seconds = patience_seconds
        self._descriptor = _CLOSED

    def __enter__(self) -> None:
        """Wait for the right. Raises OSError if there can be no lock file."""
        self._wait()
        if os.fstat(self._descriptor).st_nlink == 0:  # the file was deleted: others lock a new one
            self.close()
            self._wait()

    def __exit__(self, *_exception: object) -> None:
        """Give it back."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let the file go."""
        descriptor, self._descriptor = self._descriptor, _CLOSED
        _close(descriptor)

    def _wait(self) -> None:
        if self._descriptor == _CLOSED:
            self._descriptor = _open(self._path)
            _kept.add(self._descriptor)
        deadline = time.monotonic() + self._patience_seconds
        while not _try_lock(self._descriptor) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _close(descriptor: int) -> None:
    # In a forked child the hook has closed it, and the number may name another file by now.
    if descriptor in _kept:
        _kept.remove(descriptor)
        os.close(descriptor)


def _lock_soon(descriptor: int) -> bool:
    deadline = time.monotonic() + _GLANCE_SECONDS
    while not _try_lock(descriptor):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _try_lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise _no_locks(error) from error
    return True


def _no_locks(error: OSError) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"the file system has no file locks ({error.strerror}); put the database on a local disk"
    )


def _is_taken(descriptor: int) -> bool:
    """Whether another open file has the right.

    The last signature tells how to ask: only one with a host was left by a process that took the record lock as well.
    """
    if not _HAS_RECORD_LOCKS or _read_signature(descriptor).host is None:
        return not _try_lock(descriptor, fcntl.LOCK_SH)
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _WHOLE_FILE)
    except OSError as error:
        raise _no_locks(error) from error
    return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


def _show(descriptor: int) -> bool:
    """Take the record lock, of which others can ask, beside the flock, which gives the right; whether that worked."""
    if not _HAS_RECORD_LOCKS:
        return False
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _WHOLE_FILE)
    except OSError:
        return False
    return True


def _sign(descriptor: int, signature: str) -> None:
    # The name is a courtesy to other processes that find the run taken: a full disk does not weaken the claim.
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, signature.encode(), 0)


def _read_signature(descriptor: int) -> RunHolder:
    """The process that signed last, by its pid and, if it took the record lock, its host."""
    pid, _, host = os.pread(descriptor, _SIGNATURE_BYTES, 0).decode("utf-8", "replace").partition(" ")
    return RunHolder(int(pid) if pid.isdecimal() else None, host or None)


def _busy(run_id: str, holder: RunHolder) -> RunBusyError:
    is_here = holder.host in {None, socket.gethostname()}
    if holder.pid == os.getpid() and is_here:
        return RunBusyError.in_this_process(run_id, pid=holder.pid)
    where = "unknown" if holder.pid is None else f"{holder.pid}" if is_here else f"{holder.pid} on {holder.host}"
    text = f"another process (pid {where}) works on run '{run_id}'; wait for it, or stop it and resume"
    return RunBusyError(text, pid=holder.pid)


def _file_name(run_id: str) -> str:
    # A quoted id has no slash; one that is too long for a file name keeps its unlike ends apart by a digest.
    name = quote(run_id, safe="")
    if len(name) <= _MAX_NAME:
        return name
    return hashlib.sha256(run_id.encode()).hexdigest()
