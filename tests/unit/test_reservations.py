"""All jobs of a call are reserved before the first is sent, or refused together; a job moves as the table says."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from simulation.harness import CENT_A_SHOT, Sandbox

from qorch.engine.engine import Engine
from qorch.errors import BudgetError, JobFailedError, RejectedError, UnknownPriceError
from qorch.model.identity import Position
from qorch.model.job import MOVES, OPEN_STATES, OVER_STATES, JobState
from qorch.model.ledger import EntryKind, LedgerRecord
from qorch.model.money import parse_money
from qorch.model.prices.card import UnitPrices
from qorch.planning.budgets import Buyer, applied_budgets
from qorch.ports.records import JobRecord
from qorch.testing.fakes.provider import Fault
from qorch.testing.fakes.remote import HOLD, PAID, FakeRemote
from qorch.testing.virtual_time import START


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """One world; no task may be left in it."""
    made = Sandbox()
    yield made
    made.close()


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


def limited_engine(sandbox: Sandbox, usd: str, **settings: Any) -> Engine:
    """The engine of a run with a budget, on a provider that charges 0.01 USD a shot."""
    remote = sandbox.remote(capabilities=PAID, **settings)
    buyer = Buyer("r", "r", remote.name, remote.terms.account)
    return sandbox.engine(remote, card=CENT_A_SHOT, budgets=applied_budgets(parse_money(usd), (), buyer))


def amounts(sandbox: Sandbox) -> tuple[int, int]:
    """What is reserved and spent, in cents."""
    [balance] = sandbox.store.ledger_balances()
    return balance.reserved_micros // 10_000, balance.spent_micros // 10_000


def test_a_refused_call_leaves_nothing_behind(sandbox: Sandbox) -> None:
    """All jobs of a call are covered together or refused; nothing of it is written or sent, and a smaller one goes on.

    A row has 20 shots: 0.20 USD.
    """

    async def work() -> None:
        engine = limited_engine(sandbox, "1.60 USD", rows_in_job=2)
        await engine.open()
        await sandbox.execute(engine, 4)
        with pytest.raises(
            BudgetError, match=r"the next 3 jobs may cost 1\.20 USD, .* 0\.80 USD spent and 0\.00 USD reserved"
        ):
            await sandbox.execute(engine, 6, step=1)
        assert sandbox.store.jobs_at("r", Position(1, 0)) == []
        await sandbox.execute(engine, 4, step=1)

    sandbox.run(work())
    assert amounts(sandbox) == (0, 160)
    assert sandbox.provider.calls["submit"] == 4
    assert [job.state for job in sandbox.store.jobs("r")] == [JobState.DONE] * 4


def test_a_check_that_breaks_leaves_nothing_behind(sandbox: Sandbox) -> None:
    """An error while money is counted is no decision: as little is written as of a call that is refused."""
    sandbox.store.reserve = lambda check, *, since: failed(ZeroDivisionError())  # type: ignore[assignment, method-assign]

    async def work() -> None:
        engine = limited_engine(sandbox, "5 USD")
        await engine.open()
        with pytest.raises(ZeroDivisionError):
            await sandbox.execute(engine, 4)
        await engine.close()

    sandbox.run(work())
    assert sandbox.store.jobs("r") == []


def failed(error: Exception) -> "Future[Any]":
    """A future with this error."""
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


def test_rows_that_run_again_are_reserved_too(sandbox: Sandbox) -> None:
    """What repeats a failed job is refused if another turned out to cost more than the budget, and leaves nothing."""

    def fail() -> JobFailedError:
        dear = LedgerRecord("r", None, EntryKind.ADJUSTED, "USD", 5_000_001, sandbox.clock.now(), day=START.date())
        sandbox.store.write([dear]).result()
        return JobFailedError("lost", is_repeatable=True)

    sandbox.provider.failures = fail

    async def work() -> None:
        engine = limited_engine(sandbox, "5 USD")
        await engine.open()
        with pytest.raises(BudgetError, match=r"has 5\.000001 USD spent"):
            await sandbox.execute(engine, 4)

    sandbox.run(work())
    assert [job.state for job in sandbox.store.jobs("r")] == [JobState.FAILED]


def test_free_jobs_cost_nothing_to_reserve(sandbox: Sandbox) -> None:
    """Where nothing costs, nothing is measured and no balance is read; where no price is known, nothing is booked."""

    async def work(remote: FakeRemote) -> None:
        engine = sandbox.engine(remote)
        await engine.open()
        await sandbox.execute(engine, 4)
        await engine.close()

    sandbox.store.reserve = lambda check, *, since: failed(AssertionError())  # type: ignore[assignment, method-assign]
    remote = sandbox.remote()
    encoded = []
    encode = remote.encode
    remote.encode = lambda request, *, key: encoded.append(key) or encode(request, key=key)  # type: ignore[method-assign, func-returns-value]
    sandbox.run(work(remote))
    assert len(encoded) == 1
    assert sandbox.store.ledger() == []


def test_a_budget_needs_a_price(sandbox: Sandbox) -> None:
    """A job whose time is billed, and not estimated, cannot be covered; it is refused before it is written down."""
    card = replace(CENT_A_SHOT, prices=UnitPrices(second=Decimal(1)))

    async def work() -> None:
        remote = sandbox.remote(capabilities=PAID)
        buyer = Buyer("r", "r", remote.name, remote.terms.account)
        engine = sandbox.engine(remote, card=card, budgets=applied_budgets(parse_money("5 USD"), (), buyer))
        await engine.open()
        with pytest.raises(UnknownPriceError, match="how long it can be"):
            await sandbox.execute(engine, 4)

    sandbox.run(work())
    assert sandbox.store.jobs("r") == []


@pytest.mark.parametrize("is_granted", [True, False], ids=["granted", "refused"])
def test_a_call_that_is_cancelled_while_it_reserves(sandbox: Sandbox, *, is_granted: bool) -> None:
    """The reservation is decided all the same: what was granted is released again, and of a refused one nothing is."""
    reserve, decided = sandbox.store.reserve, asyncio.Event()

    def reserve_later(check: Any, *, since: Any) -> "Future[Any]":
        future: Future[Any] = Future()

        def decide() -> None:
            done = reserve(check, since=since)
            decided.set()
            error = done.exception()
            if error is None:
                future.set_result(done.result())
            else:
                future.set_exception(error)

        asyncio.get_running_loop().call_later(1.0, decide)
        return future

    sandbox.store.reserve = reserve_later  # type: ignore[method-assign]

    async def work() -> None:
        engine = limited_engine(sandbox, "5 USD" if is_granted else "0.10 USD")
        await engine.open()
        task = asyncio.create_task(sandbox.execute(engine, 4))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert decided.is_set()
        await engine.close()

    sandbox.run(work())
    assert [job.state for job in sandbox.store.jobs("r")] == ([JobState.CANCELLED] if is_granted else [])
    assert [entry.kind for entry in sandbox.store.ledger()] == (["reserved", "released"] if is_granted else [])
    assert sandbox.provider.calls["submit"] == 0


def test_what_was_not_sent_is_released(sandbox: Sandbox) -> None:
    """A call whose first job is rejected for good gives back the money of all of its jobs."""
    faults = iter([Fault.REJECTED])

    async def work() -> None:
        engine = limited_engine(
            sandbox, "5 USD", rows_in_job=1, faults=lambda call: next(faults, None) if call == "submit" else None,
            terms=replace(HOLD, most_jobs=1),
        )  # fmt: skip
        await engine.open()
        with pytest.raises(RejectedError):
            await sandbox.execute(engine, 4)
        await engine.close()

    sandbox.run(work())
    assert amounts(sandbox) == (0, 0)
    assert JobState.RESERVED not in {job.state for job in sandbox.store.jobs("r")}


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
