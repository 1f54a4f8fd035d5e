"""What a mock's provider tells of jobs as time passes, and what its client waits for; on a virtual clock."""

from collections.abc import Coroutine, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pytest

from qorch.errors import BusyError, JobMissingError, UnavailableError, UnknownOutcomeError
from qorch.model.job import JobRequest, Payload, RemoteState
from qorch.model.latency import Latency
from qorch.model.profiles.profile import (
    ClosureFigures,
    FaultFigures,
    LatencyFigures,
    Profile,
    ProviderFacts,
    ShareFigure,
    TimeFigure,
)
from qorch.model.usage import PENDING_USAGE, UsageUnit, report_usage
from qorch.ports.clock import WallClock
from qorch.testing.conformance.backend import block_of, entangled_pair
from qorch.testing.virtual_time import VirtualClock, VirtualLoop, run_virtually
from qorch_providers.mock import MockBackend, open_backend, provider

T = TypeVar("T")
ALWAYS = ShareFigure(1.0)


def seconds(value: float) -> TimeFigure:
    """So many, always."""
    return TimeFigure(Latency("constant", value))


PROFILE = Profile(
    "slow",
    "every latency is another one",
    latencies=LatencyFigures(
        network=seconds(2.0), acceptance=seconds(5.0), listing=seconds(30.0), queue=seconds(100.0),
        execution=seconds(10.0), per_execution=seconds(1.0), per_shot=seconds(0.01), result=seconds(3.0),
        usage=seconds(50.0), silence=seconds(60.0), retry_after=seconds(7.0),
    ),
    facts=ProviderFacts(queue_step_seconds=10.0, usage=(UsageUnit.TASKS, UsageUnit.SHOTS)),
)  # fmt: skip
"""A job of 2 rows and 100 shots executes for 14 s."""


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    """Virtual time."""
    made = VirtualLoop()
    yield made
    made.close()


@pytest.fixture
def mock(loop: VirtualLoop) -> MockBackend:
    """A mock of the profile above."""
    backend = open_backend("braket.garnet", clock=VirtualClock(loop), workers=1)
    backend.provider.profile = PROFILE
    return backend


def payload_of(mock: MockBackend, job: int = 0) -> Payload:
    """A job of two rows."""
    gates = entangled_pair()
    block = block_of(gates, np.ones((2, gates.n_columns)), shots=100)
    return mock.encode(JobRequest(f"r/0.0.{job}", (block,)), key=f"{job:x}".ljust(64, "0"))


def run(loop: VirtualLoop, work: Coroutine[Any, Any, T]) -> tuple[T, float]:
    """What it returns, and how long it took."""
    begun = loop.time()
    return run_virtually(loop, work), loop.time() - begun


def wait(loop: VirtualLoop, mock: MockBackend, until: float) -> None:
    """Let time pass."""
    run(loop, mock.clock.sleep(until - loop.time()))


def test_a_job_goes_its_way_as_the_profile_says(loop: VirtualLoop, mock: MockBackend) -> None:
    """Accepted, queued at falling places, running, done; listed and charged later; every call takes its time."""
    name, took = run(loop, mock.submit(payload_of(mock)))
    assert took == pytest.approx(7.0)
    arrived = 1.0
    found = [(arrived + 5.0, RemoteState.QUEUED), (106.5, RemoteState.RUNNING), (121.0, RemoteState.DONE)]
    places = []
    for at, state in found:
        wait(loop, mock, max(loop.time(), at))
        statuses, took = run(loop, mock.poll([name]))
        assert took == pytest.approx(2.0)
        assert statuses[name].state is state
        places.append(statuses[name].queue_position)
    assert places == [10, None, None]
    status = statuses[name]
    assert status.started_at is not None
    assert status.ended_at is not None
    assert (status.ended_at - status.started_at).total_seconds() == pytest.approx(10.0 + 2 * 1.0 + 200 * 0.01)
    assert status.usage == PENDING_USAGE
    raw, took = run(loop, mock.fetch(name))
    assert took == pytest.approx(5.0)
    assert not mock.read(payload_of(mock).request.shape, raw).lost
    wait(loop, mock, 171.0)
    usage, _ = run(loop, mock.fetch_usage([name], since=mock.clock.now()))
    assert usage[name] == report_usage(tasks=1, shots=200)


def test_a_job_is_listed_after_a_while(loop: VirtualLoop, mock: MockBackend) -> None:
    """Until then no search finds it, though a poll does."""
    since = mock.clock.now()
    name, _ = run(loop, mock.submit(payload_of(mock)))
    key = payload_of(mock).key
    assert run(loop, mock.find([key], since=since))[0] == {}
    wait(loop, mock, 37.0)
    assert run(loop, mock.find([key], since=since))[0] == {key: name}
    assert run(loop, mock.list_keys(since=since, known=()))[0] == {key: None}


def test_a_job_that_is_cancelled_in_the_queue_never_began(loop: VirtualLoop, mock: MockBackend) -> None:
    """Whatever time passes; nothing is charged for it."""
    name, _ = run(loop, mock.submit(payload_of(mock)))
    run(loop, mock.cancel(name))
    wait(loop, mock, 500.0)
    status = run(loop, mock.poll([name]))[0][name]
    assert (status.state, status.started_at, status.usage) == (
        RemoteState.CANCELLED,
        None,
        report_usage(tasks=0, shots=0),
    )


def test_a_begin_is_told_only_by_those_who_tell_it(loop: VirtualLoop, mock: MockBackend) -> None:
    """Braket tells none."""
    mock.provider.profile = replace(PROFILE, facts=replace(PROFILE.facts, tells_start=False))
    name, _ = run(loop, mock.submit(payload_of(mock)))
    wait(loop, mock, 200.0)
    status = run(loop, mock.poll([name]))[0][name]
    assert (status.state, status.started_at) == (RemoteState.DONE, None)


@pytest.mark.parametrize(
    ("faults", "error", "took", "accepted"),
    [
        (FaultFigures(busy=ALWAYS), BusyError, 2.0, 0),
        (FaultFigures(error=ALWAYS), UnknownOutcomeError, 2.0, 0),
        (FaultFigures(lost_before=ALWAYS), UnknownOutcomeError, 61.0, 0),
        (FaultFigures(lost_after=ALWAYS), UnknownOutcomeError, 61.0, 1),
    ],
)
def test_a_fault_takes_its_time(
    loop: VirtualLoop, mock: MockBackend, faults: FaultFigures, error: type[Exception], took: float, accepted: int
) -> None:
    """A refusal comes back at once; of an answer that is lost the client learns when its patience ends."""
    mock.provider.profile = replace(PROFILE, faults=faults)
    with pytest.raises(error) as caught:
        run(loop, mock.submit(payload_of(mock)))
    assert loop.time() == pytest.approx(took)
    assert len(mock.provider.jobs) == accepted
    assert not isinstance(caught.value, BusyError) or caught.value.retry_after_seconds == 7.0


def test_a_closed_device_takes_nothing_and_starts_nothing(loop: VirtualLoop, mock: MockBackend) -> None:
    """What waits when it closes begins when it opens again; ``availability`` tells both."""
    name, _ = run(loop, mock.submit(payload_of(mock)))
    assert run(loop, mock.availability())[0].is_open
    mock.provider.profile = replace(PROFILE, closures=ClosureFigures(seconds(1e12), seconds(1e12)))
    assert not run(loop, mock.availability())[0].is_open
    with pytest.raises(UnavailableError):
        run(loop, mock.submit(payload_of(mock, 1)))
    assert list(mock.provider.jobs) == [name]


def test_mocks_on_the_real_clock_share_their_provider() -> None:
    """A run that is resumed in the same process finds its jobs; another seed, or another clock, is another provider."""
    first, again, other = (
        open_backend(f"braket.garnet,seed={seed}", clock=WallClock(), workers=1) for seed in (71, 71, 72)
    )
    loop = VirtualLoop()
    virtual = open_backend("braket.garnet,seed=71", clock=VirtualClock(loop), workers=1)
    assert first.provider is again.provider
    assert first.provider is not other.provider
    assert first.provider is not virtual.provider
    loop.close()


def test_a_provider_forgets_the_oldest_jobs_that_are_over(
    loop: VirtualLoop, mock: MockBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a process may run for long; what is not over stays."""
    names = [run(loop, mock.submit(payload_of(mock, job)))[0] for job in range(10)]
    size = mock.provider.jobs[names[0]].nbytes
    monkeypatch.setattr(provider, "MOST_KEPT_BYTES", 10 * size)
    wait(loop, mock, 200.0)
    run(loop, mock.submit(payload_of(mock, 10)))
    assert [name in mock.provider.jobs for name in names[:3]] == [False, False, True]
    assert len(mock.provider.jobs) == 9
    with pytest.raises(JobMissingError):
        run(loop, mock.fetch(names[0]))
