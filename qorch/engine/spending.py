"""The line before the first paid job of a run: what its first call buys, by which prices, and what limits it."""

import logging

from qorch.limits import where_to_limit
from qorch.model.text import format_count
from qorch.planning.quoting import Quote
from qorch.ports.backend import Backend

_log = logging.getLogger("qorch.runs")


class SpendingNotice:
    """Logs one line before the first job of an engine whose backend charges."""

    def __init__(self, backend: Backend) -> None:
        """Nothing is logged before ``say``."""
        self._backend = backend
        self.is_due = backend.capabilities.charges

    def say(self, quote: Quote) -> None:
        """Log what the first jobs buy, once."""
        if self.is_due and quote.jobs:
            self.is_due = False
            _log.warning("%s", describe_purchase(self._backend, quote))


def describe_purchase(backend: Backend, quote: Quote) -> str:
    """The line about the first jobs of a run on a backend that charges."""
    bought = f"{format_count(quote.executions, 'execution')} ({format_count(quote.shots, 'shot')})"
    return (
        f"{backend.name} charges, and no budget limits what this run costs{_describe_cost(quote)}. The first call buys"
        f" {bought} in {format_count(quote.jobs, 'job')}; {where_to_limit(backend)}"
    )


def _describe_cost(quote: Quote) -> str:
    """Such as ``: 12.42 USD for its first call, by proxy prices of 2024-12-01``."""
    card = quote.card
    if quote.cost is None:
        return ", which is not known"
    dated = "" if card.date is None else f" of {card.date:%Y-%m-%d}"
    return f": {quote.cost} for its first call, by {card.certainty} prices{dated}"
