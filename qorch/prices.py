"""Loads the price cards of the installed backends: data files beside the adapters, and the user's own contracts."""

from collections.abc import Collection
from functools import cache
from importlib.resources import files

from qorch.backends import backend_entry_points
from qorch.config import Config
from qorch.config_file import FileConfig, read_config_file
from qorch.errors import ConfigError
from qorch.model.backend_name import kind_of
from qorch.model.prices.book import PriceBook
from qorch.model.prices.card import PriceCard
from qorch.model.prices.reading import read_cards

FOLDER = "prices"
"""In the package of a backend's entry point: ``prices/<kind of backend>.toml``."""


def load_prices(config: Config) -> PriceBook:
    """All cards that apply. Raises ConfigError, naming file and line, for one that is not as it must be.

    Loads no adapter, and no SDK: the cards lie in the outermost package, as data.
    """
    own = read_config_file(config.file, must_exist=config.is_file_named)
    book = PriceBook(own.cards, _read_shipped(), own.plans)
    for kind, plan in book.plans.items():
        _check_plan(book, kind, plan, own)
    return book


def find_card(backend: str, config: Config) -> PriceCard | None:
    """The card of a backend, for reports: None without one, and also if the configuration file is wrong."""
    try:
        return load_prices(config).find(backend)
    except ConfigError:
        return None


@cache
def _read_shipped() -> tuple[PriceCard, ...]:
    """The cards that are installed; they do not change while a process runs."""
    packages = {kind: entry.module.partition(".")[0] for kind, entry in backend_entry_points().items()}
    return tuple(card for kind, package in packages.items() for card in _read_package(kind, package))


def _read_package(kind: str, package: str) -> Collection[PriceCard]:
    file = files(package) / FOLDER / f"{kind}.toml"
    return read_cards(file.read_text(encoding="utf-8"), name=str(file)) if file.is_file() else ()


def _check_plan(book: PriceBook, kind: str, plan: str, own: FileConfig) -> None:
    cards = [*book.own, *book.shipped]
    known = {card.plan for card in cards for name in card.backends if card.plan and kind_of(name) == kind}
    if plan not in known:
        listed = f"there are {', '.join(sorted(known))}" if known else f"no backend of '{kind}' has plans"
        raise own.error(f"there is no plan '{plan}'; {listed}", "prices", "plans", kind)
