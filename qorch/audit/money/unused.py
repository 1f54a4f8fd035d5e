"""What was paid and is of no use: jobs that failed, results that were deleted, and rows that were bought again."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qorch.audit.money.purchases import Purchase
from qorch.model.job import JobState
from qorch.model.ledger import JobBalance
from qorch.model.money import Money
from qorch.ports.records import JobRecord, StepRecord

_WHYS = {JobState.FAILED: "failed", JobState.CANCELLED: "cancelled", JobState.UNKNOWN: "held"}
PRUNED, BOUGHT_AGAIN = "pruned", "bought again"


@dataclass(frozen=True)
class UnusedSpend:
    """What was spent for nothing, for one reason: ``why`` is ``failed``, ``cancelled``, ``held`` or one of the above.

    ``jobs``: which; of executions in jobs that were of use otherwise 0. ``is_estimate``: at the mean price of the run.
    """

    why: str
    jobs: int
    executions: int
    spent: Money
    is_estimate: bool = False

    def to_json(self) -> dict[str, Any]:
        """As it stands in JSON documents."""
        return {**vars(self), "spent": self.spent.to_json()}


def find_unused(
    purchase: Purchase,
    jobs: Sequence[JobRecord],
    balances: Mapping[str, JobBalance],
    *,
    steps: Sequence[StepRecord],
    stored_rows: int,
) -> tuple[UnusedSpend, ...]:
    """What a run paid for nothing, by reason. ``stored_rows``: how many of its results the store has.

    A step that asked for fewer executions than were bought for it was bought more than once, as with ``rebuy``.
    """
    over = [_spent_on(state, purchase.spent.currency, jobs, balances) for state in _WHYS]
    estimates = {
        PRUNED: purchase.executions - stored_rows,
        BOUGHT_AGAIN: sum(_surpluses(jobs, steps).values()),
    }
    prices = ((why, count, purchase.price_of(count)) for why, count in estimates.items() if count > 0)
    return tuple(each for each in over if each.spent.micros) + tuple(
        UnusedSpend(why, 0, count, price, is_estimate=True) for why, count, price in prices if price and price.micros
    )


def _spent_on(
    state: JobState, currency: str, jobs: Sequence[JobRecord], balances: Mapping[str, JobBalance]
) -> UnusedSpend:
    found = [job for job in jobs if job.state is state and job.job_id in balances]
    paid = [job for job in found if balances[job.job_id].spent_micros]
    spent = sum(balances[job.job_id].spent_micros for job in paid)
    return UnusedSpend(_WHYS[state], len(paid), sum(job.n_executions for job in paid), Money(currency, spent))


def _surpluses(jobs: Sequence[JobRecord], steps: Sequence[StepRecord]) -> dict[int, int]:
    """By finished step, how many executions more were bought for it than it asked for."""
    bought = Counter[int]()
    for job in jobs:
        if job.state is JobState.DONE:
            bought[job.position.step] += job.n_executions
    asked = {step.step: step.executions + step.executions_from_cache for step in steps}
    return {step: bought[step] - count for step, count in asked.items() if bought[step] > count}
