"""Fixtures that all parts of the Store contract's tests use: how a store is opened."""

from collections.abc import Callable, Iterator

import pytest

from qorch.ports.store import Store
from qorch.testing.conformance.store_records import make_job, make_run


class StoreFixtures:
    """Fixtures for StoreConformance."""

    is_persistent = True

    @pytest.fixture
    def open_store(self) -> Callable[[], Store]:
        """Opens the store under test; a persistent one must open the same each time."""
        raise NotImplementedError("give your test class a fixture `open_store`")

    @pytest.fixture
    def opening_code(self) -> str:
        """Python that opens the same store in another process, as ``store``."""
        return ""

    @pytest.fixture
    def store(self, open_store: Callable[[], Store]) -> Iterator[Store]:
        """A store with the run ``r`` and its job ``r/0.0.0``."""
        store = open_store()
        store.write([make_run("r"), make_job("r/0.0.0")]).result()
        yield store
        store.close()

    def needs_persistence(self) -> None:
        """Skip the test if the store does not outlive its object."""
        if not self.is_persistent:
            pytest.skip("only a store on disk outlives its object")
