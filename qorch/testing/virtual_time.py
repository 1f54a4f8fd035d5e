"""A clock and an event loop whose time passes only when nothing is left to do: hours in milliseconds."""

import asyncio
import datetime
import heapq
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Jumps to the next timer instead of waiting for it. Work in threads is not waited for: use none."""

    def __init__(self) -> None:
        """Start at 0 seconds."""
        super().__init__()
        self._virtual_seconds = 0.0

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual_seconds

    def _run_once(self) -> None:
        loop: Any = self
        # A timer that was cancelled must not be jumped to: nobody waits for it any more.
        while loop._scheduled and loop._scheduled[0]._cancelled:
            timer = heapq.heappop(loop._scheduled)
            timer._scheduled = False
            loop._timer_cancelled_count = max(0, loop._timer_cancelled_count - 1)
        if not loop._ready and loop._scheduled:
            self._virtual_seconds = max(self._virtual_seconds, loop._scheduled[0]._when)
        loop_run_once = super()._run_once  # type: ignore[misc]
        loop_run_once()


class VirtualClock:
    """`qorch.ports.Clock` on a virtual loop; ``skew_seconds`` moves its wall clock, never its durations."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, start: datetime.datetime = START) -> None:
        """``start``: the wall clock at the loop's time 0."""
        self._loop = loop
        self._start = start
        self.skew_seconds = 0.0

    def monotonic_ns(self) -> int:
        """See Clock."""
        return round(self._loop.time() * 1e9)

    def now(self) -> datetime.datetime:
        """See Clock."""
        return self._start + datetime.timedelta(seconds=self._loop.time() + self.skew_seconds)

    async def sleep(self, seconds: float) -> None:
        """See Clock."""
        await asyncio.sleep(seconds)


def run_virtually(loop: VirtualLoop, work: Coroutine[Any, Any, T]) -> T:
    """Run work to its end on a virtual loop, which stays open."""
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(work)
    finally:
        asyncio.set_event_loop(None)
