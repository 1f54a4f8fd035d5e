"""Mocks on a virtual clock: days of queues, closures and faults in a second, and the same ones for the same seed."""

import dataclasses
import itertools
from collections.abc import Iterator

import pytest
from simulation.harness import Sandbox

from qorch.model.job import JobState
from qorch.model.latency import Latency
from qorch.model.profiles.draws import end_of_closure
from qorch.model.profiles.profile import LatencyFigures, TimeFigure
from qorch_providers.mock import MockBackend, open_backend

HOUR = 3_600.0


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """One world; no task may be left in it."""
    made = Sandbox()
    yield made
    made.close()


def mock_in(sandbox: Sandbox, options: str = "ionq.qpu.forte-1,rows=4") -> MockBackend:
    """A mock with a provider of its own, on the sandbox's clock."""
    return open_backend(options, clock=sandbox.clock, workers=1)


def run_steps(sandbox: Sandbox, mock: MockBackend, *, steps: int, rows: int, run_id: str = "r") -> list[float]:
    """Steps of so many rows on a mock; all the values."""

    async def work() -> list[float]:
        engine = sandbox.engine(mock, run_id=run_id)  # type: ignore[arg-type]
        await engine.open()
        values: list[float] = []
        for step in range(steps):
            result = await sandbox.execute(engine, rows, step=step, run_id=run_id)
            values += result.values.ravel().tolist()
        return values

    return sandbox.run(work())


def history_of(mock: MockBackend) -> list[tuple[object, ...]]:
    """All that happened at the provider, without ids."""
    jobs = mock.provider.jobs.values()
    return [(job.subject, job.accepted_at, job.started_at, job.ended_at, job.drawn.fails) for job in jobs]


def test_three_days_in_the_queue_take_no_time(sandbox: Sandbox) -> None:
    """A job that waits for 72 hours is done, was submitted once, and is polled ever more seldom."""
    mock = mock_in(sandbox)
    queue = TimeFigure(Latency("constant", 72 * HOUR))
    mock.provider.profile = dataclasses.replace(mock.profile, latencies=LatencyFigures(queue=queue), closures=None)
    run_steps(sandbox, mock, steps=1, rows=4)
    assert [job.state for job in sandbox.store.jobs("r")] == [JobState.DONE]
    assert 72 * HOUR <= sandbox.loop.time() < 73 * HOUR
    assert mock.calls["submit"] == 1
    assert mock.calls["poll"] < 4_000


def test_two_worlds_with_one_seed_are_one(sandbox: Sandbox) -> None:
    """Times, faults and results are the same for runs of other names, and others for another seed of the mock."""
    worlds = []
    for run_id, seed in (("r", 5), ("another", 5), ("third", 6)):
        world = Sandbox()
        mock = mock_in(world, f"ionq.qpu.forte-1,rows=2,seed={seed}")
        values = run_steps(world, mock, steps=3, rows=12, run_id=run_id)
        worlds.append((history_of(mock), dict(mock.calls), world.loop.time(), values))
        world.close()
    assert worlds[0] == worlds[1]
    assert worlds[0][0] != worlds[2][0]
    assert worlds[0][3] == worlds[2][3], "what is drawn of times changes no result"


def test_jobs_run_one_by_one_and_never_in_a_closure(sandbox: Sandbox) -> None:
    """The device has one job at a time, and begins none, and takes none, while it is calibrated."""
    mock = mock_in(sandbox, "ionq.qpu.forte-1,rows=1,seed=3")
    run_steps(sandbox, mock, steps=2, rows=30)
    jobs = sorted(mock.provider.jobs.values(), key=lambda job: job.started_at)
    assert len(jobs) >= 60
    assert all(first.ended_at <= second.started_at for first, second in itertools.pairwise(jobs))
    closures, arrivals = mock.profile.closures, [job.accepted_at - job.drawn.acceptance_seconds for job in jobs]
    for at in (*arrivals, *(job.started_at for job in jobs)):
        assert end_of_closure(closures, 3, at) == at
