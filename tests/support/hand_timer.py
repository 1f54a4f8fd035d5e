"""A timer that stands still until a test moves it, so that what an emulator does in time is exact."""

import asyncio
import heapq
import time

PATIENCE_SECONDS = 30.0
_TURNS = 20
"""Turns of the event loop after which every task that woke up sleeps again, or is done."""


class HandTimer:
    """Time of one emulator, moved by hand from the thread of a test."""

    def __init__(self) -> None:
        """Start at 0."""
        self._now = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._n_sleeps = 0

    def monotonic(self) -> float:
        """Seconds that were advanced so far."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until time was advanced that far."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._n_sleeps += 1
        heapq.heappush(self._sleepers, (self._now + seconds, self._n_sleeps, woken))
        await woken

    @property
    def n_sleepers(self) -> int:
        """How many wait."""
        return len(self._sleepers)

    def wait_for_sleeper(self, count: int = 1) -> None:
        """Return once a task sleeps, or so many do."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(self._sleepers) < count:
            assert time.monotonic() < deadline, f"not {count} tasks went to sleep"
            time.sleep(0.002)

    def advance(self, seconds: float) -> None:
        """Let time pass, and wake each task at its own moment."""
        if not self._sleepers:
            self._now += seconds
            return
        loop = self._sleepers[0][2].get_loop()
        asyncio.run_coroutine_threadsafe(self._advance(self._now + seconds), loop).result(PATIENCE_SECONDS)

    async def _advance(self, until: float) -> None:
        while self._sleepers and self._sleepers[0][0] <= until + 1e-9:
            self._now, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
            for _ in range(_TURNS):
                await asyncio.sleep(0)
        self._now = until
