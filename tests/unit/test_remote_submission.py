"""The life of one job at a provider: what is written when, what is sent again, and what is left behind."""

import asyncio
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future

import numpy as np
import pytest
from simulation.harness import Sandbox

from qorch.engine.engine import Engine
from qorch.errors import (
    BusyError,
    InvalidResultError,
    JobFailedError,
    RejectedError,
    RunStoppedError,
    UnknownOutcomeError,
)
from qorch.model.identity import Position
from qorch.model.job import JobState, LostRows
from qorch.ports.backend import Capabilities
from qorch.ports.policy import OnUnknown, RetryPolicy, RunPolicy
from qorch.ports.records import AttemptRecord, JobRecord, Write
from qorch.testing.fakes.fragile_store import FragileStore
from qorch.testing.fakes.provider import Fault
from qorch.testing.fakes.remote import FREE, HOLD, PAID, FakeRemote
from qorch.testing.fakes.store import MemoryStore

RESUBMIT = dataclasses.replace(HOLD, on_unknown=OnUnknown.RESUBMIT)


class Notebook(MemoryStore):
    """A store that remembers states of jobs, from the first try on, and outcomes of attempts in order of writing."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox.clock, store_id="5a" * 16)
        self.lines: list[str] = []

    def write(self, writes: Sequence[Write]) -> "Future[None]":
        """See Store."""
        for record in writes:
            if isinstance(record, JobRecord) and (record.attempts or record.state is not JobState.RESERVED):
                self.lines.append(f"{record.job_id} {record.state}")
            if isinstance(record, AttemptRecord):
                self.lines.append(f"{record.job_id} attempt {record.ordinal} {record.outcome}")
        return super().write(writes)

    def states(self, job_id: str) -> list[str]:
        """The states of one job, in order."""
        return [line.split()[1] for line in self.lines if line.startswith(f"{job_id} ") and "attempt" not in line]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """One world with a notebook; no task may be left in it."""
    made = Sandbox()
    made.store = Notebook(made)
    yield made
    made.close()


def notebook(sandbox: Sandbox) -> Notebook:
    """What was written."""
    assert isinstance(sandbox.store, Notebook)
    return sandbox.store


def script(*faults: Fault | None) -> "list[Fault | None]":
    """What happens to one submission after the other; nothing to further ones."""
    return list(faults)


def remote_with(sandbox: Sandbox, faults: "list[Fault | None]", **settings: object) -> FakeRemote:
    """A way to the provider on which submissions meet these faults."""
    remote = sandbox.remote(**settings)
    remote.faults = lambda call: faults.pop(0) if call == "submit" and faults else None
    return remote


async def opened(sandbox: Sandbox, remote: FakeRemote, *, policy: RunPolicy | None = None) -> Engine:
    """An engine at work."""
    engine = sandbox.engine(remote, policy=policy)
    await engine.open()
    return engine


def lost(*rows: int, reason: str = "a laser", is_repeatable: bool = True) -> tuple[tuple[LostRows, ...], ...]:
    """These rows of the one block of a job failed."""
    return ((LostRows(np.array(rows), reason, is_repeatable),),)


def test_the_intent_comes_first(sandbox: Sandbox) -> None:
    """A calm job is an intent, submitted, done; its attempt is written with the intent, and ends accepted."""

    async def work() -> None:
        await sandbox.execute(await opened(sandbox, sandbox.remote()), 3)

    sandbox.run(work())
    assert notebook(sandbox).lines == [
        "r/0.0.0 intent",
        "r/0.0.0 attempt 1 intent",
        "r/0.0.0 submitted",
        "r/0.0.0 attempt 1 accepted",
        "r/0.0.0 done",
    ]


def test_a_refusal_is_written_and_the_same_key_is_sent_again(sandbox: Sandbox) -> None:
    """Busy twice, with and without a named time: the job is free in between, and keeps its key."""
    sandbox.provider.wait_seconds = lambda: 33.0

    async def work() -> None:
        remote = remote_with(sandbox, script(Fault.BUSY, Fault.LIMITED))
        await sandbox.execute(await opened(sandbox, remote), 3)

    sandbox.run(work())
    assert notebook(sandbox).states("r/0.0.0") == ["intent", "reserved"] * 2 + ["intent", "submitted", "done"]
    letters = sandbox.provider.letters
    assert len({letter.key for letter in letters}) == 1
    assert letters[2].sent_at - letters[1].sent_at == pytest.approx(33.0, abs=0.1)
    outcomes = [attempt.outcome for attempt in sandbox.store.attempts("r/0.0.0")]
    assert outcomes == ["refused", "refused", "accepted"]


def test_a_lost_answer_is_found_by_its_key(sandbox: Sandbox) -> None:
    """The provider took it: the job is unknown until the lists show it, and never sent again."""

    async def work() -> None:
        await sandbox.execute(await opened(sandbox, remote_with(sandbox, script(Fault.LOST_AFTER))), 3)

    sandbox.run(work())
    assert notebook(sandbox).states("r/0.0.0")[:3] == ["intent", "unknown", "submitted"]
    assert sandbox.provider.calls["submit"] == 1


def test_what_no_list_shows_is_held(sandbox: Sandbox) -> None:
    """Under hold the call fails after the settle time with a sentence that says what to do, and nothing is resent."""

    async def work() -> None:
        with pytest.raises(UnknownOutcomeError, match=r"may be billed.*held.*qorch recover"):
            await sandbox.execute(await opened(sandbox, remote_with(sandbox, script(Fault.LOST_BEFORE))), 3)

    sandbox.run(work())
    assert [job.state for job in sandbox.store.jobs("r")] == [JobState.UNKNOWN]
    assert sandbox.provider.calls["submit"] == 1
    assert HOLD.settle_seconds < sandbox.loop.time() < HOLD.settle_seconds + 5


def test_under_resubmit_it_is_sent_again_after_the_settle_time(sandbox: Sandbox) -> None:
    """With the same key, and no sooner."""

    async def work() -> None:
        remote = remote_with(sandbox, script(Fault.LOST_BEFORE, Fault.LOST_BEFORE), terms=RESUBMIT)
        await sandbox.execute(await opened(sandbox, remote), 3)

    sandbox.run(work())
    letters = sandbox.provider.letters
    assert len({letter.key for letter in letters}) == 1
    assert (np.diff([letter.sent_at for letter in letters]) >= RESUBMIT.settle_seconds).all()
    assert notebook(sandbox).states("r/0.0.0")[:5] == ["intent", "unknown", "reserved", "intent", "unknown"]


def test_too_many_lost_answers_are_held_whatever_the_terms(sandbox: Sandbox) -> None:
    """A network that swallows every answer is no reason to submit for ever."""
    policy = RunPolicy(retry=RetryPolicy(max_unknowns=3))

    async def work() -> None:
        remote = remote_with(sandbox, script(*[Fault.LOST_BEFORE] * 9), terms=RESUBMIT)
        with pytest.raises(UnknownOutcomeError):
            await sandbox.execute(await opened(sandbox, remote, policy=policy), 3)

    sandbox.run(work())
    assert sandbox.provider.calls["submit"] == 3


@pytest.mark.parametrize("terms", [HOLD, RESUBMIT], ids=["hold", "resubmit"])
def test_a_provider_that_cannot_be_asked_leaves_it_unknown(sandbox: Sandbox, terms: object) -> None:
    """Where no list can be read for longer than the patience lasts, nothing is resent, and nothing counts as failed."""
    sandbox.provider.outages = ((1.0, 1e6),)
    sandbox.provider.run_seconds = lambda: 1e5
    policy = RunPolicy(retry=RetryPolicy(patience_seconds=100.0, first_patience_seconds=100.0))

    async def work() -> None:
        remote = remote_with(sandbox, script(Fault.LOST_AFTER), terms=terms, hang_seconds=5.0)
        with pytest.raises(UnknownOutcomeError, match="cannot be looked for") as failure:
            await sandbox.execute(await opened(sandbox, remote, policy=policy), 3)
        assert isinstance(failure.value.__cause__, BusyError)

    sandbox.run(work())
    assert [job.state for job in sandbox.store.jobs("r")] == [JobState.UNKNOWN]
    assert sandbox.provider.calls["submit"] == 1


def test_a_rejected_job_fails_its_call_alone(sandbox: Sandbox) -> None:
    """The job is failed, and the run goes on with the next call."""

    async def work() -> None:
        engine = await opened(sandbox, remote_with(sandbox, script(Fault.REJECTED)))
        with pytest.raises(RejectedError, match=r"refused job r/0\.0\.0"):
            await sandbox.execute(engine, 3)
        await sandbox.execute(engine, 3, step=1)

    sandbox.run(work())
    assert [job.state for job in sandbox.store.jobs("r")] == [JobState.FAILED, JobState.DONE]


def test_only_lost_rows_run_again(sandbox: Sandbox) -> None:
    """Rows that failed at the provider come as a job of their own, under a new key; the others are not bought again."""
    losses = iter([lost(1, 4), lost(0)])
    sandbox.provider.losses = lambda _: next(losses, ())

    async def work() -> np.ndarray:
        result = await sandbox.execute(await opened(sandbox, sandbox.remote()), 6)
        return result.values

    values = sandbox.run(work())
    jobs = list(sandbox.provider.jobs.values())
    assert [job.request.n_rows for job in jobs] == [6, 2, 1]
    assert [job.request.blocks[0].samples.ordinals.tolist() for job in jobs] == [[0, 1, 2, 3, 4, 5], [1, 4], [1]]
    assert len({job.key for job in jobs}) == 3
    calm = Sandbox()
    assert (calm.run(execute_once(calm)) == values).all()
    calm.close()


async def execute_once(sandbox: Sandbox) -> np.ndarray:
    """The values of six rows where nothing goes wrong."""
    engine = sandbox.engine(sandbox.remote())
    await engine.open()
    return (await sandbox.execute(engine, 6)).values


def test_rows_that_would_fail_again_are_not_bought_again(sandbox: Sandbox) -> None:
    """The call fails with the provider's reason; what the job brought is stored, and no other job is sent."""
    sandbox.provider.losses = lambda _: (
        (LostRows(np.array([1]), "a laser"), LostRows(np.array([3]), "it is too deep.", is_repeatable=False)),
    )

    async def work() -> None:
        engine = await opened(sandbox, sandbox.remote())
        with pytest.raises(JobFailedError, match=r"1 of its circuits failed, and would fail again: it is too deep\. "):
            await sandbox.execute(engine, 4)

    sandbox.run(work())
    assert [job.request.n_rows for job in sandbox.provider.jobs.values()] == [4]
    (block,) = sandbox.store.blocks_at("r", Position(0, 0))
    assert block.rows.indices.tolist() == [0, 2]
    assert [job.state for job in sandbox.store.jobs("r")] == [JobState.DONE]


def test_rows_that_always_fail_fail_the_call(sandbox: Sandbox) -> None:
    """After three jobs the call says so; the rows that came are stored, and a replay buys the missing one alone."""
    sandbox.provider.losses = lambda request: lost(request.n_rows - 1)

    async def work() -> None:
        engine = await opened(sandbox, sandbox.remote())
        with pytest.raises(JobFailedError, match="failed at fake:remote in each of 3 jobs"):
            await sandbox.execute(engine, 4)
        sandbox.provider.losses = lambda _: ()
        await sandbox.execute(engine, 4, is_replayed=True)

    sandbox.run(work())
    assert [job.request.n_rows for job in sandbox.provider.jobs.values()] == [4, 1, 1, 1]


def test_rows_run_again_as_often_as_the_terms_say(sandbox: Sandbox) -> None:
    """Once: then the failure is raised with its reason; what the other rows and the repetition brought is kept."""
    losses = iter([lost(1, 2), lost(1, reason="the ion left.")])
    sandbox.provider.losses = lambda _: next(losses)
    remote = sandbox.remote(terms=dataclasses.replace(HOLD, most_repeats=1), capabilities=PAID)

    async def work() -> None:
        with pytest.raises(JobFailedError, match=r"1 rows failed at fake:remote in each of 2 jobs: the ion left\. It "):
            await sandbox.execute(await opened(sandbox, remote), 4)

    sandbox.run(work())
    assert [job.request.n_rows for job in sandbox.provider.jobs.values()] == [4, 2]
    blocks = sandbox.store.blocks_at("r", Position(0, 0))
    assert sorted(int(row) for block in blocks for row in block.rows.indices) == [0, 1, 3]
    assert [job.state for job in sandbox.store.jobs("r")] == [JobState.DONE] * 2


def test_a_repetition_that_fails_as_a_whole_does_not_count(sandbox: Sandbox) -> None:
    """The rows did not run in it: they have their one repetition in the next job."""
    losses = iter([lost(1), (), ()])
    failures = iter([None, JobFailedError("calibration", is_repeatable=True)])
    sandbox.provider.losses = lambda _: next(losses)
    sandbox.provider.failures = lambda: next(failures, None)
    remote = sandbox.remote(terms=dataclasses.replace(HOLD, most_repeats=1))

    async def work() -> None:
        await sandbox.execute(await opened(sandbox, remote), 4)

    sandbox.run(work())
    assert [job.request.n_rows for job in sandbox.provider.jobs.values()] == [4, 1, 1]


def test_a_failed_job_is_repeated_where_that_may_help(sandbox: Sandbox) -> None:
    """A failure that another try may not meet is tried again under a new key, another one is not."""
    failures = iter([JobFailedError("lost", is_repeatable=True), None, JobFailedError("too deep")])
    sandbox.provider.failures = lambda: next(failures)

    async def work() -> None:
        engine = await opened(sandbox, sandbox.remote())
        await sandbox.execute(engine, 4)
        with pytest.raises(JobFailedError, match="too deep"):
            await sandbox.execute(engine, 4, step=1)

    sandbox.run(work())
    assert [job.state for job in sandbox.store.jobs("r")] == [JobState.FAILED, JobState.DONE, JobState.FAILED]


def test_a_damaged_answer_is_fetched_again(sandbox: Sandbox) -> None:
    """What a proxy cut short may come whole the next time; it costs nothing, and no second job."""
    sandbox.provider.spoils = lambda: 2

    async def work() -> None:
        await sandbox.execute(await opened(sandbox, sandbox.remote()), 4)

    sandbox.run(work())
    assert sandbox.provider.calls["fetch"] == 3
    assert len(sandbox.provider.jobs) == 1


@pytest.mark.parametrize(
    ("capabilities", "state"), [(FREE, JobState.FAILED), (PAID, JobState.UNKNOWN)], ids=["free", "paid"]
)
def test_an_answer_that_stays_damaged_is_kept(sandbox: Sandbox, capabilities: Capabilities, state: JobState) -> None:
    """After three times a free job is failed, a paid one held, and what came is in quarantine."""
    sandbox.provider.spoils = lambda: 99

    async def work() -> None:
        with pytest.raises(InvalidResultError, match="damaged"):
            await sandbox.execute(await opened(sandbox, sandbox.remote(capabilities=capabilities)), 4)

    sandbox.run(work())
    kept = sandbox.store.raw_result("r/0.0.0")
    assert kept is not None
    assert kept.is_quarantined
    assert kept.content
    assert [job.state for job in sandbox.store.jobs("r")] == [state]


@pytest.mark.parametrize("capabilities", [FREE, PAID], ids=["free", "paid"])
def test_paid_answers_are_kept_verbatim(sandbox: Sandbox, capabilities: Capabilities) -> None:
    """What was paid for is stored as it came; what was free is not."""

    async def work() -> None:
        await sandbox.execute(await opened(sandbox, sandbox.remote(capabilities=capabilities)), 4)

    sandbox.run(work())
    kept = sandbox.store.raw_result("r/0.0.0")
    assert (kept is not None and not kept.is_quarantined) is capabilities.charges


def test_a_cancelled_call_writes_down_what_was_accepted(sandbox: Sandbox) -> None:
    """An answer that comes within the grace is not lost, though its caller has gone; the next life adopts the job."""
    sandbox.provider.run_seconds = lambda: 500.0

    async def work() -> None:
        engine = await opened(sandbox, sandbox.remote(round_trip_seconds=1.0))
        task = asyncio.create_task(sandbox.execute(engine, 4))
        await asyncio.sleep(1.7)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await engine.close()
        assert [job.state for job in sandbox.store.jobs("r")] == [JobState.SUBMITTED]
        again = await opened(sandbox, sandbox.remote())
        await sandbox.execute(again, 4, is_replayed=True)

    sandbox.run(work())
    assert len(sandbox.provider.jobs) == 1


@pytest.mark.parametrize(
    ("fault", "state"),
    [(Fault.BUSY, JobState.CANCELLED), (Fault.LOST_AFTER, JobState.INTENT)],
)
def test_a_cancelled_call_knows_what_was_not_accepted(sandbox: Sandbox, fault: Fault, state: JobState) -> None:
    """A refusal within the grace cancels the job; no answer leaves its intent, to be looked for."""

    async def work() -> None:
        engine = await opened(sandbox, remote_with(sandbox, script(fault), round_trip_seconds=1.0))
        task = asyncio.create_task(sandbox.execute(engine, 4))
        await asyncio.sleep(1.7)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await engine.close()

    sandbox.run(work())
    assert [job.state for job in sandbox.store.jobs("r")] == [state]


def test_cancelled_calls_leave_no_place_taken(sandbox: Sandbox) -> None:
    """Calls that are cancelled at any moment do not use up the jobs that may be in progress."""
    sandbox.provider.run_seconds = lambda: 50.0
    terms = dataclasses.replace(RESUBMIT, most_jobs=2)

    async def work() -> None:
        engine = await opened(sandbox, sandbox.remote(terms=terms, round_trip_seconds=1.0))
        for number in range(40):
            task = asyncio.create_task(sandbox.execute(engine, 4, step=number))
            await asyncio.sleep(0.1 * number)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await asyncio.wait_for(sandbox.execute(engine, 4, step=99), 60.0)

    sandbox.run(work())


def test_a_stopped_engine_says_so(sandbox: Sandbox) -> None:
    """Calls in progress end, later ones are refused, and the job is there to be adopted."""
    sandbox.provider.run_seconds = lambda: 500.0

    async def work() -> None:
        engine = await opened(sandbox, sandbox.remote())
        task = asyncio.create_task(sandbox.execute(engine, 4))
        await asyncio.sleep(5.0)
        await engine.stop()
        with pytest.raises(RunStoppedError):
            await task
        with pytest.raises(RunStoppedError, match="resume"):
            await sandbox.execute(engine, 4, step=1)

    sandbox.run(work())
    assert [job.state for job in sandbox.store.open_jobs("r")] == [JobState.SUBMITTED]


def test_one_failure_stops_its_call_and_keeps_the_rest(sandbox: Sandbox) -> None:
    """Of a call with many jobs the first failure is raised; what the others had bought is adopted, not bought again."""
    failures = iter([None, JobFailedError("too deep")])
    sandbox.provider.failures = lambda: next(failures, None)
    sandbox.provider.run_seconds = lambda: 20.0

    async def work() -> None:
        engine = await opened(sandbox, sandbox.remote(rows_in_job=1))
        with pytest.raises(JobFailedError):
            await sandbox.execute(engine, 5)
        await engine.close()
        again = await opened(sandbox, sandbox.remote(rows_in_job=1))
        await sandbox.execute(again, 5, is_replayed=True)

    sandbox.run(work())
    rows = [
        int(job.request.blocks[0].samples.ordinals[0]) for job in sandbox.provider.jobs.values() if job.failure is None
    ]
    assert sorted(rows) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("seconds", np.arange(0.0, 0.14, 0.01).round(3))
def test_a_call_that_ends_around_a_refusal_leaves_no_doubt(seconds: float) -> None:
    """Whenever it is cancelled, before, at or after the refusal, its job is provably not at the provider."""
    sandbox = Sandbox()
    sandbox.store = FragileStore(sandbox.clock, SlowDisk(sandbox.loop))

    async def work() -> None:
        engine = await opened(sandbox, remote_with(sandbox, script(*[Fault.BUSY] * 9)))
        task = asyncio.create_task(sandbox.execute(engine, 4))
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await engine.close()

    sandbox.run(work())
    sandbox.close()
    assert {job.state for job in sandbox.store.jobs("r")} <= {JobState.CANCELLED}


class SlowDisk:
    """Makes writes durable after a while."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def delay(self) -> float:
        """See Sync."""
        return 0.02

    def call_later(self, seconds: float, function: Callable[[], None]) -> object:
        """See Sync."""
        return self._loop.call_later(seconds, function)
