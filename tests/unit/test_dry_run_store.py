"""The database of a dry run: nobody waits for writes, and nobody misses one that failed."""

import threading
from concurrent.futures import Future
from pathlib import Path

import pytest

from qorch.dry_run.store import MOST_WAITING, write_behind
from qorch.errors import StoreError
from qorch.ports.clock import WallClock
from qorch.ports.records import RunRecord
from qorch.stores import open_throwaway_store
from qorch.testing.fakes.store import MemoryStore
from qorch.virtual_time import START

RECORD = RunRecord("r", "r", "local", 1, "resume", START)


class SlowStore(MemoryStore):
    """Writes end when the test says so."""

    def __init__(self) -> None:
        """Nothing was written."""
        super().__init__(WallClock(), store_id="5a" * 16)
        self.pending: list[Future[None]] = []

    def write(self, writes: object) -> "Future[None]":
        """See Store."""
        del writes
        self.pending.append(Future())
        return self.pending[-1]


def test_a_write_is_over_at_once_and_read_later(tmp_path: Path) -> None:
    """Its future is done when it is returned; what reads next waits for it."""
    store = open_throwaway_store(tmp_path / "x.db", clock=WallClock())
    behind = write_behind(store)
    assert behind.write([RECORD]).done()
    assert behind.find_run("r") is not None
    assert behind.store_id == store.store_id
    store.close()


@pytest.mark.parametrize("name", ["write", "find_run"])
def test_a_write_that_fails_is_told_by_the_next_call(name: str) -> None:
    """Be it a write or a read."""
    slow = SlowStore()
    behind = write_behind(slow)
    behind.write([RECORD])
    slow.pending[0].set_exception(StoreError("the disk is full"))
    with pytest.raises(StoreError, match="full"):
        getattr(behind, name)("r")


class AskedFuture(Future[None]):
    """Says when somebody waits for it."""

    def __init__(self) -> None:
        """Nobody does."""
        super().__init__()
        self.asked = threading.Semaphore(0)

    def result(self, timeout: float | None = None) -> None:
        """See Future."""
        self.asked.release()
        super().result(timeout)


def test_two_threads_that_read_wait_for_the_same_write() -> None:
    """The second must not read what the first still waits for."""
    slow, pending = SlowStore(), AskedFuture()
    slow.write = lambda _writes: pending  # type: ignore[assignment, method-assign]
    behind = write_behind(slow)
    behind.write([RECORD])
    threads = [threading.Thread(target=behind.find_run, args=("r",)) for _ in range(2)]
    try:
        for thread in threads:
            thread.start()
            assert pending.asked.acquire(timeout=30)
    finally:
        pending.set_result(None)
        for thread in threads:
            thread.join()


def test_writes_on_their_way_are_bounded() -> None:
    """The oldest is waited for, as each keeps its records in memory."""
    slow = SlowStore()
    behind = write_behind(slow)
    for _ in range(MOST_WAITING + 1):
        behind.write([RECORD])
    for each in slow.pending:
        each.set_result(None)
    behind.write([RECORD])
    assert len(slow.pending) == MOST_WAITING + 2
