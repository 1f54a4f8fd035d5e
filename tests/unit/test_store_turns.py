"""The right to write, which is taken over and over through one open file."""

import fcntl
import os
import time
from pathlib import Path

import pytest

from qorch.testing.store_records import start_python
from qorch_jobs_db.locks import Locks, Turn

FORK = """
import os, sys, time
from pathlib import Path
from qorch_jobs_db.locks import Locks
turn = Locks(Path(sys.stdin.readline().strip())).turn("write", patience_seconds=5)
with turn:
    child = os.fork()
    if child == 0:
        time.sleep(600)
    print(child, flush=True)
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
