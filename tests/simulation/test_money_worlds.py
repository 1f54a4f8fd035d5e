"""Money in simulated worlds: whatever fails or crashes, the books say what the provider charges, and a budget holds."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

import numpy as np
import pytest
from simulation.checks import judge
from simulation.workload import SHOTS
from simulation.world import World

from qorch.errors import BudgetError
from qorch.model.budget import Budget
from qorch.model.job import JobState
from qorch.model.ledger import JobBalance, balance_job
from qorch.model.money import Money
from qorch.model.prices.card import Certainty, PriceCard, UnitPrices
from qorch.model.usage import UsageState
from qorch.ports.policy import OnUnknown
from qorch.ports.records import JobRecord
from qorch.testing.fakes.provider import AcceptedJob

EXECUTION_MICROS = 1_000 * SHOTS
SECOND_MICROS = 1_600_000
SECONDS = 3
COUNT_SECONDS = 900.0


def card_of(prices: UnitPrices) -> PriceCard:
    """The fake provider's prices."""
    return PriceCard(
        backends=("fake:remote",), currency="USD", certainty=Certainty.PUBLISHED, source="a test", date=None,
        prices=prices,
    )  # fmt: skip


BY_SHOT = card_of(UnitPrices(shot=Decimal("0.001")))
BY_TIME = card_of(UnitPrices(second=Decimal("1.6")))


def kept_rows(job: AcceptedJob) -> int:
    """The rows of a job that did not fail."""
    lost = sum(len(np.unique(part.rows)) for parts in job.lost for part in parts)
    return job.request.n_rows - lost


def wrong_books(world: World) -> Iterator[str]:
    """What the ledger says that is not so, as sentences."""
    for job in world.store.jobs():
        entries = world.store.job_ledger(job.job_id)
        balance = JobBalance()
        for entry in entries:
            balance = balance.after(entry)
            if balance.reserved_micros < 0:
                yield f"{job.job_id}: {balance.reserved_micros} are reserved"
        if job.is_unsent or job.provider_id is None:
            held = balance.reserved_micros if job.state in (JobState.RESERVED, JobState.INTENT, JobState.UNKNOWN) else 0
            if (balance.reserved_micros, balance.spent_micros) != (held, 0):
                yield f"{job.job_id} is {job.state}, and has {balance}"
        elif job.state is JobState.DONE:
            yield from wrong_charge(world, job, balance)
    balances = world.store.ledger_balances()
    total = balance_job(world.store.ledger())
    sums = (sum(each.reserved_micros for each in balances), sum(each.spent_micros for each in balances))
    if sums != (total.reserved_micros, total.spent_micros):
        yield f"the balances are {sums}, and the entries {total}"


def wrong_charge(world: World, job: JobRecord, balance: JobBalance) -> Iterator[str]:
    """A job that is done has cost what the provider charges for it; or, if that counts time, it stays reserved."""
    at_provider = world.provider.jobs[job.provider_id or ""]
    assert world.card is not None
    if world.card is BY_SHOT:
        wanted = (0, kept_rows(at_provider) * EXECUTION_MICROS)
    elif job.usage is not None and job.usage.state is UsageState.REPORTED:
        wanted = (0, SECONDS * SECOND_MICROS)
    else:
        wanted = (balance.reserved_micros, 0)
    if (balance.reserved_micros, balance.spent_micros) != wanted:
        yield f"{job.job_id} should have {wanted} reserved and spent, and has {balance}"


@pytest.mark.parametrize("seeds", [12, pytest.param(1000, marks=pytest.mark.soak)])
def test_the_books_say_what_executions_cost(seeds: int) -> None:
    """Prices that are known before: a job that is done has cost its rows, one that is not there nothing."""
    spent = 0
    for seed in range(seeds):
        world = World(seed, change={"on_unknown": OnUnknown.HOLD}, card=BY_SHOT).run()
        assert [*judge(world), *wrong_books(world)] == [], seed
        spent += balance_job(world.store.ledger()).spent_micros
    assert spent > seeds * EXECUTION_MICROS


@pytest.mark.parametrize("seeds", [8, pytest.param(1000, marks=pytest.mark.soak)])
def test_the_books_say_what_time_costs(seeds: int) -> None:
    """Prices that are known once the provider has counted: until then the upper bound stays reserved."""
    spent = 0
    for seed in range(seeds):
        world = World(seed, change={"on_unknown": OnUnknown.HOLD}, card=BY_TIME)
        world.provider.charge_seconds, world.provider.count_seconds = lambda: SECONDS, lambda: COUNT_SECONDS
        world.run()
        assert [*judge(world), *wrong_books(world)] == [], seed
        spent += balance_job(world.store.ledger()).spent_micros
    assert spent > 0


@pytest.mark.parametrize("seeds", [12, pytest.param(1000, marks=pytest.mark.soak)])
def test_a_budget_is_a_wall_in_every_world(seeds: int) -> None:
    """A budget that is too small: at no entry of the ledger is more reserved and spent than it allows."""
    endings: Counter[str] = Counter()
    for seed in range(seeds):
        limit = Money("USD", 7 * EXECUTION_MICROS)
        budget = Budget(limit=limit, name="both", origin="a test")
        world = World(seed, change={"on_unknown": OnUnknown.HOLD}, card=BY_SHOT, budget=budget).run()
        assert [*judge(world), *wrong_books(world)] == [], seed
        balance = JobBalance()
        for entry in world.store.ledger():
            balance = balance.after(entry)
            assert balance.reserved_micros + balance.spent_micros <= limit.micros, (seed, entry)
        endings.update(run.endings[-1] for run in world.runs)
    assert endings[BudgetError.__name__] > seeds / 4
    assert endings["done"] > 0
