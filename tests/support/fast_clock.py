"""A clock for tests whose waits are of no interest: a run's own waits pass faster, and a server's time does not."""

from qorch.ports.clock import WallClock


class FastClock(WallClock):
    """Waits pass ``scale`` times as fast; the wall clock is the real one, as a server's is."""

    def __init__(self, scale: float) -> None:
        """Start now."""
        self._scale = scale

    def monotonic_ns(self) -> int:
        """Scaled nanoseconds."""
        return round(super().monotonic_ns() * self._scale)

    async def sleep(self, seconds: float) -> None:
        """Wait the scaled time."""
        await super().sleep(seconds / self._scale)
