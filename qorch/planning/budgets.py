"""Whether what a call may cost keeps within all budgets that apply, and the sentence that says so if it does not."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from qorch.errors import BudgetError
from qorch.model.budget import Budget
from qorch.model.ledger import LedgerBalance
from qorch.model.money import Money
from qorch.model.text import format_count

WARNED_PERCENT = 80
"""Of a limit; once as much is reserved and spent, a line says so."""


@dataclass(frozen=True)
class BudgetBalance:
    """What of a budget was used up when something was granted: ``since``, in UTC, the period counts."""

    budget: Budget
    since: datetime.date
    spent: Money
    reserved: Money

    @property
    def used(self) -> Money:
        """Both together."""
        return self.spent + self.reserved

    @property
    def is_nearly_up(self) -> bool:
        """Whether WARNED_PERCENT of the limit are used."""
        return 0 < self.budget.limit.micros * WARNED_PERCENT <= self.used.micros * 100

    def __str__(self) -> str:
        """Such as ``90 % of the budget of this run (25.00 USD) are used: 12.50 USD spent, 10.00 USD reserved``."""
        percent = 100 * self.used.micros // max(1, self.budget.limit.micros)
        return f"{percent} % of the budget {self.budget} are used: {self.spent} spent, {self.reserved} reserved"


@dataclass(frozen=True)
class Buyer:
    """The run whose calls cost: what budgets choose by. ``workload``: what `qorch train` trains, None of a script."""

    run_id: str
    run_name: str
    backend: str
    account: str
    workload: str | None = None

    def resume_with(self, budget: Money | None) -> str:
        """How the run is resumed, with another budget of its own if one is given."""
        if self.workload is None:
            amount = f', budget="{budget}"' if budget else ""
            return f'start_run("{self.run_id}", ..., resume=True{amount})'
        amount = f' --budget "{budget}"' if budget else ""
        return f"qorch train {self.workload} --resume {self.run_id}{amount}"


@dataclass(frozen=True)
class RunBudgets:
    """The budgets that apply to a run: all must cover what it reserves. They have one currency, that of the prices."""

    budgets: tuple[Budget, ...]
    buyer: Buyer

    def since(self, today: datetime.date) -> datetime.date:
        """The first day whose balances are needed."""
        return min((budget.first_day(today) for budget in self.budgets), default=today)

    def grant(
        self, balances: Sequence[LedgerBalance], needed: Money, *, today: datetime.date, n_jobs: int
    ) -> tuple[BudgetBalance, ...]:
        """What is used of each budget once ``needed`` is reserved for so many jobs. Pure.

        ``balances``: of all runs, from ``since(today)`` on; of other currencies they do not count. Raises BudgetError
        if one of the budgets does not cover it.
        """
        uses = [use_of(budget, balances, today=today, currency=needed.currency) for budget in self.budgets]
        short = [use for use in uses if needed.micros and (use.used + needed).micros > use.budget.limit.micros]
        if short:
            raise BudgetError(_refuse(short, needed, buyer=self.buyer, today=today, n_jobs=n_jobs))
        return tuple(BudgetBalance(use.budget, use.since, use.spent, use.reserved + needed) for use in uses)


def applied_budgets(run_budget: Money | None, scopes: Sequence[Budget], buyer: Buyer) -> RunBudgets:
    """The run's own budget, if it has one, and the scopes that cover the run."""
    own = () if run_budget is None else (Budget(limit=run_budget, run_id=buyer.run_id),)
    covering = (scope for scope in scopes if _covers(scope, buyer))
    return RunBudgets((*own, *covering), buyer)


def use_of(budget: Budget, balances: Sequence[LedgerBalance], *, today: datetime.date, currency: str) -> BudgetBalance:
    """What of a budget is used, also by jobs that were reserved before it was written down."""
    since = budget.first_day(today)
    counted = [
        balance
        for balance in balances
        if balance.day >= since and balance.currency == currency and _covers(budget, balance)
    ]
    spent = sum(balance.spent_micros for balance in counted)
    reserved = sum(balance.reserved_micros for balance in counted)
    return BudgetBalance(budget, since, Money(currency, spent), Money(currency, reserved))


def _covers(budget: Budget, of: Buyer | LedgerBalance) -> bool:
    return budget.covers(run_id=of.run_id, run_name=of.run_name, backend=of.backend, account=of.account)


def _refuse(short: Sequence[BudgetBalance], needed: Money, *, buyer: Buyer, today: datetime.date, n_jobs: int) -> str:
    """Ends with the line that resumes the run, to which a caller may add where its database is."""
    own = [use.used + needed for use in short if use.budget.run_id]
    steps = [_next_step(use.budget, today) for use in short if not use.budget.run_id]
    used = "; ".join(f"the budget {use.budget} has {use.spent} spent and {use.reserved} reserved" for use in short)
    raised = [*steps, *(["give the run a larger one"] if own else [])]
    command = next((use.budget.resume_with for use in short if use.budget.resume_with), "")
    jobs = "job" if n_jobs == 1 else format_count(n_jobs, "job")
    return (
        f"the next {jobs} may cost {needed}, which is more than is left: {used}. Nothing more was sent, and what was"
        f" executed is stored. To go on, {', and '.join(raised)}:"
        f" {command or buyer.resume_with(own[0] if own else None)}"
    )


def _next_step(budget: Budget, today: datetime.date) -> str:
    raised = f"raise the limit of '{budget.name}' ({budget.origin})"
    return raised if budget.per is None else f"{raised} or wait until {budget.per.next_day(today)} (UTC)"
