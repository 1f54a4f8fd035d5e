"""What an observer is told of remote jobs: also what is written in one transaction with a permit or a reservation."""

from collections.abc import Iterator
from typing import Any, cast

import pytest
from observing import Memory
from simulation.harness import CENT_A_SHOT, Sandbox

from qorch.errors import BudgetError, UnreachableError
from qorch.model.budget import Budget
from qorch.model.job import AttemptOutcome, JobState
from qorch.model.ledger import LedgerRecord
from qorch.model.money import Money
from qorch.observers.feed import Feed
from qorch.observers.observed_store import observe_store
from qorch.planning.budgets import Buyer, RunBudgets
from qorch.ports.observer import Refusal
from qorch.ports.records import AttemptRecord, JobRecord
from qorch.ports.store import SyncingStore
from qorch.stores import SelfCheckingStore
from qorch.testing.fakes.remote import PAID


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """One world; no task may be left in it."""
    made = Sandbox()
    yield made
    made.close()


def test_paid_remote_jobs_are_told_with_every_move(sandbox: Sandbox) -> None:
    """Reserved with their money, sent, accepted, done: in the order in which they are written, each once."""
    memory, plain = Memory(), sandbox.store
    feed = Feed([memory], clock=sandbox.clock)
    sandbox.store = observe_store(plain, feed)
    budgets = RunBudgets((Budget(limit=Money("USD", 2_000_000), run_id="r"),), Buyer("r", "r", "fake:remote", ""))
    engine = sandbox.engine(sandbox.remote(capabilities=PAID), card=CENT_A_SHOT, budgets=budgets)

    async def work() -> None:
        await engine.open()
        await sandbox.execute(engine, 8)
        with pytest.raises(BudgetError):
            await sandbox.execute(engine, 80, call=1)

    sandbox.run(work())
    feed.close()
    assert [job.state for job in memory.told(JobRecord)] == [
        JobState.RESERVED, JobState.INTENT, JobState.SUBMITTED, JobState.DONE,
    ]  # fmt: skip
    assert memory.told(LedgerRecord) == plain.ledger()
    outcomes = [attempt.outcome for attempt in memory.told(AttemptRecord)]
    assert (outcomes[0], outcomes[-1]) == (AttemptOutcome.INTENT, AttemptOutcome.ACCEPTED)
    [refusal] = memory.told(Refusal)
    assert refusal.error == "BudgetError"


def test_what_cannot_be_written_with_a_decision_is_not_told(sandbox: Sandbox) -> None:
    """Nothing was written, so nothing happened; an error that is no refusal is the run's own to tell."""
    memory = Memory()
    feed = Feed([memory], clock=sandbox.clock)
    observed = observe_store(sandbox.store, feed)

    def fail(_state: bytes | None, _now_ns: int) -> None:
        raise UnreachableError("no")

    with pytest.raises(UnreachableError):
        observed.update_shared_state("name", cast("Any", fail)).result()
    feed.close()
    assert memory.events == []


def test_everything_else_is_the_stores_own(sandbox: Sandbox) -> None:
    """It has no more and no fewer abilities, and the same name."""
    feed = Feed([Memory()], clock=sandbox.clock)
    observed = observe_store(sandbox.store, feed)
    assert (observed.store_id, observed.location) == (sandbox.store.store_id, sandbox.store.location)
    for ability in (SyncingStore, SelfCheckingStore):
        assert isinstance(observed, ability) == isinstance(sandbox.store, ability)
    feed.close()
