"""Clocks and event loops whose time passes only when nothing is left to do: hours in milliseconds."""

import asyncio
import datetime
import heapq
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@dataclass
class Timeline:
    """The virtual time that several event loops share."""

    seconds: float = 0.0


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that jumps to the next timer instead of waiting. Work for other threads runs here, at once."""

    def __init__(self, timeline: Timeline | None = None) -> None:
        """Start at 0 seconds, or join a timeline."""
        super().__init__()
        self.timeline = timeline or Timeline()

    def time(self) -> float:
        """Virtual seconds."""
        return self.timeline.seconds

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> "asyncio.Future[T]":  # type: ignore[override]
        """Call the function now: on the virtual clock it takes no time, and every run is the same."""
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    def _run_once(self) -> None:
        loop: Any = self
        self._drop_cancelled()
        if not loop._ready and loop._scheduled:
            self.timeline.seconds = max(self.timeline.seconds, loop._scheduled[0]._when)
        loop_run_once = super()._run_once  # type: ignore[misc]
        loop_run_once()

    def _drop_cancelled(self) -> None:
        """Remove cancelled timers, so that the time does not jump to them."""
        loop: Any = self
        while loop._scheduled and loop._scheduled[0]._cancelled:
            timer = heapq.heappop(loop._scheduled)
            timer._scheduled = False
            loop._timer_cancelled_count = max(0, loop._timer_cancelled_count - 1)


class ProcessLoop(VirtualLoop):
    """The loop of one of several simulated processes, run callback by callback: any of them can be its last."""

    steps = 0
    """Callbacks that have run."""
    is_dead = False

    @property
    def is_due(self) -> bool:
        """Whether a callback is waiting to be run."""
        loop: Any = self
        return bool(loop._ready) and not self.is_dead

    def _write_to_self(self) -> None:
        """Do nothing: the loop never sleeps in a selector, so it need not be woken."""

    def next_moment(self) -> float | None:
        """The time of its next callback: now, or that of its next timer; None if it has neither."""
        loop: Any = self
        if loop._ready:
            return self.timeline.seconds
        self._drop_cancelled()
        return max(self.timeline.seconds, loop._scheduled[0]._when) if loop._scheduled else None

    def run_next(self) -> None:
        """Run the next callback that is due."""
        loop: Any = self
        self._drop_cancelled()
        while loop._scheduled and loop._scheduled[0]._when <= self.timeline.seconds:
            timer = heapq.heappop(loop._scheduled)
            timer._scheduled = False
            loop._ready.append(timer)
            self._drop_cancelled()
        if not loop._ready:
            return
        handle = loop._ready.popleft()
        self.steps += 1
        if not handle._cancelled:
            asyncio._set_running_loop(self)
            try:
                handle._run()
            finally:
                asyncio._set_running_loop(None)


def run_together(
    timeline: Timeline,
    loops: Callable[[], list[ProcessLoop]],
    *,
    random: np.random.Generator,
    is_over: Callable[[], bool],
) -> None:
    """Run the callbacks of several loops, in order of time, in random order at equal times, until ``is_over``.

    ``loops()``: the loops that run now; a loop that is left out never runs again, and nothing in it is cleaned up.
    ``is_over`` is called after every callback. Raises RuntimeError if no callback is left before it is true.
    """
    while not is_over():
        moments = [(moment, loop) for loop in loops() if (moment := loop.next_moment()) is not None]
        if not moments:
            raise RuntimeError("every task waits for something that never comes")
        timeline.seconds = min(moment for moment, _ in moments)
        due = [loop for moment, loop in moments if moment == timeline.seconds]
        chosen = due[0 if len(due) == 1 else int(random.integers(len(due)))]
        chosen.run_next()
        while len(due) == 1 and chosen.is_due and not is_over():
            chosen.run_next()


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
