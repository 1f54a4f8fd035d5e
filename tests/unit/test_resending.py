"""Jobs that an ended process left in doubt: a resumed run sends them again while the provider remembers their keys."""

import asyncio
import dataclasses
from collections.abc import Iterator

import pytest
from simulation.harness import Sandbox

from qorch import recovery
from qorch.config import read_config
from qorch.engine.engine import Engine
from qorch.engine.remote.recovery import RecoveryOutcome
from qorch.errors import HeldResultError, JobFailedError, RejectedError, UnknownOutcomeError
from qorch.model.job import AttemptOutcome, JobRequest, JobState, Payload
from qorch.model.result import PubResult, Source
from qorch.ports.policy import CachePolicy, OnUnknown, RetryPolicy, RunPolicy
from qorch.testing.fakes.provider import Fault
from qorch.testing.fakes.remote import HOLD, PAID, FakeRemote

SECONDS = 300.0
REMEMBERING = dataclasses.replace(HOLD, remembers_keys_seconds=SECONDS)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """One world whose provider remembers keys; no task may be left in it."""
    made = Sandbox()
    made.provider.remembers_keys_seconds = SECONDS
    yield made
    made.close()


def remote_with(sandbox: Sandbox, *faults: Fault | None, **settings: object) -> FakeRemote:
    """A way to the provider on which submissions meet these faults, one after the other."""
    met = list(faults)
    remote = sandbox.remote(**({"terms": REMEMBERING, "capabilities": PAID, "hang_seconds": 1e6} | settings))
    remote.faults = lambda call: met.pop(0) if call == "submit" and met else None
    return remote


async def opened(sandbox: Sandbox, remote: FakeRemote, *, policy: RunPolicy | None = None) -> Engine:
    """An engine at work."""
    engine = sandbox.engine(remote, policy=policy)
    await engine.open()
    return engine


async def interrupted(sandbox: Sandbox, remote: FakeRemote, rows: int = 4, *, after: float = 5.0) -> None:
    """A life that is ended after so many seconds; the answer that it waits for never comes."""
    engine = await opened(sandbox, remote)
    is_replayed = bool(sandbox.provider.letters)
    task = asyncio.create_task(sandbox.execute(engine, rows, is_replayed=is_replayed))
    await asyncio.sleep(after)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await engine.close()


async def resume(sandbox: Sandbox, remote: FakeRemote, rows: int = 4, *, policy: RunPolicy | None = None) -> PubResult:
    """The next life, which comes to the same call."""
    return await sandbox.execute(await opened(sandbox, remote, policy=policy), rows, is_replayed=True)


async def used(sandbox: Sandbox) -> None:
    """The account is known: its next submissions leave side by side."""
    engine = sandbox.engine(remote_with(sandbox, rows_in_job=1), run_id="before")
    await engine.open()
    await sandbox.execute(engine, 10, run_id="before")
    await engine.close()
    sandbox.provider.letters.clear()


def states(sandbox: Sandbox) -> list[JobState]:
    """Of the run's jobs, oldest first."""
    return [job.state for job in sandbox.store.jobs("r")]


def outcomes(sandbox: Sandbox) -> list[str]:
    """Of the attempts of the first job."""
    return [attempt.outcome.value for attempt in sandbox.store.attempts("r/0.0.0")]


@pytest.mark.parametrize("fault", [Fault.LOST_BEFORE, Fault.LOST_AFTER])
def test_a_resumed_run_sends_it_again(sandbox: Sandbox, fault: Fault) -> None:
    """After the lists were asked, and the settle time: the same bytes, one job, and its answer is the call's."""
    sandbox.provider.list_seconds = lambda: max(0.0, 50.0 - sandbox.loop.time())

    async def work() -> None:
        await interrupted(sandbox, remote_with(sandbox, fault))
        assert states(sandbox) == [JobState.INTENT]
        assert set((await resume(sandbox, remote_with(sandbox))).sources) == {Source.RESUMED}

    sandbox.run(work())
    first, second = sandbox.provider.letters
    assert (first.key, first.digest) == (second.key, second.digest)
    assert second.sent_at - first.sent_at > HOLD.settle_seconds
    assert sandbox.provider.calls["find"] == 2
    assert len(sandbox.provider.jobs) == 1
    assert states(sandbox) == [JobState.DONE]
    assert outcomes(sandbox) == ["unanswered", "accepted"]
    (job,) = sandbox.store.jobs("r")
    assert (job.attempts, job.error) == (2, None)


def test_what_a_list_shows_is_not_sent_again(sandbox: Sandbox) -> None:
    """The lists are asked first; the attempt that they confirm counts as accepted."""

    async def work() -> None:
        await interrupted(sandbox, remote_with(sandbox, Fault.LOST_AFTER))
        await resume(sandbox, remote_with(sandbox))

    sandbox.run(work())
    assert len(sandbox.provider.letters) == 1
    assert outcomes(sandbox) == ["accepted"]


@pytest.mark.parametrize(
    ("seconds", "skew_seconds"), [(SECONDS, 0.0), (0.0, SECONDS), (0.0, -SECONDS)], ids=["late", "ahead", "set back"]
)
def test_after_that_time_it_is_held(sandbox: Sandbox, seconds: float, skew_seconds: float) -> None:
    """The provider may have forgotten the key, or the clock was set back and tells nothing."""

    async def work() -> None:
        await interrupted(sandbox, remote_with(sandbox, Fault.LOST_BEFORE))
        await asyncio.sleep(seconds)
        sandbox.clock.skew_seconds += skew_seconds
        with pytest.raises(
            UnknownOutcomeError, match=r"held and not sent again; look at .* named 'qorch [0-9a-f]{16}'"
        ):
            await resume(sandbox, remote_with(sandbox))

    sandbox.run(work())
    assert len(sandbox.provider.letters) == 1
    assert states(sandbox) == [JobState.UNKNOWN]


def test_what_the_run_reaches_too_late_is_held(sandbox: Sandbox) -> None:
    """In time when the lists were asked, and not when its call comes: they are asked again, and it stays held."""

    async def work() -> None:
        await interrupted(sandbox, remote_with(sandbox, Fault.LOST_BEFORE))
        engine = await opened(sandbox, remote_with(sandbox))
        await asyncio.sleep(SECONDS)
        with pytest.raises(UnknownOutcomeError, match="held"):
            await sandbox.execute(engine, 4, is_replayed=True)

    sandbox.run(work())
    assert len(sandbox.provider.letters) == 1
    assert sandbox.provider.calls["find"] == 4
    assert states(sandbox) == [JobState.UNKNOWN]


@pytest.mark.parametrize(("seconds", "n_sent"), [(100.0, 3), (160.0, 2)], ids=["in time", "late"])
def test_the_time_counts_from_the_first_attempt(sandbox: Sandbox, seconds: float, n_sent: int) -> None:
    """A life that sends it again and ends without an answer loses no doubt, and wins no time."""

    async def work() -> None:
        await interrupted(sandbox, remote_with(sandbox, Fault.LOST_BEFORE))
        await asyncio.sleep(30.0)
        await interrupted(sandbox, remote_with(sandbox, Fault.LOST_BEFORE), after=40.0)
        assert outcomes(sandbox) == ["unanswered", "intent"]
        assert states(sandbox) == [JobState.UNKNOWN]
        await asyncio.sleep(seconds)
        if n_sent == 3:
            await resume(sandbox, remote_with(sandbox))
            assert outcomes(sandbox) == ["unanswered", "unanswered", "accepted"]
        else:
            with pytest.raises(UnknownOutcomeError, match="held"):
                await resume(sandbox, remote_with(sandbox))

    sandbox.run(work())
    assert len(sandbox.provider.letters) == n_sent
    assert len(sandbox.provider.jobs) == (1 if n_sent == 3 else 0)


def test_refused_attempts_take_no_time(sandbox: Sandbox) -> None:
    """The provider remembers what it took: a job that was refused for long is in doubt since its last attempt only."""
    sandbox.provider.wait_seconds = lambda: 2 * SECONDS
    remote = remote_with(sandbox, Fault.LIMITED, Fault.LOST_BEFORE)

    async def work() -> None:
        await interrupted(sandbox, remote, after=2 * SECONDS + 5.0)
        await resume(sandbox, remote_with(sandbox))

    sandbox.run(work())
    assert outcomes(sandbox) == ["refused", "unanswered", "accepted"]


def test_a_lost_answer_after_long_refusals_is_asked_for(sandbox: Sandbox) -> None:
    """The same within one process: the time counts from the first submission that may have been accepted."""
    sandbox.provider.wait_seconds = lambda: 2 * SECONDS
    remote = remote_with(sandbox, Fault.LIMITED, Fault.LOST_BEFORE, hang_seconds=0.0)

    async def work() -> None:
        await sandbox.execute(await opened(sandbox, remote), 4)

    sandbox.run(work())
    assert outcomes(sandbox) == ["refused", "unanswered", "accepted"]


def test_other_rows_are_held(sandbox: Sandbox) -> None:
    """The program changed: the job may be at the provider all the same, and the error says what became of it."""

    async def work() -> None:
        await interrupted(sandbox, remote_with(sandbox, Fault.LOST_BEFORE))
        with pytest.raises(UnknownOutcomeError, match="not sent again, as the program has other rows at its place now"):
            await resume(sandbox, remote_with(sandbox), rows=3, policy=RunPolicy(rebuy=True))

    sandbox.run(work())
    assert len(sandbox.provider.letters) == 1
    assert states(sandbox) == [JobState.UNKNOWN]


def test_other_bytes_are_held(sandbox: Sandbox) -> None:
    """Another version of the adapter, or another option: what would be sent is not what was sent."""
    remote = remote_with(sandbox)
    encode = remote.encode

    def encode_anew(request: JobRequest, *, key: str) -> Payload:
        payload = encode(request, key=key)
        return dataclasses.replace(payload, content=payload.content + b" ")

    async def work() -> None:
        await interrupted(sandbox, remote_with(sandbox, Fault.LOST_BEFORE))
        remote.encode = encode_anew  # type: ignore[method-assign]
        with pytest.raises(UnknownOutcomeError, match="not sent again, as its payload would be another one now"):
            await resume(sandbox, remote)

    sandbox.run(work())
    assert len(sandbox.provider.letters) == 1


def test_a_device_that_was_calibrated_meanwhile(sandbox: Sandbox) -> None:
    """The payload names the device's state of then, so that its bytes are the same; and so do the results."""
    remote = remote_with(sandbox)
    remote.context = lambda _: b"\1" * 32  # type: ignore[method-assign, assignment]

    async def work() -> None:
        await interrupted(sandbox, remote_with(sandbox, Fault.LOST_BEFORE))
        await resume(sandbox, remote)

    sandbox.run(work())
    assert len({letter.digest for letter in sandbox.provider.letters}) == 1
    assert states(sandbox) == [JobState.DONE]


def test_several_jobs_of_a_call(sandbox: Sandbox) -> None:
    """What was accepted is fetched, what no list shows is sent again, what was refused is bought: each row once."""
    faults = (Fault.LOST_BEFORE, None, Fault.LOST_AFTER, Fault.LIMITED)

    async def work() -> None:
        await used(sandbox)
        await interrupted(sandbox, remote_with(sandbox, *faults, rows_in_job=2), rows=8)
        await resume(sandbox, remote_with(sandbox, rows_in_job=2), rows=8)

    sandbox.run(work())
    jobs = [job.request for job in sandbox.provider.jobs.values() if job.request.job_id.startswith("r/")]
    assert sorted((job.job_id, job.n_rows) for job in jobs) == [
        ("r/0.0.0", 2),
        ("r/0.0.1", 2),
        ("r/0.0.2", 2),
        ("r/0.0.4", 2),
    ]
    assert states(sandbox) == [*[JobState.DONE] * 3, JobState.CANCELLED, JobState.DONE]


def test_one_that_stays_held_hinders_no_other(sandbox: Sandbox) -> None:
    """Of two jobs in doubt one is refused for good: the other is settled before the error is raised."""

    async def work() -> None:
        await used(sandbox)
        await interrupted(sandbox, remote_with(sandbox, *[Fault.LOST_BEFORE] * 2, rows_in_job=2))
        with pytest.raises(UnknownOutcomeError, match=r"r/0\.0\.0 may have been accepted"):
            await resume(sandbox, remote_with(sandbox, Fault.REJECTED, rows_in_job=2))

    sandbox.run(work())
    assert states(sandbox) == [JobState.UNKNOWN, JobState.DONE]


@pytest.mark.parametrize("fault", [Fault.LOST_BEFORE, Fault.LOST_AFTER])
def test_a_resend_that_is_refused_for_good(sandbox: Sandbox, fault: Fault) -> None:
    """It leaves the doubt, unless the lists show the job meanwhile."""
    sandbox.provider.list_seconds = lambda: max(0.0, 50.0 - sandbox.loop.time())

    async def work() -> None:
        await interrupted(sandbox, remote_with(sandbox, fault))
        if fault is Fault.LOST_AFTER:
            await resume(sandbox, remote_with(sandbox, Fault.REJECTED))
        else:
            with pytest.raises(UnknownOutcomeError, match="not sent again, unless the run is resumed within 2 minutes"):
                await resume(sandbox, remote_with(sandbox, Fault.REJECTED))

    sandbox.run(work())
    assert outcomes(sandbox)[0] == "unanswered"
    assert states(sandbox) == [JobState.DONE if fault is Fault.LOST_AFTER else JobState.UNKNOWN]


def test_a_resend_that_is_refused_for_a_while(sandbox: Sandbox) -> None:
    """It is tried again, under the same key, and is in doubt all the time."""

    async def work() -> None:
        await interrupted(sandbox, remote_with(sandbox, Fault.LOST_BEFORE))
        await resume(sandbox, remote_with(sandbox, Fault.BUSY, Fault.LOST_AFTER, hang_seconds=1.0))

    sandbox.run(work())
    assert outcomes(sandbox) == ["unanswered", "refused", "unanswered", "accepted"]
    assert len(sandbox.provider.jobs) == 1


@pytest.mark.parametrize("seconds", [31.0, 35.02, 35.05, 35.5, 36.0, 40.0])
def test_a_life_that_ends_while_it_sends_again(sandbox: Sandbox, seconds: float) -> None:
    """Interrupted at any moment, the job is never taken for unsent: the next life has it, once."""
    sandbox.provider.run_seconds = lambda: 50.0
    faults = (Fault.BUSY, Fault.BUSY, Fault.LOST_AFTER)

    async def work() -> None:
        await interrupted(sandbox, remote_with(sandbox, Fault.LOST_BEFORE))
        await interrupted(sandbox, remote_with(sandbox, *faults, hang_seconds=0.0), after=seconds - 5.0)
        (job,) = sandbox.store.jobs("r")
        assert job.state in (JobState.UNKNOWN, JobState.SUBMITTED)
        await resume(sandbox, remote_with(sandbox))

    sandbox.run(work())
    assert len(sandbox.provider.jobs) == 1
    assert states(sandbox) == [JobState.DONE]


def test_a_resent_job_that_fails_is_bought_again(sandbox: Sandbox) -> None:
    """Its failure is written down, and its rows run under another key."""
    failures = iter([JobFailedError("the device lost it", is_repeatable=True)])
    sandbox.provider.failures = lambda: next(failures, None)

    async def work() -> None:
        await interrupted(sandbox, remote_with(sandbox, Fault.LOST_BEFORE))
        await resume(sandbox, remote_with(sandbox))

    sandbox.run(work())
    assert states(sandbox) == [JobState.FAILED, JobState.DONE]
    assert len({letter.key for letter in sandbox.provider.letters}) == 2


def test_a_resent_job_that_cannot_be_read_stays_held(sandbox: Sandbox) -> None:
    """As any paid answer; another call at the same position in the same session buys nothing."""
    sandbox.provider.spoils = lambda: 99

    async def work() -> None:
        await interrupted(sandbox, remote_with(sandbox, Fault.LOST_BEFORE))
        engine = await opened(sandbox, remote_with(sandbox))
        with pytest.raises(HeldResultError):
            await sandbox.execute(engine, 4, is_replayed=True)
        with pytest.raises(UnknownOutcomeError, match="held"):
            await sandbox.execute(engine, 4, is_replayed=True)

    sandbox.run(work())
    assert len(sandbox.provider.letters) == 2
    assert states(sandbox) == [JobState.UNKNOWN]


def test_rows_that_another_run_brought_meanwhile(sandbox: Sandbox) -> None:
    """Nothing of the call is missing, so that nothing is sent; but the job may be billed, and stays held."""
    policy = RunPolicy(cache=CachePolicy.REUSE)

    async def work() -> None:
        await interrupted(sandbox, remote_with(sandbox, Fault.LOST_BEFORE))
        other = sandbox.engine(remote_with(sandbox), run_id="s", policy=policy)
        await other.open()
        await sandbox.execute(other, 4, run_id="s")
        with pytest.raises(UnknownOutcomeError, match="other rows"):
            await resume(sandbox, remote_with(sandbox), policy=policy)

    sandbox.run(work())
    assert states(sandbox) == [JobState.UNKNOWN]


def test_lists_that_cannot_be_read_are_no_proof(sandbox: Sandbox) -> None:
    """A job that cannot be looked for is not sent again."""
    remote = remote_with(sandbox)
    remote.faults = lambda call: Fault.BUSY if call == "find" else None

    async def work() -> None:
        await interrupted(sandbox, remote_with(sandbox, Fault.LOST_BEFORE))
        policy = RunPolicy(retry=RetryPolicy(patience_seconds=60.0))
        with pytest.raises(UnknownOutcomeError, match="cannot be looked for"):
            await resume(sandbox, remote, policy=policy)

    sandbox.run(work())
    assert len(sandbox.provider.letters) == 1


def test_where_jobs_are_resubmitted_nothing_changes(sandbox: Sandbox) -> None:
    """After the settle time the terms allow another job: the rows are bought under another key."""
    terms = dataclasses.replace(REMEMBERING, on_unknown=OnUnknown.RESUBMIT)

    async def work() -> None:
        await interrupted(sandbox, remote_with(sandbox, Fault.LOST_BEFORE, terms=terms))
        await resume(sandbox, remote_with(sandbox, terms=terms))

    sandbox.run(work())
    assert states(sandbox) == [JobState.CANCELLED, JobState.DONE]


def test_attempts_of_which_nothing_is_known_are_not_repeated(sandbox: Sandbox) -> None:
    """An earlier version did not record the bytes that it sent."""

    async def work() -> None:
        await interrupted(sandbox, remote_with(sandbox, Fault.LOST_BEFORE))
        (attempt,) = sandbox.store.attempts("r/0.0.0")
        sandbox.store.write([dataclasses.replace(attempt, payload_digest=None)])
        with pytest.raises(UnknownOutcomeError, match="not sent again; look"):
            await resume(sandbox, remote_with(sandbox))

    sandbox.run(work())
    assert [attempt.outcome for attempt in sandbox.store.attempts("r/0.0.0")] == [AttemptOutcome.INTENT]


def test_an_adapter_that_refuses_the_rows_now(sandbox: Sandbox) -> None:
    """Its error is the call's, and the job stays as it is."""
    remote = remote_with(sandbox)

    def refuse(request: JobRequest, *, key: str) -> Payload:
        raise RejectedError("the device has left")

    async def work() -> None:
        await interrupted(sandbox, remote_with(sandbox, Fault.LOST_BEFORE))
        remote.encode = refuse  # type: ignore[method-assign]
        with pytest.raises(RejectedError, match="has left"):
            await resume(sandbox, remote)

    sandbox.run(work())
    assert states(sandbox) == [JobState.UNKNOWN]


def test_a_recovery_without_the_program_says_how_to_go_on(sandbox: Sandbox) -> None:
    """`qorch recover` has no rows: it leaves the job held, and names the time within which a resume settles it."""

    async def work() -> None:
        await interrupted(sandbox, remote_with(sandbox, Fault.LOST_BEFORE))
        run = sandbox.store.find_run("r")
        (job,), _ = await vars(recovery)["_settle"](
            remote_with(sandbox), sandbox.store, run, config=read_config(), clock=sandbox.clock
        )
        assert job.outcome is RecoveryOutcome.HELD
        assert "unless the run is resumed within 3 minutes: fake:remote takes what is sent again" in job.reason
        await resume(sandbox, remote_with(sandbox))

    sandbox.run(work())
    assert states(sandbox) == [JobState.DONE]


def test_another_run_that_wants_the_same_rows_is_told(sandbox: Sandbox) -> None:
    """It settles what the ended run has left, without its program: the job stays held, and the error says so."""
    policy = RunPolicy(cache=CachePolicy.REUSE)

    async def work() -> None:
        engine = await opened(sandbox, remote_with(sandbox, Fault.LOST_BEFORE), policy=policy)
        task = asyncio.create_task(sandbox.execute(engine, 4))
        await asyncio.sleep(5.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await engine.close()
        other = sandbox.engine(remote_with(sandbox), run_id="s", policy=policy)
        await other.open()
        with pytest.raises(UnknownOutcomeError, match="unless the run is resumed within"):
            await sandbox.execute(other, 4, run_id="s")

    sandbox.run(work())
    assert len(sandbox.provider.letters) == 1
