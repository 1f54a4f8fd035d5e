"""The money of a run, from the ledger: what was spent, on what, what it bought and saved, and what is reserved."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from qorch.audit.money.purchases import Purchase, find_purchase
from qorch.audit.money.savings import Savings, find_savings
from qorch.audit.money.sums import SpendLine, balance_jobs, is_charge, sum_days, sum_entries, sum_epochs
from qorch.audit.money.unused import UnusedSpend, find_unused
from qorch.model.ledger import EntryKind, JobBalance, LedgerRecord
from qorch.model.money import Money
from qorch.model.prices.card import PriceCard
from qorch.ports.books import BookHistory
from qorch.ports.records import JobRecord, RunRecord
from qorch.ports.store import RunHistory, StoredStatistics


class MoneySource(RunHistory, BookHistory, StoredStatistics, Protocol):
    """What the money of a run is read from."""


@dataclass(frozen=True)
class ReservedJob:
    """A job for which money is reserved, as it was not charged yet: it waits, runs, or is held."""

    job_id: str
    state: str
    reserved: Money

    def to_json(self) -> dict[str, Any]:
        """As it stands in JSON documents."""
        return {"job": self.job_id, "state": self.state, "reserved": self.reserved.to_json()}


@dataclass(frozen=True)
class Adjustment:
    """What the provider charged for ``jobs`` jobs, of which it told later, against what had been booked for them."""

    jobs: int
    booked: Money
    charged: Money

    @property
    def difference(self) -> Money:
        """What they cost more than was booked; negative: less."""
        return Money(self.booked.currency, self.charged.micros - self.booked.micros)

    def to_json(self) -> dict[str, Any]:
        """As it stands in JSON documents."""
        amounts = {"booked": self.booked, "charged": self.charged, "difference": self.difference}
        return {"jobs": self.jobs, **{name: amount.to_json() for name, amount in amounts.items()}}


@dataclass(frozen=True)
class MoneyReport:
    """The money of a run. Amounts are those of the ledger; ``lines`` by grouping: run, backend, epoch, day.

    ``currencies``: those of the entries; in more than one, nothing is added up but the lines. ``jobs_unpriced``: jobs
    that may be billed, of which the ledger knows nothing, as no price was known. ``budget``: None without one.
    """

    is_paid: bool
    currencies: tuple[str, ...]
    spent: Money
    reserved: Money
    budget: Money | None
    jobs_unpriced: int
    lines: Mapping[str, tuple[SpendLine, ...]]
    purchase: Purchase
    savings: Savings
    unused: tuple[UnusedSpend, ...]
    reserved_jobs: tuple[ReservedJob, ...]
    adjustment: Adjustment | None

    @property
    def is_mixed(self) -> bool:
        """Whether there are entries in several currencies, which cannot be added up."""
        return len(self.currencies) > 1

    @property
    def spend(self) -> Money | None:
        """What was spent so far; None if the price of a job is not known, or the currencies differ."""
        return None if self.jobs_unpriced or self.is_mixed else self.spent

    @property
    def used_share(self) -> float | None:
        """The part of the budget that is spent or reserved; None without one, or if it is in another currency."""
        if (
            self.budget is None
            or not self.budget.micros
            or self.is_mixed
            or self.budget.currency != self.spent.currency
        ):
            return None
        return (self.spent.micros + self.reserved.micros) / self.budget.micros

    def to_json(self) -> dict[str, Any]:
        """The key ``money`` of a report's document; what cannot be told is null."""
        amounts = {} if self.is_mixed else {"spent": self.spent.to_json(), "reserved": self.reserved.to_json()}
        return {
            "currencies": list(self.currencies),
            "spent": None,
            "reserved": None,
            **amounts,
            "budget": None if self.budget is None else self._budget_json(self.budget),
            "jobs_without_price": self.jobs_unpriced,
            **{f"by_{name}": [line.to_json(name) for line in lines] for name, lines in self.lines.items()},
            "bought": None if self.is_mixed else self.purchase.to_json(),
            "saved": None if self.is_mixed else self.savings.to_json(),
            "unused": [] if self.is_mixed else [each.to_json() for each in self.unused],
            "reserved_jobs": [job.to_json() for job in self.reserved_jobs],
            "adjusted": None if self.adjustment is None else self.adjustment.to_json(),
        }

    def _budget_json(self, budget: Money) -> dict[str, Any]:
        used = self.spent.micros + self.reserved.micros
        left = None if self.used_share is None else Money(budget.currency, budget.micros - used).to_json()
        return {"limit": budget.to_json(), "left": left, "used_share": self.used_share}


def make_money(
    store: MoneySource, run: RunRecord, jobs: Sequence[JobRecord], *, from_cache: int, card: PriceCard | None
) -> MoneyReport:
    """The money of a run with these jobs. ``from_cache``: executions that stored results stood in for.

    ``card``: the prices of its backend; None if they are not known, as then what packing saved.
    """
    entries, steps = store.ledger(run.run_id), store.steps(run.run_id)
    balances = balance_jobs(entries)
    currencies = tuple(sorted({entry.currency for entry in entries}))
    currency = currencies[0] if currencies else run.currency or "USD"
    spent = Money(currency, sum(entry.micros for entry in entries if is_charge(entry)))
    unpriced = sum(run.may_charge and job.may_be_billed and job.job_id not in balances for job in jobs)
    purchase = find_purchase(
        spent, jobs, balances, steps=steps, metrics=store.metrics(run.run_id), jobs_unpriced=unpriced
    )
    waiting = _reserved_jobs(jobs, balances, currency)
    stored_rows = {run_id: rows for run_id, rows, _ in store.cache_statistics().runs}.get(run.run_id, 0)
    return MoneyReport(
        is_paid=bool(entries) or run.may_charge,
        currencies=currencies,
        spent=spent,
        reserved=Money(currency, sum(job.reserved.micros for job in waiting)),
        budget=None if run.budget_micros is None else Money(run.currency or currency, run.budget_micros),
        jobs_unpriced=unpriced,
        lines={
            "run": sum_entries(entries, name=lambda entry: entry.run_id),
            "backend": sum_entries(entries, name=lambda _: run.backend),
            "epoch": sum_epochs(entries, steps),
            "day": sum_days(entries),
        },
        purchase=purchase,
        savings=find_savings(purchase, jobs, executions_from_cache=from_cache, card=card),
        unused=find_unused(purchase, jobs, balances, steps=steps, stored_rows=stored_rows),
        reserved_jobs=waiting,
        adjustment=_find_adjustment(entries, balances, currency),
    )


def _reserved_jobs(
    jobs: Iterable[JobRecord], balances: Mapping[str, JobBalance], currency: str
) -> tuple[ReservedJob, ...]:
    return tuple(
        ReservedJob(job.job_id, job.state.value, Money(currency, balances[job.job_id].reserved_micros))
        for job in jobs
        if job.job_id in balances and balances[job.job_id].reserved_micros > 0
    )


def _find_adjustment(
    entries: Iterable[LedgerRecord], balances: Mapping[str, JobBalance], currency: str
) -> Adjustment | None:
    """What was booked at first, and what was charged in the end, of the jobs that were adjusted."""
    moved: dict[str, int] = {}
    for entry in entries:
        if entry.kind is EntryKind.ADJUSTED and entry.job_id is not None:
            moved[entry.job_id] = moved.get(entry.job_id, 0) + entry.micros
    if not moved:
        return None
    charged = sum(balances[job_id].spent_micros for job_id in moved)
    return Adjustment(len(moved), Money(currency, charged - sum(moved.values())), Money(currency, charged))
