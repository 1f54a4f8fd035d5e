"""Jobs that a run bought and its database does not know: looked for once, known by their keys and rows, taken over."""

import asyncio
import dataclasses
import logging
from collections.abc import Iterator

import numpy as np
import pytest
from simulation.harness import Sandbox

from qorch.engine.engine import Engine
from qorch.engine.remote.orphans import REASON
from qorch.errors import BusyError, JobFailedError, RunChangedError, UnknownOutcomeError
from qorch.model.job import AttemptOutcome, JobState, LostRows
from qorch.model.label import MOST_TEXT, format_rows, parse_rows
from qorch.model.result import Source
from qorch.ports.policy import RetryPolicy, RunPolicy
from qorch.testing.fakes.provider import AcceptedJob, Fault
from qorch.testing.fakes.remote import FREE, PAID, FakeRemote
from qorch.testing.fakes.store import MemoryStore

STORE_ID = "5a" * 16
IMPATIENT = RunPolicy(retry=RetryPolicy(patience_seconds=60.0, first_patience_seconds=60.0))


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """One world; no task may be left in it."""
    made = Sandbox()
    yield made
    made.close()


async def resumed(sandbox: Sandbox, remote: FakeRemote, *, policy: RunPolicy | None = None) -> Engine:
    """The next life."""
    engine = sandbox.engine(remote, policy=policy)
    await engine.open()
    return engine


async def buy(sandbox: Sandbox, remote: FakeRemote, *rows: int) -> list[np.ndarray]:
    """A life that executes so many rows in each of its steps; their values."""
    engine = await resumed(sandbox, remote)
    values = [(await sandbox.execute(engine, n_rows, step=step)).values for step, n_rows in enumerate(rows)]
    await engine.close()
    return values


def lose(sandbox: Sandbox) -> None:
    """Put a backup in the store's place, which was made before anything was bought."""
    sandbox.store = MemoryStore(sandbox.clock, store_id=STORE_ID)


def accepted(sandbox: Sandbox) -> list[AcceptedJob]:
    """All jobs at the provider."""
    return list(sandbox.provider.jobs.values())


def unlabel(sandbox: Sandbox) -> None:
    """Let the jobs be those of an earlier version, which told nothing but their keys."""
    for job in accepted(sandbox):
        job.request = dataclasses.replace(job.request, label=None)


def states(sandbox: Sandbox) -> list[JobState]:
    """Of the run's jobs, oldest first."""
    return [job.state for job in sandbox.store.jobs("r")]


@pytest.mark.parametrize("is_labelled", [True, False])
@pytest.mark.parametrize("capabilities", [FREE, PAID], ids=["free", "paid"])
def test_what_the_provider_has_is_taken_over(sandbox: Sandbox, is_labelled: bool, capabilities: object) -> None:
    """All jobs of two steps, several of one call, also while they run: the same values, and nothing is bought."""
    remote = sandbox.remote(rows_in_job=4, capabilities=capabilities)

    async def work() -> None:
        whole = await buy(sandbox, remote, 10, 3)
        lose(sandbox)
        if not is_labelled:
            unlabel(sandbox)
        for job in accepted(sandbox):
            job.done_at = sandbox.loop.time() + 50.0
        engine = await resumed(sandbox, remote)
        for step, n_rows in enumerate((10, 3)):
            result = await sandbox.execute(engine, n_rows, step=step, is_replayed=True)
            assert np.array_equal(result.values, whole[step])
            assert set(result.sources) == {Source.RESUMED}

    sandbox.run(work())
    assert len(accepted(sandbox)) == 4
    assert states(sandbox) == [JobState.DONE] * 4


def test_one_request_where_nothing_was_lost(sandbox: Sandbox) -> None:
    """A run that goes on on its own database asks for one page, and calls that it replays do not wait for it."""
    remote = sandbox.remote()

    async def work() -> None:
        await buy(sandbox, remote, 4)
        engine = await resumed(sandbox, remote)
        await sandbox.execute(engine, 4, is_replayed=True)
        await sandbox.execute(engine, 4, step=1, is_replayed=True)
        await sandbox.execute(engine, 4, step=2, is_replayed=True)

    sandbox.run(work())
    assert sandbox.provider.calls["find"] == 0
    assert sandbox.provider.calls["list"] == 2  # one of each life: here the first finds its run stored, too


def test_rows_that_failed_alone_are_matched_whatever_their_order(sandbox: Sandbox) -> None:
    """Two jobs lose a row each, which ran again in jobs of their own: their labels tell which is which."""
    losses = iter([((LostRows(np.array([row])),),) for row in (0, 1)])
    sandbox.provider.losses = lambda _: next(losses, ())
    remote = sandbox.remote(rows_in_job=4)

    async def work() -> None:
        (whole,) = await buy(sandbox, remote, 8)
        lose(sandbox)
        result = await sandbox.execute(await resumed(sandbox, remote), 8, is_replayed=True)
        assert np.array_equal(result.values, whole)

    sandbox.run(work())
    assert [job.request.n_rows for job in accepted(sandbox)] == [4, 4, 1, 1]
    assert states(sandbox) == [JobState.DONE] * 4


def test_a_backup_that_knows_only_the_second_job_of_a_call(sandbox: Sandbox) -> None:
    """The first is found though its rows, planned anew, would now be a job of another number."""
    remote = sandbox.remote(rows_in_job=4)

    async def work() -> None:
        (whole,) = await buy(sandbox, remote, 8)
        before = sandbox.store
        lose(sandbox)
        run = before.find_run("r")
        assert run is not None
        (second,) = [job for job in before.jobs("r") if job.job_id == "r/0.0.1"]
        blocks = [block for block in before.blocks_at("r", second.position) if block.job_id == second.job_id]
        sandbox.store.write([run, second, *before.attempts(second.job_id), *blocks])
        result = await sandbox.execute(await resumed(sandbox, remote), 8, is_replayed=True)
        assert np.array_equal(result.values, whole)

    sandbox.run(work())
    assert len(accepted(sandbox)) == 2


@pytest.mark.parametrize("is_labelled", [True, False])
def test_a_job_that_the_backup_takes_for_unsent(sandbox: Sandbox, is_labelled: bool) -> None:
    """It was refused before the backup was made, and accepted afterwards under the same key: it is found, too."""
    faults = iter([Fault.BUSY])
    remote = sandbox.remote(faults=lambda call: next(faults, None) if call == "submit" else None)

    async def work() -> None:
        await buy(sandbox, remote, 4)
        before = sandbox.store
        lose(sandbox)
        run, (job,) = before.find_run("r"), before.jobs("r")
        assert run is not None
        assert job.attempts == 2
        refused = dataclasses.replace(job, state=JobState.RESERVED, provider_id=None, attempts=1)
        sandbox.store.write([run, refused, before.attempts(job.job_id)[0]])
        if not is_labelled:
            unlabel(sandbox)
        await sandbox.execute(await resumed(sandbox, remote), 4, is_replayed=True)

    sandbox.run(work())
    assert len(accepted(sandbox)) == 1
    assert states(sandbox) == [JobState.DONE]


def test_a_job_that_was_refused_with_its_plan_is_found(sandbox: Sandbox) -> None:
    """The backup knows what a refused job was to carry; the provider took it afterwards, and it is adopted."""
    sandbox.provider.run_seconds = lambda: 50.0
    remote = sandbox.remote(capabilities=PAID)

    async def work() -> None:
        engine = await resumed(sandbox, remote)
        task = asyncio.create_task(sandbox.execute(engine, 4))
        await asyncio.sleep(20.0)
        before = sandbox.store
        plan, run, (job,) = before.job_plan("r/0.0.0"), before.find_run("r"), before.jobs("r")
        assert plan is not None
        assert run is not None
        await task
        await engine.close()
        lose(sandbox)
        reserved = dataclasses.replace(job, state=JobState.RESERVED, provider_id=None)
        refused = dataclasses.replace(before.attempts(job.job_id)[0], outcome=AttemptOutcome.REFUSED)
        sandbox.store.write([run, reserved, refused, plan])
        await sandbox.execute(await resumed(sandbox, remote), 4, is_replayed=True)

    sandbox.run(work())
    assert len(accepted(sandbox)) == 1
    assert states(sandbox) == [JobState.DONE]


def test_a_life_that_could_not_search_hides_nothing(sandbox: Sandbox) -> None:
    """Days after the restore a life cancels the reserved jobs of the backup, and ends before the list answers."""
    is_silent = [False]
    remote = sandbox.remote(faults=lambda call: Fault.BUSY if call == "list" and is_silent[0] else None)

    async def work() -> None:
        await buy(sandbox, remote, 4)
        before = sandbox.store
        lose(sandbox)
        run, (job,) = before.find_run("r"), before.jobs("r")
        assert run is not None
        reserved = dataclasses.replace(job, state=JobState.RESERVED, provider_id=None, attempts=0)
        sandbox.store.write([run, reserved])
        await asyncio.sleep(3 * 86_400.0)
        is_silent[0] = True
        await (await resumed(sandbox, remote)).close()
        assert states(sandbox) == [JobState.CANCELLED]
        is_silent[0] = False
        await sandbox.execute(await resumed(sandbox, remote), 4, is_replayed=True)

    sandbox.run(work())
    assert len(accepted(sandbox)) == 1
    assert states(sandbox) == [JobState.DONE]


def test_a_job_that_a_later_life_settled_hides_nothing(sandbox: Sandbox) -> None:
    """Days after the restore a life fetches the backup's open job, and ends before the list answers."""
    is_silent = [False]
    remote = sandbox.remote(faults=lambda call: Fault.BUSY if call == "list" and is_silent[0] else None)

    async def work() -> None:
        await buy(sandbox, remote, 4)
        before = sandbox.store
        run, (first,) = before.find_run("r"), before.jobs("r")
        assert run is not None
        await sandbox.execute(await resumed(sandbox, remote), 4, step=1)
        lose(sandbox)
        sent = dataclasses.replace(first, state=JobState.SUBMITTED)
        sandbox.store.write([run, sent, *before.attempts(first.job_id)])
        await asyncio.sleep(3 * 86_400.0)
        # What that life wrote down of the job is of its own time.
        held = dataclasses.replace(sent, state=JobState.UNKNOWN, changed_at=sandbox.clock.now())
        is_silent[0] = True
        await (await resumed(sandbox, remote)).close()
        sandbox.store.write([held])
        is_silent[0] = False
        await sandbox.execute(await resumed(sandbox, remote), 4, step=1, is_replayed=True)

    sandbox.run(work())
    assert len(accepted(sandbox)) == 2


def test_a_job_that_a_later_life_found_ends_no_search(sandbox: Sandbox) -> None:
    """The backup's unanswered job was accepted last of all; a life fetches it, and ends before the list answers."""
    is_silent = [False]
    remote = sandbox.remote(faults=lambda call: Fault.BUSY if call == "list" and is_silent[0] else None)

    async def work() -> None:
        buying = asyncio.create_task(buy(sandbox, remote, 4, 3))
        await asyncio.sleep(0.5)
        before = sandbox.store
        plan, run, (first,) = before.job_plan("r/0.0.0"), before.find_run("r"), before.jobs("r")
        assert plan is not None
        assert run is not None
        await buying
        # It was sent twice, and the backup made between.
        accepted(sandbox)[0].accepted_at += 10.0
        unanswered = dataclasses.replace(first, state=JobState.INTENT, provider_id=None)
        intent = dataclasses.replace(before.attempts(first.job_id)[0], outcome=AttemptOutcome.INTENT)
        lose(sandbox)
        sandbox.store.write([run, unanswered, intent, plan])
        is_silent[0] = True
        engine = await resumed(sandbox, remote)
        await asyncio.sleep(10.0)
        await engine.close()
        assert states(sandbox) == [JobState.DONE]
        is_silent[0] = False
        engine = await resumed(sandbox, remote)
        for step, n_rows in enumerate((4, 3)):
            await sandbox.execute(engine, n_rows, step=step, is_replayed=True)

    sandbox.run(work())
    assert len(accepted(sandbox)) == 2
    assert states(sandbox) == [JobState.DONE] * 2


@pytest.mark.parametrize("is_labelled", [True, False])
@pytest.mark.parametrize(
    ("capabilities", "rebuy"), [(PAID, False), (PAID, True), (FREE, False)], ids=["paid", "rebuy", "free"]
)
def test_other_rows_are_not_taken(sandbox: Sandbox, is_labelled: bool, capabilities: object, rebuy: bool) -> None:
    """The program changed: a paid run stops before it buys anything; else the rows run under another key."""
    remote = sandbox.remote(capabilities=capabilities)

    async def work() -> None:
        await buy(sandbox, remote, 4)
        lose(sandbox)
        if not is_labelled:
            unlabel(sandbox)
        engine = await resumed(sandbox, remote, policy=RunPolicy(rebuy=rebuy))
        if capabilities is PAID and not rebuy:
            with pytest.raises(RunChangedError, match=r"job-1 for step 0, call 0.*rebuy=True"):
                await sandbox.execute(engine, 5, is_replayed=True)
        else:
            result = await sandbox.execute(engine, 5, is_replayed=True)
            assert set(result.sources) == {Source.EXECUTED}

    sandbox.run(work())
    is_stopped = capabilities is PAID and not rebuy
    assert [job.request.n_rows for job in accepted(sandbox)] == ([4] if is_stopped else [4, 5])
    assert len({job.key for job in accepted(sandbox)}) == len(accepted(sandbox))
    assert states(sandbox) == ([JobState.UNKNOWN] if is_stopped else [JobState.FAILED, JobState.DONE])


def test_other_angles_in_the_same_shape_are_noticed(sandbox: Sandbox) -> None:
    """Rows, shots and position agree; the digest does not."""
    remote = sandbox.remote(capabilities=PAID)

    async def work() -> None:
        await buy(sandbox, remote, 4)
        (job,) = accepted(sandbox)
        assert job.request.label is not None
        job.request = dataclasses.replace(job.request, label=dataclasses.replace(job.request.label, digest="0" * 64))
        lose(sandbox)
        with pytest.raises(RunChangedError, match="other rows"):
            await sandbox.execute(await resumed(sandbox, remote), 4, is_replayed=True)

    sandbox.run(work())


def test_a_label_proves_nothing_without_its_key(sandbox: Sandbox) -> None:
    """A job of another database that names this run's position is not this run's."""
    remote = sandbox.remote()

    async def work() -> None:
        sandbox.store = MemoryStore(sandbox.clock, store_id="00" * 16)
        await buy(sandbox, remote, 4)
        lose(sandbox)
        await sandbox.execute(await resumed(sandbox, remote), 4, is_replayed=True)

    sandbox.run(work())
    assert len(accepted(sandbox)) == 2
    assert states(sandbox) == [JobState.DONE]


def test_a_lost_job_that_failed_is_bought_again(sandbox: Sandbox) -> None:
    """Its failure is written down, and its rows run as another job."""
    failures = iter([None, JobFailedError("lost")])
    sandbox.provider.failures = lambda: next(failures, None)
    remote = sandbox.remote()

    async def work() -> None:
        with pytest.raises(JobFailedError):
            await buy(sandbox, remote, 4, 3)
        lose(sandbox)
        engine = await resumed(sandbox, remote)
        for step, n_rows in enumerate((4, 3)):
            await sandbox.execute(engine, n_rows, step=step, is_replayed=True)

    sandbox.run(work())
    assert len(accepted(sandbox)) == 3
    assert states(sandbox) == [JobState.DONE, JobState.FAILED, JobState.DONE]


def test_what_the_program_does_not_reach_stays_visible(sandbox: Sandbox) -> None:
    """It is held under the provider's id, over any number of sessions, and taken over once the program comes there."""
    remote = sandbox.remote(capabilities=PAID)

    async def work() -> None:
        await buy(sandbox, remote, 4, 3)
        lose(sandbox)
        for _ in range(2):
            engine = await resumed(sandbox, remote)
            await sandbox.execute(engine, 4, is_replayed=True)
            await engine.close()
            done, held = sandbox.store.jobs("r")
            assert (done.state, held.state) == (JobState.DONE, JobState.UNKNOWN)
            assert (held.provider_id, held.error, held.n_executions, held.shots) == ("job-2", REASON, 3, 20)
        engine = await resumed(sandbox, remote)
        await sandbox.execute(engine, 3, step=1, is_replayed=True)

    sandbox.run(work())
    assert len(accepted(sandbox)) == 2
    assert states(sandbox) == [JobState.DONE, JobState.DONE]


def test_what_the_lost_part_sent_last_is_waited_for(sandbox: Sandbox) -> None:
    """Where anything was lost, a second look after the settle time finds what no list showed before."""
    remote = sandbox.remote()
    sandbox.provider.list_seconds = iter([0.0, 20.0]).__next__

    async def work() -> None:
        await buy(sandbox, remote, 4, 3)
        accepted(sandbox)[1].seen_at = sandbox.loop.time() + 20.0
        lose(sandbox)
        engine = await resumed(sandbox, remote)
        for step, n_rows in enumerate((4, 3)):
            await sandbox.execute(engine, n_rows, step=step, is_replayed=True)

    sandbox.run(work())
    assert len(accepted(sandbox)) == 2


def told(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What was said of the resume; a paid run also says what it buys."""
    return [record for record in caplog.records if record.name == "qorch.resume"]


def test_a_provider_without_a_list(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be known is said once, before anything is bought."""
    remote = sandbox.remote(has_list=False, capabilities=PAID)

    async def work() -> None:
        await buy(sandbox, remote, 4)
        engine = await resumed(sandbox, remote)
        await sandbox.execute(engine, 4, is_replayed=True)
        assert not told(caplog)
        for step in (1, 2):
            await sandbox.execute(engine, 4, step=step, is_replayed=True)

    with caplog.at_level(logging.WARNING, "qorch.resume"):
        sandbox.run(work())
    (record,) = told(caplog)
    assert "has no list of jobs: if this database was restored from a backup" in record.getMessage()


@pytest.mark.parametrize("capabilities", [PAID, FREE], ids=["paid", "free"])
def test_a_list_that_cannot_be_read(sandbox: Sandbox, caplog: pytest.LogCaptureFixture, capabilities: object) -> None:
    """A paid run buys nothing and says why; what is free is said and goes on."""
    remote = sandbox.remote(capabilities=capabilities)

    async def work() -> None:
        await buy(sandbox, remote, 4)
        remote.faults = lambda call: Fault.BUSY if call == "list" else None
        engine = await resumed(sandbox, remote, policy=IMPATIENT)
        await sandbox.execute(engine, 4, is_replayed=True)
        if capabilities is PAID:
            with pytest.raises(UnknownOutcomeError, match="Nothing is bought before that is known") as caught:
                await sandbox.execute(engine, 4, step=1, is_replayed=True)
            assert isinstance(caught.value.__cause__, BusyError)
        else:
            await sandbox.execute(engine, 4, step=1, is_replayed=True)

    with caplog.at_level(logging.WARNING, "qorch.resume"):
        sandbox.run(work())
    assert len(accepted(sandbox)) == (1 if capabilities is PAID else 2)
    assert any("free to run them again" in record.getMessage() for record in caplog.records) is (capabilities is FREE)


def test_who_says_so_goes_on_though_the_list_cannot_be_read(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """With ``rebuy``, which the error names, a paid run is not stuck for good; it is told what it risks."""
    remote = sandbox.remote(capabilities=PAID)

    async def work() -> None:
        await buy(sandbox, remote, 4)
        remote.faults = lambda call: Fault.BUSY if call == "list" else None
        engine = await resumed(sandbox, remote, policy=IMPATIENT)
        with pytest.raises(UnknownOutcomeError, match="go on with rebuy=True"):
            await sandbox.execute(engine, 4, step=1, is_replayed=True)
        await engine.close()
        engine = await resumed(sandbox, remote, policy=dataclasses.replace(IMPATIENT, rebuy=True))
        await sandbox.execute(engine, 4, step=1, is_replayed=True)

    with caplog.at_level(logging.WARNING, "qorch.resume"):
        sandbox.run(work())
    assert len(accepted(sandbox)) == 2
    assert "They may be bought again, so the run goes on" in caplog.text


@pytest.mark.parametrize("rows", [[[0]], [[0, 1, 2, 7], [3]], [[5, 4, 3]], [list(range(100)), [1, 3, 5]]])
def test_rows_as_text(rows: list[list[int]]) -> None:
    """What is written is read again, in the same order."""
    text = format_rows([(group, np.asarray(part)) for group, part in enumerate(rows)])
    assert text is not None
    parts = parse_rows(text)
    assert parts is not None
    assert [(group, part.tolist()) for group, part in parts] == list(enumerate(rows))


def test_rows_that_make_no_short_text() -> None:
    """They are left out: the job is then known by what is planned and its digest."""
    assert format_rows([(0, np.arange(0, 2 * MOST_TEXT, 2))]) is None


@pytest.mark.parametrize("text", ["", "x", "0", "0:", "0:-1", "0:5-3", "0:0-99999999999", "a:0", "0:0;;1:2"])
def test_texts_that_are_no_rows(text: str) -> None:
    """Whatever a server makes of it, it is an answer and no error."""
    assert parse_rows(text) is None
