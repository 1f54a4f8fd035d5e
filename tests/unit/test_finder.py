"""Looking for jobs by their keys: together, and every caller gets an answer."""

import asyncio
import datetime as dt
from collections.abc import Collection, Iterator

import numpy as np
import pytest
from simulation.harness import Sandbox

from qorch.engine.remote.finder import Finder
from qorch.engine.remote.retrying import Retrier
from qorch.engine.remote.window import RateWindow
from qorch.errors import BusyError, CredentialsError, InvalidResultError, UnknownOutcomeError
from qorch.ports.policy import Rate, RetryPolicy
from qorch.testing.virtual_time import START


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """One world; no task may be left in it."""
    made = Sandbox()
    yield made
    made.close()


class Lists:
    """A provider's lists that take a second to be read; they have the keys that begin with ``k``."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.asked: list[tuple[set[str], dt.datetime]] = []
        self.errors: list[Exception] = []
        self.doubtful = ""
        remote = sandbox.remote()
        remote.find = self.find  # type: ignore[method-assign]
        retrier = Retrier(RetryPolicy(), clock=sandbox.clock, random=np.random.default_rng(1))
        self.finder = Finder(remote, retrier, window=RateWindow(None, clock=sandbox.clock))

    async def find(self, keys: Collection[str], *, since: dt.datetime) -> dict[str, str]:
        """See RemoteBackend."""
        self.asked.append((set(keys), since))
        await asyncio.sleep(1.0)
        if self.errors:
            raise self.errors.pop(0)
        if self.doubtful in keys:
            raise UnknownOutcomeError("two jobs have the key")
        return {key: f"job of {key}" for key in keys if key.startswith("k")}


def minutes(number: float) -> dt.datetime:
    """A moment."""
    return START + dt.timedelta(minutes=number)


def test_questions_are_asked_together(sandbox: Sandbox) -> None:
    """Fifty questions that come while one is under way are one more, as far back as the oldest of them needs."""
    lists = Lists(sandbox)

    async def work() -> list[str | None]:
        first = asyncio.create_task(lists.finder.find("k0", minutes(60)))
        await asyncio.sleep(0.5)
        names = [f"{'k' if number % 2 else 'x'}{number}" for number in range(1, 51)]
        found = await asyncio.gather(*(lists.finder.find(name, minutes(n)) for n, name in enumerate(names, 1)))
        assert await first == "job of k0"
        return found

    found = sandbox.run(work())
    assert found == [f"job of k{number}" if number % 2 else None for number in range(1, 51)]
    assert [len(keys) for keys, _ in lists.asked] == [1, 50]
    assert lists.asked[1][1] == minutes(1)


def test_a_limit_of_searches_is_kept(sandbox: Sandbox) -> None:
    """Questions that come one after the other wait until the window has room, retries of busy answers included."""
    lists = Lists(sandbox)
    lists.finder._window = RateWindow(Rate(2, 30.0), clock=sandbox.clock)
    lists.errors = [BusyError("busy"), BusyError("busy")]

    async def work() -> float:
        for number in range(4):
            assert await lists.finder.find(f"k{number}", minutes(0)) == f"job of k{number}"
        return sandbox.loop.time()

    assert 60.0 < sandbox.run(work()) < 72.0
    assert len(lists.asked) == 6


def test_an_answer_is_never_older_than_its_question(sandbox: Sandbox) -> None:
    """What is asked while lists are being read is looked for anew: the job may have come meanwhile."""
    lists = Lists(sandbox)

    async def work() -> None:
        first = asyncio.create_task(lists.finder.find("k1", minutes(0)))
        await asyncio.sleep(0.9)
        await asyncio.gather(first, lists.finder.find("k1", minutes(0)))

    sandbox.run(work())
    assert len(lists.asked) == 2


@pytest.mark.parametrize("moment", [0.0, 0.5, 1.5])
def test_a_leader_who_leaves_strands_nobody(sandbox: Sandbox, moment: float) -> None:
    """The caller that asks for all may be cancelled: the next in line asks for the others."""
    lists = Lists(sandbox)

    async def work() -> list[str | BaseException | None]:
        tasks = [asyncio.create_task(lists.finder.find(f"k{number}", minutes(0))) for number in range(6)]
        await asyncio.sleep(moment)
        tasks[0].cancel()
        tasks[1].cancel()
        await asyncio.sleep(0.1)
        tasks[2].cancel()
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10.0)

    found = sandbox.run(work())
    assert found[3:] == ["job of k3", "job of k4", "job of k5"]


def test_the_same_key_may_be_asked_for_twice(sandbox: Sandbox) -> None:
    """Both who ask get the answer."""
    lists = Lists(sandbox)

    async def work() -> list[str | None]:
        return await asyncio.gather(*(lists.finder.find("k", minutes(0)) for _ in range(3)))

    assert sandbox.run(work()) == ["job of k"] * 3


@pytest.mark.parametrize("error", [CredentialsError("no key"), InvalidResultError("no list")])
def test_an_error_is_everybody_s(sandbox: Sandbox, error: Exception) -> None:
    """Where lists cannot be read all who asked hear of it, and the next question is asked anew."""
    lists = Lists(sandbox)

    async def work() -> list[str | BaseException | None]:
        first = asyncio.create_task(lists.finder.find("k0", minutes(0)))
        await asyncio.sleep(0.5)
        lists.errors = []
        others = [asyncio.create_task(lists.finder.find(f"k{n}", minutes(0))) for n in (1, 2)]
        await first
        lists.errors = [error]
        results = await asyncio.gather(*others, return_exceptions=True)
        assert await lists.finder.find("k3", minutes(0)) == "job of k3"
        return results

    assert sandbox.run(work()) == [error, error]


def test_a_busy_provider_is_asked_again(sandbox: Sandbox) -> None:
    """Lists are safe to read twice, so trouble is waited out."""
    lists = Lists(sandbox)
    lists.errors = [BusyError("busy"), BusyError("busy", retry_after_seconds=20.0)]
    assert sandbox.run(lists.finder.find("k", minutes(0))) == "job of k"
    assert len(lists.asked) == 3
    assert 22.0 < sandbox.loop.time() < 25.0


@pytest.mark.parametrize("moment", [None, 1.5, 3.5])
def test_a_key_in_doubt_is_in_doubt_alone(sandbox: Sandbox, moment: float | None) -> None:
    """A caller that asks for the others gets its own answer, even if the one that asks for all is cancelled."""
    lists = Lists(sandbox)
    lists.doubtful = "k3"

    async def work() -> list[str | BaseException | None]:
        first = asyncio.create_task(lists.finder.find("k0", minutes(0)))
        await asyncio.sleep(0.5)
        names = ["k1", "k2", "k3", "k4", "x"]
        tasks = [asyncio.create_task(lists.finder.find(name, minutes(0))) for name in names]
        await first
        if moment is not None:
            await asyncio.sleep(moment)
            tasks[0].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    _, second, third, fourth, fifth = sandbox.run(work())
    assert (second, fourth, fifth) == ("job of k2", "job of k4", None)
    assert isinstance(third, UnknownOutcomeError)
