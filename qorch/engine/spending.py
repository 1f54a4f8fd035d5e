"""The lines about money: what the first call of a run buys and what limits it, and that a budget is nearly used up."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from qorch.limits import where_to_limit
from qorch.model.backend_name import is_mock, mocked_name
from qorch.model.text import format_count
from qorch.planning.budgets import BudgetBalance, RunBudgets
from qorch.planning.quoting import Quote
from qorch.ports.backend import Backend

_log = logging.getLogger("qorch.runs")
_MOST_BUDGETS = 10_000
"""A process that has warned of more may repeat itself."""


class SpendingNotice:
    """Logs one line before the first job of an engine whose backend charges, and one for each budget nearly used up."""

    def __init__(self, backend: Backend, budgets: RunBudgets) -> None:
        """Nothing is logged before ``say`` and ``note_use``."""
        self._backend = backend
        self._budgets = budgets
        self.is_due = backend.capabilities.charges

    def say(self, quote: Quote) -> None:
        """Log what the first jobs buy, once."""
        if self.is_due and quote.jobs:
            self.is_due = False
            _log.warning("%s", describe_purchase(self._backend, quote, self._budgets))

    def note_use(self, uses: Sequence[BudgetBalance]) -> None:
        """Log each budget of which so much is used for the first time in this process, or in this day or month."""
        for use in uses:
            if use.is_nearly_up:
                _find_alarm(use.budget, use.since).ring(use)


def describe_purchase(backend: Backend, quote: Quote, budgets: RunBudgets) -> str:
    """The line about the first jobs of a run on a backend that charges."""
    bought = (
        f"{format_count(quote.executions, 'execution')} ({format_count(quote.shots, 'shot')}) in"
        f" {format_count(quote.jobs, 'job')}"
    )
    limits = ", ".join(f"the budget {budget}" for budget in budgets.budgets)
    if is_mock(backend.name):
        limited = f". Limited by {limits}" if budgets.budgets else ""
        return (
            f"{backend.name} is a mock: nothing is sent, and nothing is charged. {mocked_name(backend.name)} would"
            f" charge{_describe_cost(quote)}, which buys {bought}{limited}"
        )
    account = f" (account {budgets.buyer.account})" if budgets.buyer.account else ""
    if budgets.budgets:
        return f"{backend.name} charges{_describe_cost(quote)}, which buys {bought}. Limited by {limits}{account}"
    return (
        f"{backend.name} charges, and no budget limits what this run costs{_describe_cost(quote)}. The first call buys"
        f" {bought}; {where_to_limit(backend)}{account}, or with --budget, in Python budget="
    )


def _describe_cost(quote: Quote) -> str:
    """Such as ``: 12.42 USD for its first call, by proxy prices of 2024-12-01``."""
    card = quote.card
    if quote.cost is None:
        return ", which is not known"
    dated = "" if card.date is None else f" of {card.date:%Y-%m-%d}"
    return f": {quote.cost} for its first call, by {card.certainty} prices{dated}"


@dataclass(eq=False)
class _Alarm:
    """Rings once."""

    has_rung: bool = False

    def ring(self, use: BudgetBalance) -> None:
        """Log that the budget is nearly used up, unless that was said."""
        if not self.has_rung:
            self.has_rung = True
            _log.warning("%s", use)


@lru_cache(_MOST_BUDGETS)
def _find_alarm(_budget: object, _since: object) -> _Alarm:
    """The one alarm that this process has for a budget and a period of it."""
    return _Alarm()
