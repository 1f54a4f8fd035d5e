"""The fake backend is held to the contract of every other."""

from qorch.ports.backend import Backend
from qorch.testing.conformance.in_process import InProcessConformance
from qorch.testing.fakes.backend import FakeBackend


class TestFakeBackend(InProcessConformance):
    """The fake, without faults."""

    def make_backend(self) -> Backend:
        """A free fake."""
        return FakeBackend()
