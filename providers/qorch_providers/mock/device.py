"""A device's calendar: which job runs when, with at most so many side by side, and none during a closure."""

import bisect
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(eq=False)
class Calendar:
    """``lanes``: jobs that run side by side. ``reopens(at)``: when the closure ends that holds at a time, or ``at``.

    All times in seconds of one clock.
    """

    lanes: int
    reopens: Callable[[float], float]
    _busy: list[list[tuple[float, float]]] = field(default_factory=list)

    def book(self, ready: float, seconds: float, *, now: float) -> float:
        """When a job that is ready at a time begins: in the earliest gap of any lane, which is then taken."""
        while len(self._busy) < self.lanes and all(self._busy):
            self._busy.append([])
        for lane in self._busy:
            while lane and lane[0][1] <= now:
                del lane[0]
        begins, lane = min(
            ((self._first_gap(lane, ready, seconds), lane) for lane in self._busy), key=lambda each: each[0]
        )
        bisect.insort(lane, (begins, begins + seconds))
        return begins

    def _first_gap(self, lane: list[tuple[float, float]], ready: float, seconds: float) -> float:
        begins = self.reopens(ready)
        for taken_from, taken_to in lane:
            if begins + seconds <= taken_from:
                return begins
            begins = self.reopens(max(begins, taken_to))
        return begins
