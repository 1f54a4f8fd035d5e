"""The fake backend is held to the contract of every other."""

from qorch.ports.backend import Backend
from qorch.testing.conformance.backend import BackendConformance
from qorch.testing.fakes.backend import FakeBackend


class TestFakeBackend(BackendConformance):
    """The fake, without faults."""

    def make_backend(self) -> Backend:
        """A free fake."""
        return FakeBackend()
