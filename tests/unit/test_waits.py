"""Queue and execution of jobs whose provider tells no begin: split by polls, with a resolution that holds."""

import asyncio
import dataclasses
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation.harness import Sandbox

from qorch.engine.engine import Engine
from qorch.engine.remote.waits import Acceptance, Sightings, split_wait
from qorch.errors import JobFailedError
from qorch.model.job import JobStatus, RemoteState
from qorch.model.timing import Phase, Span, TimeSource
from qorch.ports.policy import PollPolicy, RunPolicy
from qorch.testing.fakes.provider import Fault
from qorch.testing.fakes.remote import FakeRemote

WAITS = (Phase.QUEUE, Phase.EXECUTE, Phase.REMOTE, Phase.POLL)
ROUND_TRIP = 0.01


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """One world whose only job waits for 30 s, runs for 20 s, and is dated by a clock that is ten minutes fast."""
    made = Sandbox()
    have_job(made, queue=30.0, run=20.0)
    made.provider.clock_error = lambda _: 600.0
    yield made
    made.close()


def have_job(sandbox: Sandbox, *, queue: float, run: float) -> None:
    """Let every job be queued, and run, for so many seconds."""
    sandbox.provider.queue_seconds = lambda: queue
    sandbox.provider.run_seconds = lambda: queue + run


def every(seconds: float) -> RunPolicy:
    """A job is asked after again after so many seconds."""
    return RunPolicy(poll=PollPolicy(share=0.0, shortest_seconds=seconds, longest_seconds=seconds))


def wait_of(
    sandbox: Sandbox, *, policy: RunPolicy | None = None, remote: FakeRemote | None = None
) -> dict[Phase, Span]:
    """The spans of the only job's time at the provider, by phase, after one call."""
    engine = sandbox.engine(remote or sandbox.remote(), policy=policy)

    async def work() -> None:
        await engine.open()
        await sandbox.execute(engine, 4)

    sandbox.run(work())
    return spans_of(engine)


def spans_of(engine: Engine) -> dict[Phase, Span]:
    """What an engine recorded of a job's time at the provider, by phase; each phase once, and without a gap."""
    spans = [span for span in engine._recorder.drain() if span.phase in WAITS and span.job_id is not None]
    assert [span.started_ns for span in spans[1:]] == [span.ended_ns for span in spans[:-1]]
    assert all(span.started_ns <= span.ended_ns for span in spans)
    assert len({span.phase for span in spans}) == len(spans)
    return {span.phase: span for span in spans}


def errors_of(sandbox: Sandbox, spans: dict[Phase, Span]) -> list[float]:
    """By how much queue and execution differ from the provider's truth, as shares of their resolution."""
    [job] = sandbox.provider.jobs.values()
    assert job.started_at is not None
    truth = {Phase.QUEUE: job.started_at - job.submitted_at, Phase.EXECUTE: job.done_at - job.started_at}
    errors = []
    for phase, seconds in truth.items():
        span = spans[phase]
        assert span.source is TimeSource.POLLS
        assert span.resolution_seconds is not None
        # Dates have microseconds.
        errors.append(max(0.0, abs(span.seconds - seconds) - 2e-6) / span.resolution_seconds)
    return errors


@pytest.mark.parametrize("interval", [0.05, 1.0, 7.0, 16.0])
def test_the_begin_is_known_as_exactly_as_polls_are_near(sandbox: Sandbox, interval: float) -> None:
    """Both phases are within half an interval, and a round trip, of the truth; their sum is what the provider dates."""
    spans = wait_of(sandbox, policy=every(interval))
    assert max(errors_of(sandbox, spans)) <= 1.0
    resolution = spans[Phase.QUEUE].resolution_seconds
    assert resolution == spans[Phase.EXECUTE].resolution_seconds
    assert resolution == pytest.approx(interval / 2, abs=2 * ROUND_TRIP)
    assert spans[Phase.QUEUE].seconds + spans[Phase.EXECUTE].seconds == pytest.approx(50.0, abs=2e-6)
    assert spans[Phase.POLL].seconds <= interval + 2 * ROUND_TRIP
    assert spans[Phase.POLL].source is TimeSource.PROVIDER


def test_polls_of_the_usual_policy(sandbox: Sandbox) -> None:
    """Questions become rarer with a job's age, and the resolution is that of the two around its begin."""
    spans = wait_of(sandbox)
    assert max(errors_of(sandbox, spans)) <= 1.0
    resolution = spans[Phase.QUEUE].resolution_seconds
    assert resolution is not None
    assert resolution == pytest.approx(30.0 * PollPolicy().share / 2, rel=0.2)


def test_a_job_that_is_over_between_two_polls(sandbox: Sandbox) -> None:
    """Execution was somewhere after the last sight in the queue, and no longer than the provider's dates leave room."""
    have_job(sandbox, queue=61.0, run=5.0)
    spans = wait_of(sandbox, policy=every(60.0))
    assert max(errors_of(sandbox, spans)) <= 1.0
    assert spans[Phase.QUEUE].seconds == pytest.approx(63.0, abs=2 * ROUND_TRIP)
    assert spans[Phase.EXECUTE].resolution_seconds == pytest.approx(3.0, abs=2 * ROUND_TRIP)


def test_a_provider_that_dates_nothing(sandbox: Sandbox) -> None:
    """The end is doubted as well: a job may have been over since it was last seen not to be."""
    sandbox.provider.clock_error = None
    spans = wait_of(sandbox, policy=every(8.0))
    assert max(errors_of(sandbox, spans)) <= 1.0
    assert spans.keys() == {Phase.QUEUE, Phase.EXECUTE}
    assert spans[Phase.EXECUTE].resolution_seconds == pytest.approx(12.0, abs=4 * ROUND_TRIP)


def test_a_job_that_was_never_seen_before_its_end_is_not_split(sandbox: Sandbox) -> None:
    """Nothing tells its queue from its execution: all of the time is at the provider, as it was reported before."""
    spans = wait_of(sandbox, policy=every(100.0))
    assert spans.keys() == {Phase.REMOTE}
    assert (spans[Phase.REMOTE].resolution_ns, spans[Phase.REMOTE].source) == (None, None)


@pytest.mark.parametrize(
    "error",
    [lambda _: -600.0, lambda _: 86_400.0, lambda at: -600.0 if at > 25.0 else 0.0, lambda at: 600.0 * (at > 40.0)],
    ids=["slow", "a day fast", "set back", "set forward"],
)
def test_a_clock_that_is_wrong_does_no_harm(sandbox: Sandbox, error: Callable[[float], float]) -> None:
    """Only differences of the provider's times count, and only if the polls do not disprove them."""
    sandbox.provider.clock_error = error
    assert max(errors_of(sandbox, wait_of(sandbox, policy=every(3.0)))) <= 1.0


def test_an_outage_makes_the_resolution_worse(sandbox: Sandbox) -> None:
    """Between the last answer before it and the first after it anything may have happened."""
    sandbox.provider.outages = [(26.0, 40.0)]
    spans = wait_of(sandbox, policy=every(1.0))
    assert max(errors_of(sandbox, spans)) <= 1.0
    resolution = spans[Phase.QUEUE].resolution_seconds
    assert resolution is not None
    assert resolution >= 7.0


def test_a_job_that_was_found_late(sandbox: Sandbox) -> None:
    """If the submission was not answered, the time until the job was found is part of the doubt."""
    faults = iter([Fault.LOST_AFTER])
    remote = sandbox.remote(faults=lambda call: next(faults, None) if call == "submit" else None, hang_seconds=10.0)
    spans = wait_of(sandbox, policy=every(1.0), remote=remote)
    assert max(errors_of(sandbox, spans)) <= 1.0
    resolution = spans[Phase.QUEUE].resolution_seconds
    assert resolution is not None
    assert resolution >= 5.0


def test_a_job_without_a_result_is_not_split(sandbox: Sandbox) -> None:
    """It may have failed, or have been cancelled, without having run."""
    sandbox.provider.failures = lambda: JobFailedError("broken")
    engine = sandbox.engine(sandbox.remote(), policy=every(1.0))

    async def work() -> None:
        await engine.open()
        with pytest.raises(JobFailedError):
            await sandbox.execute(engine, 4)

    sandbox.run(work())
    assert spans_of(engine).keys() == {Phase.REMOTE}


def test_a_job_of_an_earlier_process_is_not_split(sandbox: Sandbox) -> None:
    """This process saw only the end of its wait, which stays with the call, at the provider."""
    remote = sandbox.remote()

    async def first(engine: Engine) -> None:
        await engine.open()
        call = asyncio.create_task(sandbox.execute(engine, 4))
        await asyncio.sleep(10.0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

    async def second(engine: Engine) -> None:
        await engine.open()
        await sandbox.execute(engine, 4, is_replayed=True)

    sandbox.run(first(sandbox.engine(remote, policy=every(1.0))))
    again = sandbox.engine(remote, policy=every(1.0))
    sandbox.run(second(again))
    waits = [span for span in again._recorder.drain() if span.phase in WAITS]
    assert {(span.phase, span.job_id) for span in waits} == {(Phase.REMOTE, None)}
    assert sum(span.seconds for span in waits) == pytest.approx(40.0, abs=2.0)
    assert len(sandbox.provider.jobs) == 1


def test_times_of_the_provider_come_first(sandbox: Sandbox) -> None:
    """If it tells the begin, the phases are what they always were, whatever the polls saw."""
    remote = sandbox.remote()
    original = remote._status

    def status(job: object) -> JobStatus:
        told = original(job)  # type: ignore[arg-type]
        [known] = sandbox.provider.jobs.values()
        started_at = None if known.started_at is None else sandbox.provider.date(known.started_at)
        return dataclasses.replace(told, started_at=started_at)

    remote._status = status  # type: ignore[method-assign]
    spans = wait_of(sandbox, policy=every(7.0), remote=remote)
    assert spans[Phase.QUEUE].seconds == pytest.approx(30.0, abs=2e-6)
    assert spans[Phase.EXECUTE].seconds == pytest.approx(20.0, abs=2e-6)
    assert {span.source for span in spans.values()} == {TimeSource.PROVIDER}
    assert (spans[Phase.QUEUE].resolution_ns, spans[Phase.EXECUTE].resolution_ns) == (None, None)
    # When it ended by the clock of this machine is known to half a round trip.
    assert spans[Phase.POLL].resolution_seconds == pytest.approx(ROUND_TRIP / 2, abs=1e-3)


def test_a_list_that_lags_behind_does_not_move_the_begin() -> None:
    """A job that was seen running is not queued any more, whatever a later answer says."""
    seen = Sightings()
    for second, state in ((1, RemoteState.QUEUED), (2, RemoteState.RUNNING), (3, RemoteState.QUEUED)):
        seen.note(JobStatus(state), asked_ns=second * 10**9, answered_ns=second * 10**9 + 1)
    assert (seen.queued_ns, seen.running_ns, seen.open_ns) == (10**9, 2 * 10**9 + 1, 3 * 10**9)


def test_an_unknown_submission_is_not_split() -> None:
    """If it is not known since when the provider may have the job, nothing bounds its time in the queue."""
    seen = Sightings(queued_ns=5, open_ns=5)
    [span] = split_wait(JobStatus(RemoteState.DONE), seen, acceptance=Acceptance(None, 3), over_ns=9)
    assert (span.phase, span.started_ns, span.ended_ns) == (Phase.REMOTE, 3, 9)


SECONDS = st.floats(0.0, 100.0)


@settings(deadline=None, max_examples=40)
@given(SECONDS, SECONDS, st.floats(0.5, 60.0), st.floats(0.002, 20.0), st.floats(0.0, 20.0), st.booleans())
def test_the_truth_is_always_within_the_resolution(
    queue: float, run: float, interval: float, round_trip: float, accept: float, is_dated: bool
) -> None:
    """Whatever a job takes, however slowly the provider answers and however seldom it is asked."""
    sandbox = Sandbox()
    have_job(sandbox, queue=queue, run=run)
    sandbox.provider.accept_seconds = lambda: accept
    sandbox.provider.clock_error = (lambda _: -3600.0) if is_dated else None
    spans = wait_of(sandbox, policy=every(interval), remote=sandbox.remote(round_trip_seconds=round_trip))
    if spans.keys() != {Phase.REMOTE}:
        assert max(errors_of(sandbox, spans)) <= 1.0
    sandbox.close()
