"""All price cards that apply: the user's own before those that come with the adapters."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from qorch.model.backend_name import kind_of, mocked_name, stem_of
from qorch.model.prices.card import Certainty, PriceCard, UnitPrices


@dataclass(frozen=True)
class PriceBook:
    """``own``: cards of the user's contracts, which win; ``shipped``: those of the installed adapters.

    ``plans``: which plan of a provider the user has, by the kind of backend.
    """

    own: tuple[PriceCard, ...] = ()
    shipped: tuple[PriceCard, ...] = ()
    plans: Mapping[str, str] = field(default_factory=dict)

    def find(self, backend: str) -> PriceCard | None:
        """The first card that fits a backend's name; of several for the same backends, that of the user's plan.

        A mock has the card of the backend that it stands for. None if there is none.
        """
        name = mocked_name(backend) or stem_of(backend)
        plan = self.plans.get(kind_of(name), "")
        for cards in (self.own, self.shipped):
            first = next((card for card in cards if fits(card, name)), None)
            if first is not None:
                alike = (card for card in cards if card.backends == first.backends and card.plan == plan)
                return next(alike, first)
        return None

    def examples(self) -> tuple[str, ...]:
        """The names of backends that stand for all cards in comparisons, each once."""
        return tuple(dict.fromkeys(name for card in (*self.own, *self.shipped) for name in card.examples))

    def is_own(self, card: PriceCard) -> bool:
        """Whether a card is one of the user's."""
        return card in self.own


def fits(card: PriceCard, stem: str) -> bool:
    """Whether one of a card's patterns is the name of a backend without its options."""
    return any(fnmatchcase(stem, pattern.lower()) for pattern in card.backends)


def decide_price(backend: str, *, charges: bool, book: PriceBook) -> PriceCard:
    """What a backend costs. Whether its jobs are treated as paid ones is the word of its adapter alone (``charges``).

    Without a card, a backend that does not charge by its own word (``charges``) is free, and one that does has an
    unknown price.
    """
    found = book.find(backend)
    if found is not None:
        return found
    return PriceCard(
        backends=(stem_of(backend),),
        currency="USD",
        certainty=Certainty.UNKNOWN if charges else Certainty.EXACT,
        source="there is no price card for it" if charges else "its adapter says that it does not charge",
        date=None,
        prices=None if charges else UnitPrices(),
    )
