"""The engine against the clock: limits, outages, long queues and latencies, hours of them in a second each."""

import asyncio
import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from simulation.harness import Sandbox, most_within

from qorch.engine.engine import Engine
from qorch.errors import CredentialsError, JobFailedError
from qorch.model.job import JobState
from qorch.ports.policy import Rate, RunPolicy, Terms
from qorch.testing.fakes.remote import HOLD, FakeRemote

FIVE_A_MINUTE = Rate(5, 60.0)
ROUND_TRIP = 0.1


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """One world; no task may be left in it."""
    made = Sandbox()
    yield made
    made.close()


def remote_of(sandbox: Sandbox, *, terms: Terms = HOLD) -> FakeRemote:
    """A way to the provider on which every row is a job."""
    return sandbox.remote(terms=terms, rows_in_job=1, round_trip_seconds=ROUND_TRIP)


def terms_with(*, most_jobs: int = 100, rate: Rate | None = None) -> Terms:
    """Terms that differ from HOLD in this."""
    return dataclasses.replace(HOLD, most_jobs=most_jobs, rate=rate)


async def opened(sandbox: Sandbox, remote: FakeRemote) -> Engine:
    """An engine at work."""
    engine = sandbox.engine(remote)
    await engine.open()
    return engine


def run_rows(sandbox: Sandbox, rows: int, *, terms: Terms = HOLD) -> None:
    """So many jobs at once, from start to end."""

    async def work() -> None:
        await sandbox.execute_many(await opened(sandbox, remote_of(sandbox, terms=terms)), rows)

    sandbox.run(work())
    assert len(sandbox.provider.jobs) == rows
    assert {job.state for job in sandbox.store.jobs("r")} == {JobState.DONE}


def test_a_declared_limit_is_never_met(sandbox: Sandbox) -> None:
    """500 jobs at 5 a minute: no minute with more, no refusal, and no more than a round trip lost per window."""
    sandbox.provider.rate = FIVE_A_MINUTE
    run_rows(sandbox, 500, terms=terms_with(rate=FIVE_A_MINUTE))
    assert most_within(sandbox.provider.submitted_at, seconds=60.0) == 5
    assert sandbox.provider.refused_at == []
    assert sandbox.loop.time() < 101 * 60.0


def test_an_undeclared_limit_is_met_twice(sandbox: Sandbox) -> None:
    """500 jobs against 5 a minute that the terms do not declare: one refusal, and one more to learn the limit from."""
    sandbox.provider.rate = FIVE_A_MINUTE
    run_rows(sandbox, 500)
    assert len(sandbox.provider.refused_at) <= 2
    accepted = [job.accepted_at for job in sandbox.provider.jobs.values()]
    assert most_within(accepted, seconds=60.0) == 5
    assert sandbox.loop.time() < 102 * 60.0


def test_a_server_that_asks_to_wait_is_left_alone(sandbox: Sandbox) -> None:
    """After each refusal nothing is submitted before the time that the server named, to the microsecond."""
    sandbox.provider.rate = Rate(3, 37.0)
    run_rows(sandbox, 60)
    arrivals = np.array(sandbox.provider.submitted_at)
    waits = sandbox.provider.waits
    assert waits
    for refused_at, until in waits:
        # What had left before the answer was here cannot be called back.
        known_at = refused_at + ROUND_TRIP
        assert not ((arrivals > known_at) & (arrivals < until - 1e-6)).any()


@pytest.mark.parametrize("most_jobs", [10, 1000])
def test_an_outage_does_not_multiply_the_calls(sandbox: Sandbox, most_jobs: int) -> None:
    """An hour without the server, and 400 jobs waiting: at most a hundred more submissions and questions than jobs."""
    sandbox.provider.run_seconds = itertools.cycle([5.0, 60.0, 20.0]).__next__
    sandbox.provider.outages = ((5.0, 3605.0),)
    run_rows(sandbox, 400, terms=terms_with(most_jobs=most_jobs))
    calls = sandbox.provider.calls
    # Without the outage there is one submission per job, and no question at all.
    assert calls["submit"] + calls["availability"] + calls["find"] <= 500
    assert sandbox.loop.time() < 3605.0 + 1.1 * 400 * (5.0 + 60.0 + 20.0) / 3 / 10


def test_a_closed_backend_is_asked_once_a_minute(sandbox: Sandbox) -> None:
    """Three windows without service, one at the start: all jobs wait and are done, with one probe a minute."""
    sandbox.provider.run_seconds = lambda: 300.0
    sandbox.provider.closures = ((0.0, 7200.0), (9000.0, 10_800.0), (12_000.0, 12_600.0))
    run_rows(sandbox, 200, terms=terms_with(most_jobs=5))
    probes = sandbox.provider.calls["availability"]
    closed_minutes = (7200 + 1800 + 600) / 60
    # While it is open it is asked, too, before what is sent a minute or more after the last answer.
    open_minutes = sandbox.loop.time() / 60 - closed_minutes
    assert 0.9 * closed_minutes <= probes <= closed_minutes + open_minutes + 6
    # At most the jobs that were let through together find out that a window began.
    assert sandbox.provider.calls["submit"] <= 200 + 3 * 5


def test_three_days_in_the_queue_are_one_job(sandbox: Sandbox) -> None:
    """A job that waits for 72 hours is bought once, asked after some 2,300 times, and seen within two minutes."""
    sandbox.provider.run_seconds = lambda: 72 * 3600.0
    run_rows(sandbox, 1)
    assert sandbox.provider.calls["submit"] == 1
    assert sandbox.provider.calls["poll"] <= 2500
    assert sandbox.loop.time() <= 72 * 3600.0 + 125.0


def test_a_refused_key_stops_the_queue(sandbox: Sandbox) -> None:
    """Of 300 waiting jobs none more is sent once the key is refused, and all calls fail with that sentence."""
    sandbox.provider.run_seconds = lambda: 50.0
    sandbox.provider.lockouts = ((100.0, 1e9),)

    async def work() -> list[BaseException]:
        engine = await opened(sandbox, remote_of(sandbox, terms=terms_with(most_jobs=4)))
        calls = [sandbox.execute(engine, 3, call=call) for call in range(100)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        return [result for result in results if isinstance(result, BaseException)]

    errors = sandbox.run(work())
    assert len(errors) > 90
    assert {type(error) for error in errors} == {CredentialsError}
    assert {str(error) for error in errors} <= {
        "the provider refused the key; check FAKE_API_KEY",
        "fake:remote refused the key; check FAKE_API_KEY",
    }
    late = [letter for letter in sandbox.provider.letters if letter.sent_at > 100.0]
    assert len(late) <= 4
    assert sandbox.loop.time() < 200.0


def latencies(sandbox: Sandbox) -> list[float]:
    """Let jobs take the 2.7 to 4.2 seconds of the published training; the list grows with them."""
    drawn: list[float] = []
    random = np.random.default_rng(3)

    def draw() -> float:
        drawn.append(float(random.uniform(2.7, 4.2)))
        return drawn[-1]

    sandbox.provider.run_seconds = draw
    return drawn


def test_dependent_steps_take_as_long_as_their_slowest_jobs(sandbox: Sandbox) -> None:
    """125 steps of two jobs: within a tenth of the sum of the slower one of each, all round trips included."""
    drawn = latencies(sandbox)

    async def work() -> float:
        engine = await opened(sandbox, remote_of(sandbox))
        started = sandbox.loop.time()
        for step in range(125):
            await sandbox.execute(engine, 2, step=step)
        return sandbox.loop.time() - started

    seconds = sandbox.run(work())
    slowest = sum(max(pair) for pair in zip(drawn[::2], drawn[1::2], strict=True))
    assert seconds <= 1.1 * slowest


def test_independent_jobs_use_the_concurrency(sandbox: Sandbox) -> None:
    """960 jobs, 10 at a time: within a tenth of what ten slots that never idle would need."""
    drawn = latencies(sandbox)
    run_rows(sandbox, 960, terms=terms_with(most_jobs=10))
    assert sandbox.loop.time() <= 1.1 * sum(drawn) / 10


def test_a_failing_device_is_not_hammered(sandbox: Sandbox) -> None:
    """A job that fails each time is tried three times; its call says so, and others of the run go on."""
    failures = itertools.chain([JobFailedError("lost", is_repeatable=True)] * 3, itertools.repeat(None))
    sandbox.provider.failures = failures.__next__

    async def work() -> None:
        engine = await opened(sandbox, remote_of(sandbox))
        with pytest.raises(JobFailedError):
            await sandbox.execute(engine, 1)
        await sandbox.execute(engine, 1, step=1)

    sandbox.run(work())
    assert [job.state for job in sandbox.store.jobs("r")] == [JobState.FAILED] * 3 + [JobState.DONE]
    assert RunPolicy().retry.max_attempts == 3
