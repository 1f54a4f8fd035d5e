"""The emulators' time: wall-clock seconds that never go back, and waiting that a scale makes shorter."""

import asyncio
import datetime
import time
from typing import Protocol


class Timer(Protocol):
    """What passes real time. Another one than the machine's makes a server's latencies exact."""

    def monotonic(self) -> float:
        """Real seconds since some moment."""
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

    def __init__(self, timer: Timer, *, scale: float = 1.0) -> None:
        """Start now."""
        self.scale = scale
        self._timer = timer
        self._started = timer.monotonic()
        self._started_unix = datetime.datetime.now(datetime.UTC).timestamp()

    def unix(self) -> float:
        """Real seconds since 1970; does not follow a wall clock that is set while the server runs."""
        return self._started_unix + self._timer.monotonic() - self._started

    def protocol_seconds(self) -> float:
        """Protocol seconds since the start."""
        return (self._timer.monotonic() - self._started) * self.scale

    async def sleep(self, seconds: float) -> None:
        """Wait that many protocol seconds."""
        if seconds > 0.0:
            await self._timer.sleep(seconds / self.scale)

    def project(self, anchor_unix: float, event_unix: float) -> float:
        """When an event is reported to have been: real seconds since the anchor count as ``scale`` each.

        With it, what a client sees of one job begins at the wall clock and lasts as long as it would have unscaled.
        """
        return anchor_unix + (event_unix - anchor_unix) * self.scale


def format_iso(unix: float) -> str:
    """A time as ISO 8601 in UTC with milliseconds and ``Z``."""
    moment = datetime.datetime.fromtimestamp(unix, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
