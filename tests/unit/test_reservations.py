"""All jobs of a call are reserved before the first is sent, or refused together; a job moves as the table says."""

import asyncio
import itertools
from collections.abc import Iterator

import pytest
from simulation.harness import Sandbox

from qorch.engine.engine import Engine
from qorch.engine.reservation import BUDGETS
from qorch.errors import BudgetError, JobFailedError, RejectedError
from qorch.model.identity import Position
from qorch.model.job import MOVES, OPEN_STATES, OVER_STATES, JobState
from qorch.ports.records import Change, JobRecord
from qorch.testing.fakes.provider import Fault
from qorch.testing.fakes.remote import PAID
from qorch.testing.virtual_time import START


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """One world; no task may be left in it."""
    made = Sandbox()
    yield made
    made.close()


def state_of(sandbox: Sandbox) -> bytes | None:
    """The shared state of reservations."""
    return sandbox.store.update_shared_state(BUDGETS, lambda state, _: Change(state, state)).result()


def test_all_jobs_are_reserved_before_the_first_is_sent(sandbox: Sandbox) -> None:
    """When the first submission leaves, every job of the call is on record; each has its intent just before its own."""
    remote = sandbox.remote(rows_in_job=2)
    seen: list[list[JobState]] = []

    def look(call: str) -> None:
        if call == "submit":
            seen.append([job.state for job in sandbox.store.jobs("r")])

    remote.faults = look  # type: ignore[assignment]

    async def work() -> None:
        engine = sandbox.engine(remote)
        await engine.open()
        await sandbox.execute(engine, 6)

    sandbox.run(work())
    assert seen[0] == [JobState.INTENT, JobState.RESERVED, JobState.RESERVED]


def test_a_refused_call_leaves_nothing_behind(sandbox: Sandbox) -> None:
    """What refuses is asked once for all jobs of a call, inside the transaction; nothing is written, sent or held."""
    asked: list[bytes | None] = []

    def check(state: bytes | None, now_ns: int) -> bytes | None:
        asked.append(state)
        if len(asked) == 2:
            raise BudgetError("this call would cost more than is left")
        return b"%d" % len(asked)

    async def work() -> None:
        engine = sandbox.engine(sandbox.remote(rows_in_job=2, capabilities=PAID), check_budgets=check)
        await engine.open()
        await sandbox.execute(engine, 4)
        with pytest.raises(BudgetError, match="more than is left"):
            await sandbox.execute(engine, 6, step=1)
        assert sandbox.store.jobs_at("r", Position(1, 0)) == []
        await sandbox.execute(engine, 4, step=1)

    sandbox.run(work())
    assert asked == [None, b"1", b"1"]
    assert state_of(sandbox) == b"3"
    assert sandbox.provider.calls["submit"] == 4
    assert [job.state for job in sandbox.store.jobs("r")] == [JobState.DONE] * 4


def test_a_check_that_breaks_leaves_nothing_behind(sandbox: Sandbox) -> None:
    """An error in what counts the money is no decision: as little is written as of a call that is refused."""

    def check(_state: bytes | None, _now_ns: int) -> bytes | None:
        raise ZeroDivisionError

    async def work() -> None:
        engine = sandbox.engine(sandbox.remote(), check_budgets=check)
        await engine.open()
        with pytest.raises(ZeroDivisionError):
            await sandbox.execute(engine, 4)
        await engine.close()

    sandbox.run(work())
    assert sandbox.store.jobs("r") == []


def test_rows_that_run_again_are_reserved_too(sandbox: Sandbox) -> None:
    """What repeats a failed job costs as much as the first: it may be refused, and then leaves nothing."""
    failures = itertools.chain([JobFailedError("lost", is_repeatable=True)], itertools.repeat(None))
    sandbox.provider.failures = failures.__next__
    asked = itertools.count()

    def check(state: bytes | None, now_ns: int) -> bytes | None:
        if next(asked):
            raise BudgetError("nothing is left")
        return state

    async def work() -> None:
        engine = sandbox.engine(sandbox.remote(), check_budgets=check)
        await engine.open()
        with pytest.raises(BudgetError):
            await sandbox.execute(engine, 4)

    sandbox.run(work())
    assert [job.state for job in sandbox.store.jobs("r")] == [JobState.FAILED]


@pytest.mark.parametrize("how", ["rejected", "cancelled"])
def test_jobs_that_were_never_tried_are_cancelled(sandbox: Sandbox, how: str) -> None:
    """A call that ends early leaves no reserved job; replayed, its rows are bought under new numbers."""
    remote = sandbox.remote(rows_in_job=1)
    faults = iter([Fault.REJECTED]) if how == "rejected" else iter([])
    remote.faults = lambda call: next(faults, None) if call == "submit" else None
    sandbox.provider.run_seconds = lambda: 10.0

    async def work() -> None:
        engine: Engine = sandbox.engine(remote)
        await engine.open()
        task = asyncio.create_task(sandbox.execute(engine, 5))
        await asyncio.sleep(0.025)
        task.cancel()
        result = (await asyncio.gather(task, return_exceptions=True))[0]
        assert isinstance(result, RejectedError if how == "rejected" else asyncio.CancelledError)
        await engine.close()
        again = sandbox.engine(remote)
        states = [job.state for job in sandbox.store.jobs("r")]
        assert JobState.RESERVED not in states
        assert states.count(JobState.CANCELLED) >= 2
        await again.open()
        await sandbox.execute(again, 5, is_replayed=True)

    sandbox.run(work())
    bought = [int(job.request.blocks[0].samples.ordinals[0]) for job in sandbox.provider.jobs.values()]
    assert sorted(bought) == [0, 1, 2, 3, 4]


def job_in(state: JobState) -> JobRecord:
    """A job."""
    return JobRecord("r/0.0.0", "r", Position(0, 0), state, 4, 20, START)


@pytest.mark.parametrize("state", JobState)
def test_a_job_moves_as_the_table_says(state: JobState) -> None:
    """Every move of the table is made, and staying is one; any other is an error of qorch, and says so."""
    for target in JobState:
        if target is state or target in MOVES[state]:
            moved = job_in(state).moved(target, at=START, attempts=3)
            assert (moved.state, moved.attempts, moved.changed_at) == (target, 3, START)
        else:
            with pytest.raises(RuntimeError, match=f"from {state} to {target}"):
                job_in(state).moved(target, at=START)


def test_nothing_is_sent_again_once_it_may_be_at_the_provider() -> None:
    """From SUBMITTED there is no way back to a state in which a job may be sent; what is over stays over."""
    assert not MOVES[JobState.SUBMITTED] & {JobState.PLANNED, JobState.RESERVED, JobState.INTENT}
    assert all(MOVES[state] <= {JobState.UNKNOWN} for state in OVER_STATES)
    assert JobState.INTENT not in MOVES[JobState.UNKNOWN]
    assert all(MOVES[state] for state in OPEN_STATES)
