"""What becomes of jobs that an earlier life left behind: each state, found or not, held or not."""

import asyncio
import dataclasses
import datetime
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import pytest
from simulation.harness import Sandbox, pub_of

from qorch import recovery
from qorch.config import read_config
from qorch.engine.engine import Engine
from qorch.engine.submission import Submission
from qorch.errors import BusyError, HeldResultError, JobFailedError, UnknownOutcomeError, UsageError
from qorch.model.identity import Position, idempotency_key, job_id_of, stream_of
from qorch.model.job import JobRequest, JobState, LostRows
from qorch.model.pub import as_batch
from qorch.model.result import Source
from qorch.planning.lowering import lower
from qorch.planning.packing import pack, unexecuted
from qorch.ports.clock import WallClock
from qorch.ports.policy import CachePolicy, OnUnknown, RetryPolicy, RunPolicy
from qorch.ports.records import AttemptRecord, JobPlan, JobRecord, RunRecord
from qorch.recovery import cancel_jobs, release_job
from qorch.testing.fakes.provider import Fault, Letter
from qorch.testing.fakes.remote import FREE, HOLD, PAID, FakeRemote
from qorch.testing.fakes.store import MemoryStore

RESUBMIT = dataclasses.replace(HOLD, on_unknown=OnUnknown.RESUBMIT)
HERE = Position(0, 0)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """One world; no task may be left in it."""
    made = Sandbox()
    yield made
    made.close()


def left_behind(sandbox: Sandbox, remote: FakeRemote, state: JobState, *, is_accepted: bool) -> None:
    """The first job of a call of four rows, as a life that ended in this state left it."""
    now = sandbox.clock.now()
    lowered = lower(as_batch(pub_of(4)), default_shots=None)
    missing = [unexecuted(0, lowered.groups[0], stream=stream_of(1, HERE))]
    (planned,) = pack(lowered.groups, missing, capabilities=FREE, rows_per_job=lambda *_: 8)
    contexts = (remote.context(lowered.groups[0].gates),)
    submission = Submission("r", HERE, 0, planned, lowered.groups, contexts)
    job_id = job_id_of("r", HERE, 0)
    key = idempotency_key(sandbox.store.store_id, job_id, epoch=0)
    provider_id = accept(sandbox, submission.request, key) if is_accepted else None
    is_known = state is JobState.SUBMITTED
    record = dataclasses.replace(
        submission.record(state, changed_at=now), attempts=1, provider_id=provider_id or "gone" if is_known else None
    )
    attempt = AttemptRecord(job_id, 1, key, now)
    sandbox.store.write([RunRecord("r", "r", remote.name, 1, "resume", now), record, attempt, submission.plan])


def accept(sandbox: Sandbox, request: JobRequest, key: str) -> str:
    """Let the provider have it."""
    now = sandbox.loop.time()
    sandbox.provider.post(Letter(key, request, now, now, None, ""))
    return next(iter(sandbox.provider.jobs))


async def resumed(sandbox: Sandbox, remote: FakeRemote, *, policy: RunPolicy | None = None) -> Engine:
    """The next life."""
    engine = sandbox.engine(remote, policy=policy)
    await engine.open()
    return engine


def states(sandbox: Sandbox) -> list[JobState]:
    """Of the run's jobs, oldest first."""
    return [job.state for job in sandbox.store.jobs("r")]


@pytest.mark.parametrize("terms", [HOLD, RESUBMIT], ids=["hold", "resubmit"])
@pytest.mark.parametrize("state", [JobState.INTENT, JobState.UNKNOWN, JobState.SUBMITTED])
def test_what_was_accepted_is_adopted(sandbox: Sandbox, state: JobState, terms: object) -> None:
    """Found by its key, or known by its id: fetched, stored, and replayed; nothing is bought."""
    remote = sandbox.remote(terms=terms)
    left_behind(sandbox, remote, state, is_accepted=True)

    async def work() -> np.ndarray:
        result = await sandbox.execute(await resumed(sandbox, remote), 4, is_replayed=True)
        return result.sources

    assert set(sandbox.run(work())) == {Source.RESUMED}
    assert sandbox.provider.calls["submit"] == 0
    assert states(sandbox) == [JobState.DONE]


@pytest.mark.parametrize("state", [JobState.INTENT, JobState.UNKNOWN])
def test_what_is_not_found_is_held(sandbox: Sandbox, state: JobState) -> None:
    """Its call fails after the settle time, and only its call; once the lists show it, it is adopted."""
    remote = sandbox.remote()
    sandbox.provider.list_seconds = iter([5000.0, 0.0]).__next__
    left_behind(sandbox, remote, state, is_accepted=True)

    async def work() -> None:
        engine = await resumed(sandbox, remote)
        await sandbox.execute(engine, 2, step=1, is_replayed=True)
        with pytest.raises(UnknownOutcomeError, match="held"):
            await sandbox.execute(engine, 4, is_replayed=True)
        await engine.close()
        assert states(sandbox)[0] is JobState.UNKNOWN
        await asyncio.sleep(5000.0)
        await sandbox.execute(await resumed(sandbox, remote), 4, is_replayed=True)

    sandbox.run(work())
    assert sandbox.provider.calls["submit"] == 1
    assert states(sandbox) == [JobState.DONE, JobState.DONE]


@pytest.mark.parametrize("state", [JobState.INTENT, JobState.UNKNOWN])
def test_under_resubmit_its_rows_are_bought_anew(sandbox: Sandbox, state: JobState) -> None:
    """After the settle time, as another job with another key; what was lost is cancelled."""
    remote = sandbox.remote(terms=RESUBMIT)
    left_behind(sandbox, remote, state, is_accepted=False)

    async def work() -> None:
        await sandbox.execute(await resumed(sandbox, remote), 4, is_replayed=True)

    sandbox.run(work())
    (letter,) = sandbox.provider.letters
    assert letter.sent_at >= RESUBMIT.settle_seconds
    assert letter.request.job_id == "r/0.0.1"
    assert states(sandbox) == [JobState.CANCELLED, JobState.DONE]


def test_what_was_never_sent_is_dropped(sandbox: Sandbox) -> None:
    """A reserved job is provably unsent: it is not looked for, and its rows are bought at once."""
    remote = sandbox.remote()
    left_behind(sandbox, remote, JobState.RESERVED, is_accepted=False)

    async def work() -> None:
        await sandbox.execute(await resumed(sandbox, remote), 4, is_replayed=True)

    sandbox.run(work())
    assert sandbox.provider.calls["find"] == 0
    assert states(sandbox) == [JobState.CANCELLED, JobState.DONE]


@pytest.mark.parametrize("terms", [HOLD, RESUBMIT], ids=["hold", "resubmit"])
def test_a_job_that_the_provider_has_forgotten(sandbox: Sandbox, terms: object) -> None:
    """It was accepted, and no list shows it: held as unknown, or written off and bought again, as the terms say."""
    remote = sandbox.remote(terms=terms)
    left_behind(sandbox, remote, JobState.SUBMITTED, is_accepted=False)

    async def work() -> None:
        engine = await resumed(sandbox, remote)
        if terms is HOLD:
            with pytest.raises(UnknownOutcomeError, match="does not know job gone"):
                await sandbox.execute(engine, 4, is_replayed=True)
        else:
            await sandbox.execute(engine, 4, is_replayed=True)

    sandbox.run(work())
    expected = [JobState.UNKNOWN] if terms is HOLD else [JobState.FAILED, JobState.DONE]
    assert states(sandbox) == expected


@pytest.mark.parametrize("terms", [HOLD, RESUBMIT], ids=["hold", "resubmit"])
@pytest.mark.parametrize("lapse_seconds", [20.0, 50.0])
def test_a_finished_job_that_cannot_be_found_for_a_while(sandbox: Sandbox, terms: object, lapse_seconds: float) -> None:
    """Within the settle time it is asked for again; after it the job is held, or bought again, as the terms say."""
    remote = sandbox.remote(terms=terms)
    sandbox.provider.lapses = ((0.0, lapse_seconds),)
    is_short = lapse_seconds < HOLD.settle_seconds

    async def work() -> None:
        engine = await resumed(sandbox, remote)
        if is_short or terms is RESUBMIT:
            await sandbox.execute(engine, 4)
            return
        with pytest.raises(UnknownOutcomeError, match="does not know job job-1"):
            await sandbox.execute(engine, 4)
        assert states(sandbox) == [JobState.UNKNOWN]
        await engine.close()
        await asyncio.sleep(lapse_seconds)
        await sandbox.execute(await resumed(sandbox, remote), 4, is_replayed=True)

    sandbox.run(work())
    if terms is HOLD or is_short:
        assert states(sandbox) == [JobState.DONE]
        assert len(sandbox.provider.jobs) == 1
    else:
        assert states(sandbox)[-1] is JobState.DONE


def test_a_job_under_another_key_is_not_taken(sandbox: Sandbox) -> None:
    """A person named the wrong id: the job stays held, without that id, and nothing of the other is believed."""
    remote = sandbox.remote()
    left_behind(sandbox, remote, JobState.SUBMITTED, is_accepted=True)
    next(iter(sandbox.provider.jobs.values())).key = "another"

    async def work() -> None:
        with pytest.raises(UnknownOutcomeError, match="under another key"):
            await sandbox.execute(await resumed(sandbox, remote), 4, is_replayed=True)

    sandbox.run(work())
    (job,) = sandbox.store.jobs("r")
    assert (job.state, job.provider_id) == (JobState.UNKNOWN, None)


@pytest.mark.parametrize("is_repeatable", [True, False])
def test_a_job_that_failed_meanwhile_is_bought_again(sandbox: Sandbox, is_repeatable: bool) -> None:
    """Its owner resumed the run: the failure is written down, and its rows run as another job."""
    failures = iter([JobFailedError("lost", is_repeatable=is_repeatable)])
    sandbox.provider.failures = lambda: next(failures, None)
    remote = sandbox.remote()
    left_behind(sandbox, remote, JobState.SUBMITTED, is_accepted=True)

    async def work() -> None:
        await sandbox.execute(await resumed(sandbox, remote), 4, is_replayed=True)

    sandbox.run(work())
    assert states(sandbox) == [JobState.FAILED, JobState.DONE]


@pytest.mark.parametrize("times", [4, 99])
def test_an_answer_to_a_paid_job_is_fetched_again(sandbox: Sandbox, times: int) -> None:
    """What could not be read is never bought anew: each life asks for it again, until it comes whole."""
    remote = sandbox.remote(capabilities=PAID)
    sandbox.provider.spoils = lambda: times
    is_readable = times < 6

    async def work() -> None:
        engine = await resumed(sandbox, remote)
        with pytest.raises(HeldResultError, match="recover") as caught:
            await sandbox.execute(engine, 4)
        assert isinstance(caught.value, UnknownOutcomeError)  # which the command line ends with 4 for
        await engine.close()
        assert states(sandbox) == [JobState.UNKNOWN]
        with nullcontext() if is_readable else pytest.raises(UnknownOutcomeError, match="damaged"):
            await sandbox.execute(await resumed(sandbox, remote), 4, is_replayed=True)

    sandbox.run(work())
    assert states(sandbox) == [JobState.DONE if is_readable else JobState.UNKNOWN]
    assert sandbox.provider.calls["submit"] == 1
    kept = sandbox.store.raw_result("r/0.0.0")
    assert kept is not None
    assert kept.is_quarantined is not is_readable


def test_lost_rows_of_an_adopted_job_are_bought_alone(sandbox: Sandbox) -> None:
    """What the job brought is kept; the row that failed runs again."""
    losses = iter([((LostRows(np.array([2])),),)])
    sandbox.provider.losses = lambda _: next(losses, ())
    remote = sandbox.remote()
    left_behind(sandbox, remote, JobState.INTENT, is_accepted=True)

    async def work() -> np.ndarray:
        return (await sandbox.execute(await resumed(sandbox, remote), 4, is_replayed=True)).sources

    assert sandbox.run(work()).tolist() == [Source.RESUMED, Source.RESUMED, Source.EXECUTED, Source.RESUMED]
    assert [job.request.n_rows for job in sandbox.provider.jobs.values()] == [4, 1]


def test_without_a_cache_a_replay_buys_under_new_keys(sandbox: Sandbox) -> None:
    """A key stands for one piece of work: asking for the same rows again submits another."""
    policy = RunPolicy(cache=CachePolicy.OFF)

    async def work() -> None:
        for is_replayed in (False, True):
            engine = await resumed(sandbox, sandbox.remote(), policy=policy)
            await sandbox.execute(engine, 4, is_replayed=is_replayed)
            await engine.close()

    sandbox.run(work())
    assert len({job.key for job in sandbox.provider.jobs.values()}) == 2
    assert states(sandbox) == [JobState.DONE, JobState.DONE]


def test_a_provider_that_is_down_is_waited_for(sandbox: Sandbox) -> None:
    """A run that is resumed during an outage goes on after it, and stops with its class where patience ends first."""
    sandbox.provider.outages = ((1.0, 50.0), (1000.0, 1e6))
    remote = sandbox.remote()
    left_behind(sandbox, remote, JobState.SUBMITTED, is_accepted=True)
    sandbox.provider.jobs["job-1"].done_at = 2000.0
    policy = RunPolicy(retry=RetryPolicy(patience_seconds=500.0))

    async def work() -> None:
        engine = await resumed(sandbox, remote, policy=policy)
        with pytest.raises(BusyError):
            await sandbox.execute(engine, 4, is_replayed=True)

    sandbox.run(work())
    assert 1500.0 < sandbox.loop.time() < 1700.0
    assert states(sandbox) == [JobState.SUBMITTED]


def test_a_plan_that_is_gone_is_held(sandbox: Sandbox) -> None:
    """A job of another version whose rows are not recorded stays as it is."""
    remote = sandbox.remote()
    now = sandbox.clock.now()
    run = RunRecord("r", "r", remote.name, 1, "resume", now)
    sandbox.store.write([run, JobRecord("r/0.0.0", "r", HERE, JobState.SUBMITTED, 4, 20, now, "job-1", 1)])

    async def work() -> None:
        with pytest.raises(UnknownOutcomeError, match="another version"):
            await sandbox.execute(await resumed(sandbox, remote), 4, is_replayed=True)

    sandbox.run(work())
    assert states(sandbox) == [JobState.UNKNOWN]


def test_adoption_outlives_whoever_waits_for_it(sandbox: Sandbox) -> None:
    """A call that is cancelled while its old job is being fetched does not stop the fetching."""
    remote = sandbox.remote()
    sandbox.provider.run_seconds = lambda: 100.0
    left_behind(sandbox, remote, JobState.SUBMITTED, is_accepted=True)

    async def work() -> None:
        engine = await resumed(sandbox, remote)
        task = asyncio.create_task(sandbox.execute(engine, 4, is_replayed=True))
        await asyncio.sleep(10.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(200.0)
        assert states(sandbox) == [JobState.DONE]
        await sandbox.execute(engine, 4, is_replayed=True)

    sandbox.run(work())
    assert sandbox.provider.calls["submit"] == 0


def test_a_recovered_plan_is_dropped(sandbox: Sandbox) -> None:
    """Once a job is over nothing of its plan is kept."""
    remote = sandbox.remote()
    left_behind(sandbox, remote, JobState.UNKNOWN, is_accepted=True)
    plan: JobPlan | None = sandbox.store.job_plan("r/0.0.0")
    assert plan is not None
    assert [len(block.rows) for block in plan.blocks] == [4]

    async def work() -> None:
        await sandbox.execute(await resumed(sandbox, remote), 4, is_replayed=True)

    sandbox.run(work())
    assert sandbox.store.job_plan("r/0.0.0") is None


def test_recovery_that_fails_leaves_nothing_at_work(sandbox: Sandbox) -> None:
    """One job of a dead run cannot be fetched: when that is raised, and its claim given up, no other is waited for."""
    remote = sandbox.remote(faults=lambda call: Fault.BUSY if call == "fetch" else None)
    sandbox.provider.run_seconds = iter([0.0, 1e6]).__next__
    left_behind(sandbox, remote, JobState.SUBMITTED, is_accepted=True)
    (job,), plan = sandbox.store.jobs("r"), sandbox.store.job_plan("r/0.0.0")
    assert plan is not None
    now = sandbox.loop.time()
    sandbox.provider.post(Letter("k", sandbox.provider.jobs["job-1"].request, now, now, None, ""))
    second = dataclasses.replace(job, job_id="r/0.0.1", provider_id="job-2")
    attempt = AttemptRecord("r/0.0.1", 1, "k", job.changed_at)
    sandbox.store.write([second, attempt, dataclasses.replace(plan, job_id="r/0.0.1")])

    async def work() -> None:
        engine = sandbox.engine(remote, run_id="s", policy=RunPolicy(retry=RetryPolicy(patience_seconds=60.0)))
        await engine.open()
        with pytest.raises(BusyError):
            await vars(engine)["_submitter"].recover_run("r")
        assert "_recover" not in {task.get_coro().__name__ for task in asyncio.all_tasks()}  # type: ignore[union-attr]

    sandbox.run(work())
    assert states(sandbox) == [JobState.SUBMITTED, JobState.SUBMITTED]


@pytest.mark.parametrize("is_answered", [False, True])
def test_a_cancelled_run_may_still_have_its_answer(monkeypatch: pytest.MonkeyPatch, is_answered: bool) -> None:
    """What its own process brings to an end, while `qorch cancel` looks for it, is not opened again."""
    clock = WallClock()
    world = Sandbox(MemoryStore(clock))
    remote = FakeRemote(world.provider, clock, round_trip_seconds=0.001)
    world.provider.clock = clock
    left_behind(world, remote, JobState.INTENT, is_accepted=True)
    (job,) = world.store.jobs("r")
    find = remote.find

    async def answer_and_find(keys: Collection[str], *, since: datetime.datetime) -> dict[str, str]:
        if is_answered:
            world.store.write([job.moved(JobState.DONE, at=clock.now(), provider_id="job-1")])
        return await find(keys, since=since)

    remote.find = answer_and_find  # type: ignore[method-assign]
    monkeypatch.setattr(recovery, "open_backend", lambda *_, **__: remote)
    run = world.store.find_run("r")
    assert run is not None
    cancel_jobs(world.store, run, config=read_config(), clock=clock)
    assert states(world) == [JobState.DONE if is_answered else JobState.SUBMITTED]
    world.close()


def test_a_decision_about_a_job_that_is_settled_meanwhile(sandbox: Sandbox) -> None:
    """Another process settles a held job before the run is claimed: giving the job up is refused."""
    left_behind(sandbox, sandbox.remote(), JobState.UNKNOWN, is_accepted=True)
    (job,) = sandbox.store.jobs("r")
    claim = sandbox.store.claim_run

    def settle_and_claim(run_id: str) -> AbstractContextManager[None]:
        sandbox.store.write([job.moved(JobState.DONE, at=job.changed_at)])
        return claim(run_id)

    sandbox.store.claim_run = settle_and_claim  # type: ignore[method-assign, assignment]
    with pytest.raises(UsageError, match="no held job"):
        release_job(sandbox.store, job.job_id, clock=sandbox.clock)
    assert states(sandbox) == [JobState.DONE]
