"""All stores keep the contract of ``qorch.ports.store.Store``."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from qorch.ports.clock import WallClock
from qorch.ports.store import Store
from qorch.testing.conformance.store import StoreConformance
from qorch.testing.fakes.fragile_store import FragileStore, SyncAtOnce
from qorch.testing.fakes.store import MemoryStore
from qorch_jobs_db import SqlStore, open_store


class TestMemoryStore(StoreConformance):
    """The store of the engine's own tests."""

    is_persistent = False

    @pytest.fixture
    def open_store(self) -> Callable[[], Store]:
        """A new store each time."""
        return lambda: MemoryStore(WallClock())


class SyncSoon:
    """Calls are durable a moment later, and say so from another thread."""

    def delay(self) -> float:
        """A moment."""
        return 1e-4

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        """By a timer."""
        threading.Timer(seconds, function).start()


class TestFragileStore(StoreConformance):
    """The store of simulations, on a disk without delay."""

    is_persistent = False

    @pytest.fixture
    def open_store(self) -> Callable[[], Store]:
        """A new store each time."""
        return lambda: FragileStore(WallClock(), SyncAtOnce())


class TestFragileStoreOfSlowDisk(TestFragileStore):
    """The same, where futures are done later."""

    @pytest.fixture
    def open_store(self) -> Callable[[], Store]:
        """A new store each time."""
        return lambda: FragileStore(WallClock(), SyncSoon())


class TestSqlStore(StoreConformance):
    """The store on disk."""

    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Callable[[], SqlStore]:
        """The same file each time."""
        return lambda: open_store(f"sqlite:///{tmp_path}/folder/x.db", clock=WallClock())

    @pytest.fixture
    def opening_code(self, tmp_path: Path) -> str:
        """The same file in another process."""
        return (
            "from qorch.ports.clock import WallClock\nfrom qorch_jobs_db import open_store\n"
            f"store = open_store({str(tmp_path / 'folder' / 'x.db')!r}, clock=WallClock())"
        )
