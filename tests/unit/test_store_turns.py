"""The right to write, which is taken over and over through one open file."""

import fcntl
import os
import socket
import sys
import time
from pathlib import Path

import pytest

from qorch.errors import RunBusyError
from qorch.ports.records import RunHolder
from qorch.testing.conformance.store_records import start_python
from qorch_jobs_db.locks import Locks, Turn

FORK = """
import os, sys, time
from pathlib import Path
from qorch_jobs_db.locks import Locks
turn = Locks(Path(sys.stdin.readline().strip())).turn("write", patience_seconds=5)
with turn:
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(600)
    sys.stdin.readline()
"""


@pytest.fixture
def turn(tmp_path: Path) -> Turn:
    """A turn that waits for a tenth of a second."""
    return Locks(tmp_path / "x.db").turn("write", patience_seconds=0.1)


def _is_free(folder: Path) -> bool:
    descriptor = os.open(folder / "x.db.locks" / "write.lock", os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def test_a_turn_is_held_and_given_back(turn: Turn, tmp_path: Path) -> None:
    """Again and again, also where the work fails; closing twice is fine, and it opens again."""
    for _ in range(3):
        with turn:
            assert not _is_free(tmp_path)
        assert _is_free(tmp_path)
    with pytest.raises(ZeroDivisionError), turn:
        raise ZeroDivisionError
    assert _is_free(tmp_path)
    turn.close()
    turn.close()
    with turn:
        assert not _is_free(tmp_path)
    turn.close()


def test_patience_ends(turn: Turn, tmp_path: Path) -> None:
    """SQLite's own lock decides then; who had the right keeps it."""
    other = Locks(tmp_path / "x.db").turn("write", patience_seconds=0.1)
    with other:
        started = time.monotonic()
        with turn:
            assert time.monotonic() - started >= 0.1
        assert not _is_free(tmp_path)
    other.close()
    turn.close()


def test_a_deleted_lock_file_is_noticed(turn: Turn, tmp_path: Path) -> None:
    """The next turn locks the file that others would find; without its folder there is no turn."""
    with turn:
        pass
    file = tmp_path / "x.db.locks" / "write.lock"
    file.unlink()
    with turn:
        assert not _is_free(tmp_path)
    file.unlink()
    file.parent.rmdir()
    with pytest.raises(FileNotFoundError):
        turn.__enter__()
    turn.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel cannot be asked")
def test_a_look_takes_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel is asked, and the file says which process on which host it is."""
    locks = Locks(tmp_path / "x.db")
    with locks.claim("r"):
        monkeypatch.setattr("qorch_jobs_db.locks._try_lock", None)
        assert locks.holder_of("r") == RunHolder(os.getpid(), socket.gethostname())
    assert locks.holder_of("r") is None
    assert locks.holder_of("never claimed") is None


def test_a_claim_of_an_older_qorch_is_seen(tmp_path: Path) -> None:
    """It is a flock alone, on a file with a pid and no host."""
    locks = Locks(tmp_path / "x.db")
    with locks.claim("r"):
        pass
    file = tmp_path / "x.db.locks" / "run-r.lock"
    file.write_text("12345")
    descriptor = os.open(file, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert locks.holder_of("r") == RunHolder(12345, None)
    with pytest.raises(RunBusyError, match=r"pid 12345\)"), locks.claim("r"):
        pass
    os.close(descriptor)
    assert locks.holder_of("r") is None


def test_a_holder_on_another_host_is_named_with_it(tmp_path: Path) -> None:
    """Containers that share a folder have process numbers of their own."""
    locks = Locks(tmp_path / "x.db")
    with locks.claim("r"):
        (tmp_path / "x.db.locks" / "run-r.lock").write_text(f"{os.getpid()} elsewhere")
        assert locks.holder_of("r") == RunHolder(os.getpid(), "elsewhere")
        with pytest.raises(RunBusyError, match=r"another process \(pid \d+ on elsewhere\)"), locks.claim("r"):
            pass


def test_a_forked_child_does_not_keep_the_turn_of_a_killed_parent(tmp_path: Path) -> None:
    """Killed in the middle of a transaction, while its child lives on: the next writer need not wait."""
    parent = start_python(FORK)
    assert parent.stdin is not None
    assert parent.stdout is not None
    parent.stdin.write(f"{tmp_path / 'x.db'}\n")
    parent.stdin.flush()
    child = int(parent.stdout.readline())
    try:
        assert not _is_free(tmp_path)
        parent.kill()
        parent.wait(60)
        assert _is_free(tmp_path)
    finally:
        os.kill(child, 9)
        parent.communicate(timeout=60)
