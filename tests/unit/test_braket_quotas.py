"""Amazon Braket's quotas are kept, whatever the network does with the requests."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from qorch.testing.virtual_time import VirtualClock, VirtualLoop
from qorch_providers.braket.wire.quotas import BraketQuotas, CallQuota
from qorch_providers.emulators.braket.quotas import QuotaBucket


def run_virtually(main: Callable[[VirtualClock], Coroutine[Any, Any, None]]) -> float:
    """Run to the end on a virtual clock; how many seconds it took."""
    loop = VirtualLoop()
    try:
        loop.run_until_complete(main(VirtualClock(loop)))
        return loop.time()
    finally:
        loop.close()


class JitteryServer:
    """Counts each call at a random moment until its answer is there, and notes those that find no token."""

    def __init__(self, clock: VirtualClock, bucket: QuotaBucket, *, seed: int) -> None:
        self.clock = clock
        self.bucket = bucket
        self.random = np.random.default_rng(seed)
        self.n_calls = self.n_refused = 0

    async def call(self) -> None:
        """One call."""
        there, back = self.random.choice([0.001, 0.02, 1.5], size=2)
        await self.clock.sleep(float(there))
        self.n_calls += 1
        if self.bucket.wait_seconds(self.clock.monotonic_ns() / 1e9):
            self.n_refused += 1
        else:
            self.bucket.tokens -= 1.0
        await self.clock.sleep(float(back))


@pytest.mark.parametrize("seed", range(5))
def test_a_server_that_counts_at_any_moment_never_refuses(seed: int) -> None:
    """1,000 calls at a quota of exactly the server's, in bursts and in a stream, over a network that delays some."""

    async def main(clock: VirtualClock) -> None:
        quota = CallQuota(5.0, 50, clock=clock)
        server = JitteryServer(clock, QuotaBucket("list", 5.0, 50), seed=seed)
        for n_calls in (400, 1, 599):
            await asyncio.gather(*(quota.call(server.call) for _ in range(n_calls)))
            await clock.sleep(float(server.random.uniform(0.0, 30.0)))
        assert (server.n_calls, server.n_refused) == (1000, 0)

    run_virtually(main)


def test_the_quota_is_used() -> None:
    """What it allows is not wasted: a burst goes at once, and the rest at the quota's pace."""

    async def main(clock: VirtualClock) -> None:
        quota = CallQuota(5.0, 50, clock=clock)
        await asyncio.gather(*(quota.call(lambda: clock.sleep(0.01)) for _ in range(550)))

    assert 100.0 <= run_virtually(main) < 101.0


def test_a_cancelled_caller_gives_its_turn_on() -> None:
    """Whether it waits for its turn or for its answer; a call that was sent counts all the same."""

    async def main(clock: VirtualClock) -> None:
        quota = CallQuota(1.0, 2, clock=clock)
        sent = []

        async def call() -> None:
            sent.append(clock.monotonic_ns())
            await clock.sleep(0.5)

        calls = [asyncio.create_task(quota.call(call)) for _ in range(5)]
        await clock.sleep(0.1)
        calls[0].cancel()
        calls[2].cancel()
        calls[3].cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [isinstance(result, asyncio.CancelledError) for result in results] == [True, False, True, True, False]
        assert sent == [0, 0, pytest.approx(1.1e9, abs=1e3)]

    run_virtually(main)


def test_a_failed_call_counts() -> None:
    """A server may have counted what it did not answer."""

    async def main(clock: VirtualClock) -> None:
        quota = CallQuota(1.0, 1, clock=clock)

        async def fail() -> None:
            raise ConnectionError

        for _ in range(3):
            with pytest.raises(ConnectionError):
                await quota.call(fail)

    assert run_virtually(main) == pytest.approx(2.0, abs=1e-6)


def test_the_kinds_of_calls_have_quotas_of_their_own_below_the_documented_ones() -> None:
    """A search that waits does not hold a GET up."""

    async def main(clock: VirtualClock) -> None:
        quotas = BraketQuotas(clock=clock)
        searches = [asyncio.create_task(quotas.search.call(lambda: clock.sleep(0.0))) for _ in range(100)]
        await asyncio.gather(*(quotas.task.call(lambda: clock.sleep(0.0)) for _ in range(250)))
        assert clock.monotonic_ns() < 1e9
        await asyncio.gather(*searches)
        assert clock.monotonic_ns() == pytest.approx((100 - 25) / 4.5 * 1e9, rel=0.05)

    run_virtually(main)
