"""Clocks and event loops whose time passes only when nothing is left to do: hours in milliseconds."""

import asyncio
import datetime
import heapq
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@dataclass
class Timeline:
    """The virtual time that several event loops share."""

    seconds: float = 0.0


class InlineLoop(asyncio.SelectorEventLoop):
    """An event loop that does work for other threads itself, at once: in every run in the same order."""

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> "asyncio.Future[T]":  # type: ignore[override]
        """Call the function now: on the virtual clock it takes no time, and every run is the same."""
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done


class VirtualLoop(InlineLoop):
    """An event loop that jumps to the next timer instead of waiting."""

    def __init__(self, timeline: Timeline | None = None) -> None:
        """Start at 0 seconds, or join a timeline."""
        super().__init__()
        self.timeline = timeline or Timeline()

    def time(self) -> float:
        """Virtual seconds."""
        return self.timeline.seconds

    def _run_once(self) -> None:
        loop: Any = self
        self.drop_cancelled()
        if not loop._ready and loop._scheduled:
            self.timeline.seconds = max(self.timeline.seconds, loop._scheduled[0]._when)
        loop_run_once = super()._run_once  # type: ignore[misc]
        loop_run_once()

    def drop_cancelled(self) -> None:
        """Remove cancelled timers, so that the time does not jump to them."""
        loop: Any = self
        while loop._scheduled and loop._scheduled[0]._cancelled:
            timer = heapq.heappop(loop._scheduled)
            timer._scheduled = False
            loop._timer_cancelled_count = max(0, loop._timer_cancelled_count - 1)


class LoneLoop(VirtualLoop):
    """A virtual loop to which neither sockets nor other threads talk: it never asks the system, and costs less."""

    def _run_once(self) -> None:
        """As asyncio does it, but for the question what came from outside. Raises RuntimeError instead of waiting."""
        loop: Any = self
        self.drop_cancelled()
        ready, scheduled = loop._ready, loop._scheduled
        if not ready:
            if not scheduled:
                raise RuntimeError("nothing is left to do, and something waits; this is an error in qorch: report it")
            self.timeline.seconds = max(self.timeline.seconds, scheduled[0]._when)
        until = self.timeline.seconds + loop._clock_resolution
        while scheduled and scheduled[0]._when < until:
            timer = heapq.heappop(scheduled)
            timer._scheduled = False
            ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()


class VirtualClock:
    """`qorch.ports.Clock` on a virtual loop; ``skew_seconds`` moves its wall clock, never its durations."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, *, start: datetime.datetime = START, monotonic_seconds: float = 0.0
    ) -> None:
        """``start``: the wall clock at the loop's time 0; ``monotonic_seconds``: the monotonic clock then."""
        self._loop = loop
        self._monotonic_seconds = monotonic_seconds
        self._start = start
        self.skew_seconds = 0.0

    def monotonic_ns(self) -> int:
        """See Clock."""
        return round((self._monotonic_seconds + self._loop.time()) * 1e9)

    def now(self) -> datetime.datetime:
        """See Clock."""
        return self._start + datetime.timedelta(seconds=self._loop.time() + self.skew_seconds)

    async def sleep(self, seconds: float) -> None:
        """See Clock."""
        await asyncio.sleep(seconds)


def run_virtually(loop: VirtualLoop, work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a virtual loop, which stays open, and return its result."""
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(work)
    finally:
        asyncio.set_event_loop(None)
