"""Asking after jobs: together, seldom enough, and never forgetting one."""

import asyncio
import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from simulation.harness import Sandbox, most_within

from qorch.engine.remote.poller import Poller
from qorch.engine.remote.retrying import Retrier
from qorch.engine.remote.window import RateWindow
from qorch.errors import BusyError, CredentialsError, JobFailedError, UnknownOutcomeError
from qorch.model.clock_offset import ServerClock
from qorch.model.job import JobStatus, RemoteState
from qorch.ports.policy import OnUnknown, PollPolicy, Rate, RetryPolicy
from qorch.testing.fakes.remote import HOLD

POLICY = PollPolicy(share=0.05, shortest_seconds=0.05, longest_seconds=120.0)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """One world; no task may be left in it."""
    made = Sandbox()
    yield made
    made.close()


class Desk:
    """Answers questions: job ``7.5`` is over 7.5 seconds after the start; names with letters are unknown."""

    def __init__(self, sandbox: Sandbox, *, on_unknown: OnUnknown = OnUnknown.HOLD) -> None:
        self.sandbox = sandbox
        self.asked: list[tuple[float, tuple[str, ...]]] = []
        self.trouble: dict[float, Exception] = {}
        self.forecast_seconds: float | None = None
        self.remote = sandbox.remote(terms=dataclasses.replace(HOLD, on_unknown=on_unknown))
        self.remote.poll = self.poll  # type: ignore[method-assign]
        self.window = RateWindow(None, clock=sandbox.clock)
        retrier = Retrier(RetryPolicy(), clock=sandbox.clock, random=np.random.default_rng(1))
        self.poller = Poller(
            self.remote,
            retrier,
            window=self.window,
            clock=sandbox.clock,
            policy=POLICY,
            server_clock=ServerClock(),
        )

    async def poll(self, provider_ids: Sequence[str]) -> dict[str, JobStatus]:
        """See RemoteBackend."""
        now = self.sandbox.loop.time()
        self.asked.append((now, tuple(provider_ids)))
        for until, error in self.trouble.items():
            if now < until:
                raise error
        known = [name for name in provider_ids if name.replace(".", "").isdigit()]
        waits = JobStatus(RemoteState.QUEUED, wait_seconds=self.forecast_seconds)
        return {name: JobStatus(RemoteState.DONE) if float(name) <= now else waits for name in known}

    async def wait(self, name: str) -> float:
        """When a job was seen to be over."""
        assert (await self.poller.wait(name)).state is RemoteState.DONE
        return self.sandbox.loop.time()


def test_a_limit_of_polls_is_kept(sandbox: Sandbox) -> None:
    """However many jobs are waited for, no window has more questions than the terms allow, and each job is seen."""
    desk = Desk(sandbox)
    desk.poller._window = RateWindow(Rate(3, 10.0), clock=sandbox.clock)

    async def work() -> list[float]:
        return await asyncio.gather(*(desk.wait(str(end)) for end in np.linspace(1.0, 60.0, 50)))

    sandbox.run(work())
    times = [at for at, _ in desk.asked]
    assert most_within(times, seconds=10.0) == 3
    assert sandbox.loop.time() <= 60.0 + 11.0


def test_jobs_are_asked_after_together(sandbox: Sandbox) -> None:
    """A hundred jobs that start together cost no more questions than one, and each is seen soon after its end."""
    desk = Desk(sandbox)

    async def work() -> list[float]:
        return await asyncio.gather(*(desk.wait(str(end)) for end in np.linspace(20.0, 30.0, 100)))

    seen = np.array(sandbox.run(work()))
    assert len(desk.asked[0][1]) == 100
    assert len(desk.asked) < 150
    assert (seen - np.linspace(20.0, 30.0, 100) <= 0.06 * seen).all()


@pytest.mark.parametrize("seconds", [1.0, 60.0, 3600.0, 259_200.0])
def test_questions_become_rarer_with_the_wait(sandbox: Sandbox, seconds: float) -> None:
    """A job is seen within a twentieth of its age, at most two minutes, after a bounded number of questions."""
    desk = Desk(sandbox)
    late = sandbox.run(desk.wait(str(seconds))) - seconds
    assert 0 <= late <= min(120.0, max(0.05, 0.05 * seconds)) + 1e-6
    assert len(desk.asked) <= 25 + 20 * np.log(1 + seconds) + seconds / 120.0


def test_a_forecast_makes_questions_rarer(sandbox: Sandbox) -> None:
    """A job that is said to wait for an hour is asked after less often, and hardly seen late where that was wrong."""
    plain, told = Desk(sandbox), Desk(sandbox)
    told.forecast_seconds = 3600.0

    async def work() -> list[float]:
        return await asyncio.gather(plain.wait("60.0"), told.wait("60.0"))

    assert sandbox.run(work())[1] <= 60.0 + 3 * 0.05 * 60.0
    assert len(told.asked) < 0.6 * len(plain.asked)


def test_the_first_question_waits_for_what_jobs_take(sandbox: Sandbox) -> None:
    """Where jobs take three seconds, the next is not asked after for most of them."""
    desk = Desk(sandbox)

    async def work() -> int:
        for end in (3.0, 6.5, 10.0):
            await desk.wait(str(end))
        before = len(desk.asked)
        await desk.wait("13.3")
        return len(desk.asked) - before

    assert sandbox.run(work()) <= 6


def test_an_outage_does_not_slow_down_what_follows(sandbox: Sandbox) -> None:
    """Jobs that were seen late, because the provider could not be asked, do not make the next ones look long."""
    desk = Desk(sandbox)
    desk.trouble = {7200.0: BusyError("down")}

    async def work() -> float:
        await desk.wait("1.0")
        await asyncio.sleep(1.0)
        start = sandbox.loop.time()
        return await desk.wait(str(start + 5.0)) - start

    # One that had answered before is waited for.
    desk.poller._retrier._has_answered = True
    assert sandbox.run(work()) < 5.5


def test_a_shorter_queue_is_noticed_within_the_longest_interval(sandbox: Sandbox) -> None:
    """After hours in the queue a job of seconds is seen within two minutes."""
    desk = Desk(sandbox)

    async def work() -> float:
        await desk.wait("20000.0")
        start = sandbox.loop.time()
        return await desk.wait(str(start + 1.0)) - start

    assert sandbox.run(work()) <= 121.0


def test_what_the_lists_do_not_show_yet_is_waited_for(sandbox: Sandbox) -> None:
    """A job that is missing is no failed job before the settle time is over, counted from when it was first missing."""
    desk = Desk(sandbox, on_unknown=OnUnknown.RESUBMIT)

    async def work() -> float:
        with pytest.raises(JobFailedError, match="does not know job lost") as failure:
            await desk.poller.wait("lost")
        assert failure.value.is_repeatable
        return sandbox.loop.time()

    assert HOLD.settle_seconds < sandbox.run(work()) < 1.2 * HOLD.settle_seconds


def test_what_the_lists_never_show_is_held(sandbox: Sandbox) -> None:
    """Under terms that hold what is in doubt, a job that was accepted and is not to be seen is no failed one."""
    desk = Desk(sandbox)

    async def work() -> None:
        with pytest.raises(UnknownOutcomeError, match="held"):
            await desk.poller.wait("lost")

    sandbox.run(work())


def test_an_error_reaches_those_who_were_asked_for(sandbox: Sandbox) -> None:
    """Where the key is refused all waiting calls fail, and a later one starts anew."""
    desk = Desk(sandbox)
    desk.trouble = {10.0: CredentialsError("no key")}

    async def work() -> None:
        results = await asyncio.gather(desk.wait("5.0"), desk.wait("6.0"), return_exceptions=True)
        assert {type(result) for result in results} == {CredentialsError}
        await asyncio.sleep(10.0)
        await desk.wait("12.0")

    sandbox.run(work())


def test_it_ends_by_itself_and_with_whoever_waits(sandbox: Sandbox) -> None:
    """Nothing is asked once no caller waits, whether the jobs are over or their callers are gone."""
    desk = Desk(sandbox)

    async def work() -> None:
        waiting = asyncio.create_task(desk.wait("1000.0"))
        await desk.wait("1.0")
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        asked = len(desk.asked)
        await asyncio.sleep(2000.0)
        assert len(desk.asked) == asked

    sandbox.run(work())


def test_closing_cancels_who_waits(sandbox: Sandbox) -> None:
    """An engine that ends leaves no caller waiting."""
    desk = Desk(sandbox)

    async def work() -> None:
        waiting = asyncio.create_task(desk.wait("1000.0"))
        await asyncio.sleep(1.0)
        await desk.poller.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    sandbox.run(work())
