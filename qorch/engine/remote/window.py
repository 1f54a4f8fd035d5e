"""A hard limit of polls or of searches, kept by this process alone."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

from qorch.ports.clock import Clock
from qorch.ports.policy import Rate

T = TypeVar("T")


class RateWindow:
    """Lets calls go in the order in which they come, as soon as the rate allows; ``rate`` None: at once.

    A server may count a call at any moment until its answer is here, so a call leaves the window so long after it.
    """

    def __init__(self, rate: Rate | None, *, clock: Clock) -> None:
        """Nothing was called yet."""
        self._rate = rate
        self._clock = clock
        self._turn = asyncio.Lock()
        self._answered = asyncio.Event()
        self._under_way = 0
        self._answers_ns: deque[int] = deque()

    async def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """Call a function when it is its turn; its result. Raises what it raises."""
        if self._rate is None:
            return await function()
        async with self._turn:
            await self._wait(self._rate)
            self._under_way += 1
        try:
            return await function()
        finally:
            self._under_way -= 1
            self._answers_ns.append(self._clock.monotonic_ns())
            self._answered.set()

    async def _wait(self, rate: Rate) -> None:
        """Until the window has room for one more call."""
        while True:
            oldest_ns = self._clock.monotonic_ns() - round(rate.seconds * 1e9)
            while self._answers_ns and self._answers_ns[0] <= oldest_ns:
                self._answers_ns.popleft()
            if self._under_way + len(self._answers_ns) < rate.calls:
                return
            if self._answers_ns:
                await self._clock.sleep((self._answers_ns[0] - oldest_ns) / 1e9)
            else:
                self._answered.clear()
                await self._answered.wait()
