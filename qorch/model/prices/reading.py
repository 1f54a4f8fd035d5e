"""Reads price cards from TOML, strictly: whatever is missing, negative, unknown or of a wrong kind is refused."""

import datetime
import re
from collections.abc import Mapping
from decimal import Decimal

import msgspec

from qorch.model.prices.card import Certainty, Minimums, PriceCard, UnitPrices
from qorch.model.toml import Path, TomlFile, parse_toml

MAX_PRICE = Decimal(1_000_000)
"""In units of a currency, for one unit of anything; more is a typing error."""
_CURRENCY = re.compile(r"[A-Z]{3}")


class WrittenCard(msgspec.Struct, forbid_unknown_fields=True):
    """A card as it is written. ``prices`` may be missing only if the certainty is unknown."""

    backends: list[str]
    certainty: Certainty
    source: str
    date: datetime.date
    currency: str = ""
    prices: dict[str, Decimal | int] | None = None
    minimums: dict[str, Decimal | int] = {}
    plan: str = ""
    examples: list[str] | None = None
    note: str = ""


class _WrittenFile(msgspec.Struct, forbid_unknown_fields=True):
    card: list[WrittenCard]


def read_cards(text: str, *, name: str) -> tuple[PriceCard, ...]:
    """The cards of a file of ``[[card]]`` tables. Raises ConfigError, naming file and line."""
    file = parse_toml(text, name=name)
    return tuple(as_card(card, file, ("card", index)) for index, card in enumerate(file.convert(_WrittenFile).card))


def as_card(wire: WrittenCard, file: TomlFile, path: Path) -> PriceCard:
    """A checked card, which stands at ``path`` of the file. Raises ConfigError, naming file and line."""
    _check_texts(wire, file, path)
    is_unknown = wire.certainty is Certainty.UNKNOWN
    if is_unknown and (wire.prices is not None or wire.minimums):
        raise file.error("an unknown price has no prices and no minimums; leave them out", (*path, "certainty"))
    if not is_unknown and not wire.prices:
        raise file.error(
            'prices are missing; write for example prices = { shot = 0.01 }, or certainty = "unknown"', path
        )
    prices = _as_numbers(wire.prices or {}, UnitPrices, file, (*path, "prices"))
    minimums = _as_numbers(wire.minimums, Minimums, file, (*path, "minimums"))
    if not is_unknown and not _CURRENCY.fullmatch(wire.currency):
        where = (*path, "currency") if wire.currency else path
        raise file.error(f"currency is '{wire.currency}'; write a code such as \"USD\"", where)
    return PriceCard(
        backends=tuple(wire.backends),
        currency=wire.currency or "USD",
        certainty=wire.certainty,
        source=wire.source,
        date=wire.date,
        prices=None if is_unknown else UnitPrices(**prices),
        minimums=Minimums(**minimums),
        plan=wire.plan,
        examples=tuple(_plain_names(wire.backends) if wire.examples is None else wire.examples),
        note=wire.note,
        origin=f"{file.name}, line {file.line_of(path)}",
    )


def _plain_names(patterns: list[str]) -> list[str]:
    return [pattern for pattern in patterns if "*" not in pattern]


def _check_texts(wire: WrittenCard, file: TomlFile, path: Path) -> None:
    if not wire.backends or not all(pattern.strip() for pattern in wire.backends):
        raise file.error('backends is empty; name some, such as ["braket:garnet"]', (*path, "backends"))
    if not wire.source.strip():
        raise file.error("source is empty; say where the prices were read", (*path, "source"))


def _as_numbers(
    given: Mapping[str, Decimal | int], kind: type[UnitPrices | Minimums], file: TomlFile, path: Path
) -> dict[str, Decimal]:
    known = list(kind.__dataclass_fields__)
    for unit, number in given.items():
        value = Decimal(number)
        if unit not in known:
            raise file.error(f"'{unit}' is not a unit; there are {', '.join(known)}", (*path, unit))
        # In this order: a number that is not one cannot be compared.
        if not value.is_finite() or not 0 <= value <= MAX_PRICE:
            raise file.error(f"{unit} is {value}; it must be a number from 0 to {MAX_PRICE:,}", (*path, unit))
    return {unit: Decimal(number) for unit, number in given.items()}
