"""Both stores keep the contract of ``qorch.ports.Store``."""

from collections.abc import Callable
from pathlib import Path

import pytest

from qorch.ports import Store, WallClock
from qorch.testing.memory_store import MemoryStore
from qorch.testing.store_conformance import StoreConformance
from qorch_jobs_db import SqlStore, open_store


class TestMemoryStore(StoreConformance):
    """The store of the engine's own tests."""

    is_persistent = False

    @pytest.fixture
    def open_store(self) -> Callable[[], Store]:
        """A new store each time."""
        return lambda: MemoryStore(WallClock())


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
            "from qorch.ports import WallClock\nfrom qorch_jobs_db import open_store\n"
            f"store = open_store({str(tmp_path / 'folder' / 'x.db')!r}, clock=WallClock())"
        )
