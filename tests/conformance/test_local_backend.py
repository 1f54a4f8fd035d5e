"""The shipped conformance suite over the local backend: both engines, both precisions."""

from qorch.ports.backend import Backend
from qorch.ports.clock import WallClock
from qorch.testing.conformance.in_process import InProcessConformance
from qorch_providers.local import open_backend


class TestLocal(InProcessConformance):
    """The default: numba where it is installed."""

    def make_backend(self) -> Backend:
        """Two threads."""
        return open_backend("", clock=WallClock(), workers=2)


class TestLocalInDoublePrecision(InProcessConformance):
    """Samples from float64 states."""

    def make_backend(self) -> Backend:
        """Two threads."""
        return open_backend("precision=float64", clock=WallClock(), workers=2)


class TestLocalOnTorch(InProcessConformance):
    """The fallback without numba."""

    def make_backend(self) -> Backend:
        """The torch engine."""
        return open_backend("engine=torch", clock=WallClock())


class TestLocalWithNoise(InProcessConformance):
    """Depolarising noise after every gate, and reading errors."""

    is_ideal = False

    def make_backend(self) -> Backend:
        """Two threads."""
        return open_backend("depolarizing=0.01,readout=0.02", clock=WallClock(), workers=2)
