"""Whether a backend can do what is asked of it, before anything is written or sent."""

from collections.abc import Iterable
from dataclasses import replace

import numpy.typing as npt

from qorch.errors import MoneyError, ShotsError, UnknownPriceError, UsageError
from qorch.model.arrays import FloatArray, as_numbers
from qorch.model.budget import Budget
from qorch.model.kinds import check_kind
from qorch.model.prices.book import PriceBook, decide_price
from qorch.model.prices.card import Certainty, PriceCard
from qorch.model.pub import Pub
from qorch.ports.backend import Backend, ExactGradients, OfflinePlanner, RemoteBackend


def check_shots(backend: Backend | OfflinePlanner, shots: int | None) -> None:
    """Raise ShotsError for a number that the backend does not take; None is exact."""
    limits = backend.capabilities
    if shots is None and not limits.exact:
        raise ShotsError(f"{backend.name} has no exact results; give a number of shots")
    if shots is not None and shots > limits.max_shots:
        raise ShotsError(f"shots is {shots}; {backend.name} takes at most {limits.max_shots} a row")


def check_exact_gradients(backend: Backend | OfflinePlanner) -> None:
    """Raise UsageError if gradients can only be measured."""
    limits = backend.capabilities
    if not limits.exact_gradients:
        how = "gradient='parameter-shift'" + (" with shots=None" if limits.exact else "")
        raise UsageError(f"{backend.name} has no exact gradients; use {how}")


def require_exact_gradients(backend: Backend) -> ExactGradients:
    """The backend, which differentiates exact values itself. Raises UsageError if it does not."""
    check_exact_gradients(backend)
    if not isinstance(backend, ExactGradients):
        raise UsageError(f"{backend.name} says that it has exact gradients, but it has no method `vjp`")
    return backend


def as_cotangents(cotangents: npt.ArrayLike, pub: Pub) -> FloatArray:
    """Cotangents of a pub; the backend checks their shape. Raises UsageError unless it is one, and they are numbers."""
    check_kind(pub, Pub, "pub", wanted="a qorch.Pub")
    return as_numbers(cotangents, what="cotangents")


def booked_card(backend: Backend, card: PriceCard) -> PriceCard:
    """The prices by which jobs are booked, and budgets kept; unknown if not jobs are billed, but their session."""
    is_known = card.is_known and not card.is_free
    if not is_known or not isinstance(backend, RemoteBackend) or not backend.terms.bills_sessions:
        return card
    source = "a session is billed by its time, whether jobs run or not, which qorch does not count"
    return replace(card, prices=None, certainty=Certainty.UNKNOWN, source=source)


def check_budgets(backend: Backend, card: PriceCard, budgets: Iterable[Budget]) -> None:
    """Raise a UsageError for a budget that cannot be kept there, as the price is not known, or has another currency.

    Where nothing costs, every budget is kept.
    """
    if card.is_free:
        return
    for budget in budgets:
        if not card.is_known:
            raise UnknownPriceError(
                f"the budget {budget} cannot be kept on {backend.name}, whose price is not known"
                f" ({card.source}). Put a card with your prices into the configuration file (`qorch prices` shows where"
                f" it is), or go on without it: {_drop(budget)}"
            )
        if budget.limit.currency != card.currency:
            raise MoneyError(
                f"the budget {budget} cannot be kept on {backend.name}, whose prices are in {card.currency}"
                f" ({card.source}): give the limit in {card.currency}"
            )


def _drop(budget: Budget) -> str:
    return "--budget none, in Python budget='none'" if budget.run_id else "give the scope another backend="


def check_price(backend: Backend, book: PriceBook, *, accepts_unknown: bool) -> PriceCard:
    """What the backend costs. Raises UnknownPriceError if that is not known, and nobody said that this is accepted."""
    card = decide_price(backend.name, charges=backend.capabilities.charges, book=book)
    if card.is_known or accepts_unknown:
        return card
    raise UnknownPriceError(
        f"{backend.name} charges, and its price is not known ({card.source}). Put a card with your prices into the"
        " configuration file (`qorch prices` shows where it is), or accept that: --accept-unknown-price, in Python"
        " accept_unknown_price=True"
    )


def where_to_limit(backend: Backend) -> str:
    """The advice to limit spending at the provider, there and by what stands in the backend's name."""
    terms = backend.terms if isinstance(backend, RemoteBackend) else None
    console = f": {terms.console}" if terms is not None and terms.console else ""
    option = f"; {terms.limit_option} in the backend's name sets a limit there" if terms and terms.limit_option else ""
    return f"see and limit what is spent at the provider{console}{option}"
