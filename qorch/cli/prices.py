"""`qorch prices`: what backends cost, where that was read, and how old it is."""

import datetime
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qorch.cli.completion import complete_backends
from qorch.cli.options import JsonOption
from qorch.cli.output import print_aside, print_json, print_table

if TYPE_CHECKING:
    from qorch.model.prices.book import PriceBook
    from qorch.model.prices.card import Minimums, PriceCard, UnitPrices

_WORDS = {
    "one_qubit_gate_shot": "one-qubit gate and shot",
    "two_qubit_gate_shot": "two-qubit gate and shot",
    "mitigated_job": "mitigated job",
    "job": "job",
    "step_seconds": "s, as begun steps",
    "seconds": "s",
}


def prices(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[BACKEND]...", help="Full names, such as ionq:qpu.forte-1.", autocompletion=complete_backends
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the price cards, or those that apply to the backends that are named.

    Your own contract's prices come before those that qorch has: put them into the configuration file (QORCH_CONFIG, by
    default config.toml in your config folder) as a table [[prices.card]] with backends, certainty, source, date,
    currency, prices and minimums; plans = { ibm = "flex" } below [prices] says which plan you have.
    """
    from qorch.config import read_config
    from qorch.ports.clock import WallClock
    from qorch.prices import load_prices

    config = read_config()
    book, today = load_prices(config), WallClock().now().date()
    found = (
        [(None, card) for card in (*book.own, *book.shipped)] if not names else [_find(name, book) for name in names]
    )
    documents = [_describe(name, card, book=book, today=today) for name, card in found]
    if as_json:
        print_json({"config_file": str(config.file), "prices": documents})
        return
    print_table(
        ("backend", "plan", "prices", "at least", "certainty", "read", "source"),
        [_as_row(document) for document in documents],
        optional=("source", "plan", "at least"),
    )
    for note in dict.fromkeys(f"{_backends(each)}: {each['note']}" for each in documents if names and each["note"]):
        print(note)
    print_aside(f"your own prices: {config.file}{'' if book.own or book.plans else ' (none)'}")


def _find(name: str, book: "PriceBook") -> "tuple[str, PriceCard]":
    """What applies to a backend. Raises UnknownNameError if none is installed that could have that name."""
    from qorch.backends import find_entry_point
    from qorch.model.prices.book import decide_price

    find_entry_point(name)
    # Without a card nothing is known of it here: what its adapter says is seen when it is opened.
    return name, decide_price(name, charges=True, book=book)


def _describe(name: str | None, card: "PriceCard", *, book: "PriceBook", today: datetime.date) -> dict[str, Any]:
    """A card's document. Prices and minimums are texts of exact decimals, in the currency, by unit."""
    return {
        "backend": name,
        "backends": list(card.backends),
        "plan": card.plan or None,
        "is_own": book.is_own(card),
        "is_known": card.is_known,
        "is_free": card.is_free,
        "certainty": card.certainty.value,
        "currency": card.currency if card.is_known else None,
        "prices": None if card.prices is None else _numbers(card.prices),
        "minimums": _numbers(card.minimums),
        "date": None if card.date is None else card.date.isoformat(),
        "age_days": None if card.date is None else (today - card.date).days,
        "source": card.source,
        "note": card.note or None,
        "origin": card.origin or None,
    }


def _numbers(item: "UnitPrices | Minimums") -> dict[str, str]:
    given = {each.name: getattr(item, each.name) for each in fields(item)}
    return {name: f"{value:f}" for name, value in given.items() if value}


def _backends(document: dict[str, Any]) -> str:
    """The backend that was named, or a card's patterns; ARNs only if there are no shorter names."""
    patterns = document["backends"]
    short = [pattern for pattern in patterns if ":arn:" not in pattern]
    return document["backend"] or ", ".join(short or patterns)


def _as_row(document: dict[str, Any]) -> list[object]:
    age = None if document["date"] is None else f"{document['date']} ({document['age_days']} d ago)"
    source = document["source"] if not document["is_own"] else f"yours: {document['source']}"
    return [
        _backends(document), document["plan"], _describe_prices(document), _describe_minimums(document),
        document["certainty"], age, source,
    ]  # fmt: skip


def _describe_prices(document: dict[str, Any]) -> str:
    if document["is_free"]:
        return "free"
    if not document["is_known"]:
        return "not known"
    parts = (f"{value} a {_WORDS.get(unit, unit)}" for unit, value in document["prices"].items())
    return f"{document['currency']} {' + '.join(parts)}"


def _describe_minimums(document: dict[str, Any]) -> str | None:
    parts = []
    for unit, value in document["minimums"].items():
        is_money = unit in ("job", "mitigated_job")
        parts.append(f"{document['currency']} {value} a {_WORDS[unit]}" if is_money else f"{value} {_WORDS[unit]}")
    return ", ".join(parts) or None
