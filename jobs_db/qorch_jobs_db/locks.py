"""Rights kept by the kernel: flock on files beside the database, freed when their process dies."""

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from qorch.errors import RunBusyError, StoreUnavailableError
from qorch_jobs_db.faults import store_error

_POLL_SECONDS = 0.001
_GLANCE_SECONDS = 0.05
"""How long a claim waits for the shared lock of `is_claimed`, which is held for less."""
_MAX_NAME = 200
_CLOSED = -1
# Descriptors of this process that may be locked. A file description is shared with a forked child, so the child
# must close its copy: the set has to be where the hook of the process-wide fork can find it.
_kept: set[int] = set()


def _close_kept() -> None:
    for descriptor in _kept:
        os.close(descriptor)
    _kept.clear()


os.register_at_fork(after_in_child=_close_kept)


class Locks:
    """The folder ``<database>.locks`` (mode 0700). Files stay: a deleted lock locks nothing."""

    def __init__(self, database: Path) -> None:
        """Make the folder. Raises OSError where that cannot be done."""
        self._folder = database.with_name(database.name + ".locks")
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
                raise _busy(run_id, descriptor)
            _sign(descriptor)
            yield
        finally:
            _close(descriptor)

    def is_claimed(self, run_id: str) -> bool:
        """Whether a process holds the right to a run. Raises StoreUnavailableError if the lock file cannot be read."""
        try:
            descriptor = os.open(self._path(f"run-{_file_name(run_id)}"), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise store_error(error, location=str(self._folder)) from error
        _kept.add(descriptor)
        try:
            return not _try_lock(descriptor, fcntl.LOCK_SH)
        finally:
            _close(descriptor)

    def turn(self, name: str, *, patience_seconds: float) -> "Turn":
        """A short right that is taken over and over; see Turn."""
        return Turn(self._path(name), patience_seconds=patience_seconds)

    def _open(self, name: str) -> int:
        return _open(self._path(name))

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.lock"


class Turn:
    """A short right, for one thread: ``with turn: …``. The file stays open until ``close``.

    After ``patience_seconds`` of waiting it goes on, and SQLite's own lock decides. Polling is fair by chance, where
    a blocking flock in a thread could not be given up.
    """

    def __init__(self, path: Path, *, patience_seconds: float) -> None:
        """Nothing is opened before the first use."""
        self._path = path
        self._patience_seconds = patience_seconds
        self._descriptor = _CLOSED

    def __enter__(self) -> None:
        """Wait for the right. Raises OSError where there can be no lock file."""
        self._wait()
        if os.fstat(self._descriptor).st_nlink == 0:  # somebody deleted the file: others lock a new one
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
        raise StoreUnavailableError(
            f"the file system has no file locks ({error.strerror}); put the database on a local disk"
        ) from error
    return True


def _sign(descriptor: int) -> None:
    # The pid is a courtesy to whoever finds the run taken: a full disk does not weaken the claim.
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)


def _busy(run_id: str, descriptor: int) -> RunBusyError:
    signature = os.pread(descriptor, 32, 0).decode("ascii", "replace")
    pid = int(signature) if signature.isdecimal() else None
    if pid == os.getpid():
        return RunBusyError.in_this_process(run_id, pid=pid)
    holder = "unknown" if pid is None else pid
    text = f"another process (pid {holder}) works on run '{run_id}'; wait for it, or stop it and resume"
    return RunBusyError(text, pid=pid)


def _file_name(run_id: str) -> str:
    # A quoted id has no slash; one that is too long for a file name keeps its unlike ends apart by a digest.
    name = quote(run_id, safe="")
    if len(name) <= _MAX_NAME:
        return name
    return hashlib.sha256(run_id.encode()).hexdigest()
