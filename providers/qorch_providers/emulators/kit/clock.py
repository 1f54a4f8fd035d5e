"""The emulators' clock: wall-clock seconds that never go back, and waiting times divided by a scale."""

import asyncio
import datetime
import time
from typing import Protocol

MOST_AHEAD_SECONDS = 86_400.0
"""A server's clock is not wronger than that."""


class Timer(Protocol):
    """A source of real time. Tests may replace the machine's, to make the latencies of a server exact."""

    def monotonic(self) -> float:
        """Real seconds since a fixed moment."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that many real seconds."""
        ...


class MachineTimer:
    """The time of the machine."""

    def monotonic(self) -> float:
        """Seconds since the machine was started."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class ScaledClock:
    """Time of one server. Latencies are *protocol seconds*; ``scale`` of them pass in one real second."""

    def __init__(self, timer: Timer, *, scale: float = 1.0, ahead_seconds: float = 0.0) -> None:
        """Start now. ``ahead_seconds``: how far the server's wall clock is fast."""
        self.scale = scale
        self._timer = timer
        self._started = timer.monotonic()
        self._started_unix = datetime.datetime.now(datetime.UTC).timestamp() + ahead_seconds

    def unix(self) -> float:
        """Real seconds since 1970 by the server's clock; does not follow a machine's that is set while it runs."""
        return self._started_unix + self._timer.monotonic() - self._started

    def protocol_seconds(self) -> float:
        """Protocol seconds since the start."""
        return (self._timer.monotonic() - self._started) * self.scale

    async def sleep(self, seconds: float) -> None:
        """Wait that many protocol seconds."""
        if seconds > 0.0:
            await self._timer.sleep(seconds / self.scale)

    def project(self, anchor_unix: float, event_unix: float) -> float:
        """The reported time of an event: each real second since the anchor counts as ``scale`` seconds.

        So the reported times of a job begin at the wall clock, and their distances are those without a scale.
        """
        return anchor_unix + (event_unix - anchor_unix) * self.scale


def format_iso(unix: float) -> str:
    """A time as ISO 8601 in UTC with milliseconds and ``Z``."""
    moment = datetime.datetime.fromtimestamp(unix, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
