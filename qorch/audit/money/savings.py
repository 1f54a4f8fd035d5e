"""What a run did not have to pay: results from the cache, and executions that shared a job."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from qorch.audit.money.purchases import Purchase
from qorch.model.job import JobState
from qorch.model.money import MICROS_PER_UNIT, Money
from qorch.model.prices.card import PriceCard
from qorch.ports.records import JobRecord


@dataclass(frozen=True)
class Savings:
    """What was saved. ``cache``: an estimate, at the run's own mean price of an execution; None if it has none.

    ``packing``: fees for jobs that would have been due if each execution had been a job of its own, by the price card;
    None if the card is not known, or its prices do not tell. ``jobs_saved``: how many jobs that are.
    """

    executions_from_cache: int
    cache: Money | None
    jobs_saved: int
    packing: Money | None

    def to_json(self) -> dict[str, Any]:
        """As it stands in JSON documents."""
        return {
            "executions_from_cache": self.executions_from_cache,
            "cache": None if self.cache is None else self.cache.to_json(),
            "cache_is_estimate": True,
            "jobs_saved": self.jobs_saved,
            "packing": None if self.packing is None else self.packing.to_json(),
        }


def find_savings(
    purchase: Purchase, jobs: Iterable[JobRecord], *, executions_from_cache: int, card: PriceCard | None
) -> Savings:
    """What cache and packing saved a run; ``card``: the prices of its backend, as they are now."""
    jobs_saved = sum(max(0, job.n_executions - 1) for job in jobs if job.state is JobState.DONE)
    return Savings(
        executions_from_cache=executions_from_cache,
        cache=purchase.price_of(executions_from_cache),
        jobs_saved=jobs_saved,
        packing=_price_jobs(jobs_saved, card),
    )


def _price_jobs(count: int, card: PriceCard | None) -> Money | None:
    """What the card asks for so many jobs, apart from what is in them."""
    # A minimum is due for small jobs alone, and how small one execution is, the books do not tell.
    if card is None or card.prices is None or card.minimums.job or card.minimums.mitigated_job or card.minimums.seconds:
        return None
    return Money(card.currency, int(Decimal(count) * card.prices.job * MICROS_PER_UNIT))
