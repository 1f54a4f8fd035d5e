"""Providers that remember keys: within that time a resend is the look-up, and its bytes are those of the first try."""

import asyncio
import dataclasses
from collections.abc import Iterator

import pytest
from simulation.harness import Sandbox

from qorch.engine.engine import Engine
from qorch.errors import RejectedError, UnknownOutcomeError
from qorch.model.job import AttemptOutcome, JobState, Payload
from qorch.ports.policy import OnUnknown, RetryPolicy, RunPolicy
from qorch.testing.fakes.provider import Fault
from qorch.testing.fakes.remote import HOLD, PAID, FakeRemote

SECONDS = 300.0
REMEMBERING = dataclasses.replace(HOLD, remembers_keys_seconds=SECONDS)
RESUBMITTING = dataclasses.replace(REMEMBERING, on_unknown=OnUnknown.RESUBMIT)


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
    remote = sandbox.remote(**({"terms": REMEMBERING, "capabilities": PAID} | settings))
    remote.faults = lambda call: met.pop(0) if call == "submit" and met else None
    return remote


async def opened(sandbox: Sandbox, remote: FakeRemote, *, policy: RunPolicy | None = None) -> Engine:
    """An engine at work."""
    engine = sandbox.engine(remote, policy=policy)
    await engine.open()
    return engine


def outcomes(sandbox: Sandbox) -> list[str]:
    """Of the attempts of the first job."""
    return [attempt.outcome.value for attempt in sandbox.store.attempts("r/0.0.0")]


@pytest.mark.parametrize("fault", [Fault.LOST_BEFORE, Fault.LOST_AFTER])
def test_a_lost_answer_is_asked_for_by_a_resend(sandbox: Sandbox, fault: Fault) -> None:
    """The same bytes under the same key are sent again, without a look-up or a wait, and are one job."""

    async def work() -> None:
        await sandbox.execute(await opened(sandbox, remote_with(sandbox, fault)), 3)

    sandbox.run(work())
    assert outcomes(sandbox) == ["unanswered", "accepted"]
    assert sandbox.provider.calls["find"] == 0
    assert len(sandbox.provider.jobs) == 1
    assert len({(letter.key, letter.digest) for letter in sandbox.provider.letters}) == 1
    assert sandbox.loop.time() < HOLD.settle_seconds
    assert [job.state for job in sandbox.store.jobs("r")] == [JobState.DONE]


@pytest.mark.parametrize("terms", [REMEMBERING, RESUBMITTING], ids=["hold", "resubmit"])
def test_after_that_time_it_is_looked_for(sandbox: Sandbox, terms: object) -> None:
    """If resends are refused for longer than the provider remembers, the job is found in the list instead."""
    sandbox.provider.wait_seconds = lambda: SECONDS
    remote = remote_with(sandbox, Fault.LOST_AFTER, Fault.LIMITED, terms=terms)

    async def work() -> None:
        await sandbox.execute(await opened(sandbox, remote), 3)

    sandbox.run(work())
    assert sandbox.provider.calls["find"] == 1
    assert sandbox.provider.calls["submit"] == 2
    assert len(sandbox.provider.jobs) == 1


@pytest.mark.parametrize("skew_seconds", [2 * SECONDS, -2 * SECONDS], ids=["asleep", "set back"])
def test_a_machine_that_slept_looks_first(sandbox: Sandbox, skew_seconds: float) -> None:
    """The monotonic clock does not count sleep: the wall clock does, and a key may be forgotten by either of them."""
    remote = remote_with(sandbox, Fault.LOST_AFTER)
    submit = remote.submit

    async def then_sleep(payload: Payload) -> str:
        try:
            return await submit(payload)
        except UnknownOutcomeError:
            sandbox.clock.skew_seconds += skew_seconds
            raise

    remote.submit = then_sleep  # type: ignore[method-assign]

    async def work() -> None:
        await sandbox.execute(await opened(sandbox, remote), 3)

    sandbox.run(work())
    is_asleep = skew_seconds > 0
    assert (sandbox.provider.calls["find"], sandbox.provider.calls["submit"]) == ((1, 1) if is_asleep else (0, 2))
    assert len(sandbox.provider.jobs) == 1


def test_a_resend_that_is_refused_leaves_the_doubt(sandbox: Sandbox) -> None:
    """The second submission is refused for good, but the first may have been accepted: the job is held."""

    async def work() -> None:
        with pytest.raises(UnknownOutcomeError, match=r"held and not sent again.*named 'qorch [0-9a-f]{16}'"):
            await sandbox.execute(await opened(sandbox, remote_with(sandbox, Fault.LOST_BEFORE, Fault.REJECTED)), 3)

    sandbox.run(work())
    assert [job.state for job in sandbox.store.jobs("r")] == [JobState.UNKNOWN]


def test_a_rejected_resend_of_an_accepted_job_is_found(sandbox: Sandbox) -> None:
    """What the look-up finds after a refusal is fetched, as if the resend had been answered."""

    async def work() -> None:
        await sandbox.execute(await opened(sandbox, remote_with(sandbox, Fault.LOST_AFTER, Fault.REJECTED)), 3)

    sandbox.run(work())
    assert [job.state for job in sandbox.store.jobs("r")] == [JobState.DONE]
    assert len(sandbox.provider.jobs) == 1


def test_resends_have_an_end(sandbox: Sandbox) -> None:
    """A network that swallows every answer is no reason to submit for ever: the job is held."""
    policy = RunPolicy(retry=RetryPolicy(max_unknowns=3))

    async def work() -> None:
        remote = remote_with(sandbox, *[Fault.LOST_BEFORE] * 9)
        with pytest.raises(UnknownOutcomeError, match="held"):
            await sandbox.execute(await opened(sandbox, remote, policy=policy), 3)

    sandbox.run(work())
    assert sandbox.provider.calls["submit"] == 3


@pytest.mark.parametrize("seconds", [0.02, 0.05, 0.2, 0.6, 1.2, 2.2])
def test_a_call_that_ends_in_doubt_is_never_taken_for_unsent(sandbox: Sandbox, seconds: float) -> None:
    """Cancelled at any moment after a lost answer, the job is left as one that may be there: the next life adopts i"""
    sandbox.provider.run_seconds = lambda: 50.0
    faults = (Fault.LOST_AFTER, Fault.BUSY, Fault.BUSY, Fault.LOST_AFTER)

    async def work() -> None:
        engine = await opened(sandbox, remote_with(sandbox, *faults, round_trip_seconds=0.01))
        task = asyncio.create_task(sandbox.execute(engine, 4))
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await engine.close()
        (job,) = sandbox.store.jobs("r")
        assert job.state in (JobState.INTENT, JobState.SUBMITTED)
        await sandbox.execute(await opened(sandbox, remote_with(sandbox)), 4, is_replayed=True)

    sandbox.run(work())
    assert len(sandbox.provider.jobs) == 1
    assert len({job.key for job in sandbox.provider.jobs.values()}) == 1


@pytest.mark.parametrize("is_in_doubt", [False, True])
def test_other_bytes_are_never_sent_under_one_key(sandbox: Sandbox, is_in_doubt: bool) -> None:
    """What would be sent again is compared with what the first attempt sent; the job then fails, or stays held."""
    first = Fault.LOST_BEFORE if is_in_doubt else Fault.BUSY
    remote = remote_with(sandbox, first)
    kept = sandbox.store.attempts

    def attempts(job_id: str) -> object:
        return [dataclasses.replace(attempt, payload_digest="0" * 64) for attempt in kept(job_id)]

    async def work() -> None:
        engine = await opened(sandbox, remote)
        sandbox.store.attempts = attempts  # type: ignore[method-assign, assignment]
        error = UnknownOutcomeError if is_in_doubt else RejectedError
        with pytest.raises(error, match="not sent again: under its key, attempt 1 had the payload 0000"):
            await sandbox.execute(engine, 3)

    sandbox.run(work())
    assert sandbox.provider.calls["submit"] == 1
    state = JobState.UNKNOWN if is_in_doubt else JobState.FAILED
    assert [job.state for job in sandbox.store.jobs("r")] == [state]


def test_each_attempt_records_what_it_sent(sandbox: Sandbox) -> None:
    """The payload's digest, and the text by which a person finds the job at the provider."""

    async def work() -> None:
        await sandbox.execute(await opened(sandbox, remote_with(sandbox, Fault.BUSY)), 3)

    sandbox.run(work())
    attempts = sandbox.store.attempts("r/0.0.0")
    assert [attempt.outcome for attempt in attempts] == [AttemptOutcome.REFUSED, AttemptOutcome.ACCEPTED]
    assert {attempt.payload_digest for attempt in attempts} == {letter.digest for letter in sandbox.provider.letters}
    assert {attempt.search_text for attempt in attempts} == {f"qorch {attempts[0].key[:16]}"}
