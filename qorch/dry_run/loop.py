"""The event loop of all runs of a dry run: its time passes only while every thread that makes calls waits."""

import asyncio
import selectors
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qorch.dry_run.callers import Callers, Stopwatch
from qorch.ports.clock import Clock, WallClock
from qorch.virtual_time import InlineLoop


class CallerLoop(InlineLoop):
    """An event loop on virtual time. What it computes itself is measured, and takes as long; frozen, it takes no time.

    Make it in the thread that makes the first call.
    """

    def __init__(self, *, is_frozen: bool, real: Clock | None = None) -> None:
        """Start at 0 seconds. ``real``: the clock that measures what is computed."""
        real = real or WallClock()
        self.watch = Stopwatch(0.0, None if is_frozen else real)
        self.callers = Callers(self.time, real=real, is_frozen=is_frozen)
        self._moves: list[asyncio.Future[None]] = []
        self._passed_seconds = 0.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        """Virtual seconds; may be called by any thread."""
        return self.watch.seconds

    @property
    def computed_seconds(self) -> float:
        """How much of its time so far it has computed itself."""
        return self.time() - self._passed_seconds

    def wake(self) -> None:
        """Let it look at once whether its time may pass; may be called by any thread."""
        self.call_soon_threadsafe(_do_nothing)

    def next_move(self) -> "asyncio.Future[None]":
        """Is done when time has passed to a timer once more."""
        move: asyncio.Future[None] = self.create_future()
        self._moves.append(move)
        return move

    def let_pass(self, seconds: float) -> None:
        """Let time pass until a timer is due."""
        self._passed_seconds += seconds
        self.watch.set(self.time() + seconds)
        moves, self._moves = self._moves, []
        for move in moves:
            if not move.done():
                move.set_result(None)

    @contextmanager
    def stand_still(self) -> Iterator[None]:
        """See ``qorch.ports.clock.MeasuringClock``."""
        self.watch.stop()
        try:
            yield
        finally:
            self.watch.start()


class _Selector(selectors.DefaultSelector):
    """Waits for what other threads bring; where the loop would wait for a timer, it lets virtual time pass instead."""

    def __init__(self, loop: CallerLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        loop = self._loop
        loop.watch.stop()
        try:
            return self._select(loop, timeout)
        finally:
            loop.watch.start()

    def _select(self, loop: CallerLoop, timeout: float | None) -> list[Any]:
        if timeout is not None and timeout <= 0:
            return super().select(0)
        while True:
            # In this order: what a thread brings is there before it is seen to wait.
            patience = loop.callers.patience_seconds()
            if events := super().select(0):
                return events
            if patience == 0.0 and timeout is not None:
                loop.let_pass(timeout)
                return []
            if events := super().select(patience or None):
                return events


def _do_nothing() -> None:
    """Runs in the loop, so that it is woken."""
