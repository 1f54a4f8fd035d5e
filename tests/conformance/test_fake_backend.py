"""The fake backend is held to the contract of every other."""

from qorch.ports import Backend
from qorch.testing.backend_conformance import BackendConformance
from qorch.testing.fake_backend import FakeBackend


class TestFakeBackend(BackendConformance):
    """The fake, without faults."""

    def make_backend(self) -> Backend:
        """A free fake."""
        return FakeBackend()
