"""Several simulated processes on one virtual time, any callback of which can be the last."""

import asyncio
import heapq
from collections.abc import Callable
from typing import Any

import numpy as np

from qorch.virtual_time import START, Timeline, VirtualClock, VirtualLoop, run_virtually

__all__ = ["START", "ProcessLoop", "Timeline", "VirtualClock", "VirtualLoop", "run_together", "run_virtually"]


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
        self.drop_cancelled()
        return max(self.timeline.seconds, loop._scheduled[0]._when) if loop._scheduled else None

    def run_next(self) -> None:
        """Run the next callback that is due."""
        loop: Any = self
        self.drop_cancelled()
        while loop._scheduled and loop._scheduled[0]._when <= self.timeline.seconds:
            timer = heapq.heappop(loop._scheduled)
            timer._scheduled = False
            loop._ready.append(timer)
            self.drop_cancelled()
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
