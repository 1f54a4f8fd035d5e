"""Amazon Braket's quotas of calls, kept by this process: so many per second, with a burst."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from qorch.ports.clock import Clock

T = TypeVar("T")

_ROUNDING = 1e-9


class CallQuota:
    """Lets calls go in the order in which they come, as soon as the quota has a token for them.

    Braket may count a call at any moment until its answer is here. So the token of a call begins to come back only
    then: in any t seconds, Braket counts at most ``burst + per_second × t`` calls, whatever the network delays.
    """

    def __init__(self, per_second: float, burst: int, *, clock: Clock) -> None:
        """Nothing was called yet."""
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._turn = asyncio.Lock()
        self._answered = asyncio.Event()
        self._under_way = 0
        self._owed = 0.0
        """Tokens of answered calls that have not come back yet."""
        self._counted_ns = clock.monotonic_ns()

    async def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """Call a function when it is its turn; its result. Raises what it raises."""
        async with self._turn:
            await self._wait()
            self._under_way += 1
        try:
            return await function()
        finally:
            self._recover()
            self._under_way -= 1
            self._owed += 1.0
            self._answered.set()

    @property
    def left(self) -> float:
        """How many calls could go now without waiting."""
        self._recover()
        return self._burst - self._under_way - self._owed

    async def _wait(self) -> None:
        """Until there is a token for one more call."""
        while True:
            excess = 1.0 - self.left
            if excess <= _ROUNDING:
                return
            if self._owed > 0.0:
                # Up to a nanosecond longer, as the clock counts in nanoseconds.
                await self._clock.sleep(min(excess, self._owed) / self._per_second + 1e-9)
            else:
                self._answered.clear()
                await self._answered.wait()

    def _recover(self) -> None:
        now_ns = self._clock.monotonic_ns()
        self._owed = max(0.0, self._owed - self._per_second * (now_ns - self._counted_ns) / 1e9)
        self._counted_ns = now_ns


class BraketQuotas:
    """One quota for each kind of call, below what Amazon documents: other tools may use the account as well.

    Documented, calls per second and burst: GetQuantumTask 100 and 500, SearchQuantumTasks 5 and 50, CancelQuantumTask
    2 and 20, GetDevice 5 and 50. CreateQuantumTask is counted by the engine, for all processes together.
    """

    def __init__(self, *, clock: Clock) -> None:
        """Nothing was called yet."""
        self.task = CallQuota(90.0, 250, clock=clock)
        self.search = CallQuota(4.5, 25, clock=clock)
        self.cancel = CallQuota(1.8, 10, clock=clock)
        self.device = CallQuota(4.5, 25, clock=clock)
