"""The user's configuration file: price cards of contracts, the plan at each provider, and budgets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from qorch.errors import ConfigError, MoneyError
from qorch.model import toml
from qorch.model.budget import Budget, BudgetPeriod
from qorch.model.money import Money, parse_money
from qorch.model.prices.card import PriceCard
from qorch.model.prices.reading import WrittenCard, as_card
from qorch.model.toml import TomlFile, parse_toml

_MOST_BYTES = 1_000_000


class _WrittenPrices(msgspec.Struct, forbid_unknown_fields=True):
    plans: dict[str, str] = {}
    card: list[WrittenCard] = []


class _WrittenBudget(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    limit: str
    per: str | None = None
    backend: str | None = None
    account: str | None = None
    runs: str | None = None


class _WrittenFile(msgspec.Struct, forbid_unknown_fields=True):
    prices: _WrittenPrices = msgspec.field(default_factory=_WrittenPrices)
    budgets: list[_WrittenBudget] = []


@dataclass(frozen=True)
class FileConfig:
    """What the file says. ``cards``: prices of the user's contracts; ``plans``: the plan at each provider, by name.

    ``budgets``: the named scopes. ``file`` is None if there is none.
    """

    cards: tuple[PriceCard, ...] = ()
    plans: Mapping[str, str] = field(default_factory=dict)
    budgets: tuple[Budget, ...] = ()
    file: TomlFile | None = field(default=None, repr=False)

    def error(self, message: str, *path: str) -> ConfigError:
        """What is wrong with a value of the file, with its name and the line."""
        return self.file.error(message, path) if self.file else ConfigError(message)


def read_config_file(path: Path, *, must_exist: bool) -> FileConfig:
    """Read the file; without one, nothing is configured, unless it ``must_exist``.

    Raises ConfigError for a file that cannot be read, and for whatever stands in it that qorch does not know, with the
    file and the line.
    """
    try:
        raw = path.read_bytes() if path.exists() or must_exist else b""
    except OSError as error:
        raise ConfigError(f"the configuration file {path} cannot be read: {error.strerror or error}") from error
    if len(raw) > _MOST_BYTES:
        raise ConfigError(
            f"the configuration file {path} has {len(raw):,} bytes; at most {_MOST_BYTES:,} are read: shorten it"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}, line {line}: it is not UTF-8; save it as UTF-8") from error
    file = parse_toml(text, name=str(path))
    written = file.convert(_WrittenFile)
    prices = written.prices
    cards = tuple(as_card(card, file, ("prices", "card", index)) for index, card in enumerate(prices.card))
    return FileConfig(cards, prices.plans, _as_budgets(written.budgets, file), file)


def _as_budgets(written: Sequence[_WrittenBudget], file: TomlFile) -> tuple[Budget, ...]:
    names: set[str] = set()
    budgets = []
    for index, wire in enumerate(written):
        path: toml.Path = ("budgets", index)
        if wire.name in names:
            raise file.error(f"there are two budgets of the name '{wire.name}'; give each its own", (*path, "name"))
        names.add(wire.name)
        _check_budget(wire, file, path)
        budgets.append(
            Budget(
                limit=_as_limit(wire.limit, file, path),
                name=wire.name,
                per=_as_period(wire.per, file, path),
                backend=wire.backend or "",
                account=wire.account or "",
                runs=wire.runs or "",
                origin=f"{file.name}, line {file.line_of(path)}",
            )
        )
    return tuple(budgets)


def _check_budget(wire: _WrittenBudget, file: TomlFile, path: toml.Path) -> None:
    """Raise ConfigError for a text that is empty: it would cover nothing, or look as if it did."""
    for key, text in (("name", wire.name), ("backend", wire.backend), ("account", wire.account), ("runs", wire.runs)):
        if text is not None and not (text.strip() and text.isprintable()):
            hint = "" if key == "name" else ", or leave it out, which means all"
            raise file.error(f"{key} is {text!r}; write a text that can be read{hint}", (*path, key))


def _as_limit(text: str, file: TomlFile, path: toml.Path) -> Money:
    try:
        return parse_money(text)
    except MoneyError as error:
        raise file.error(f"limit: {error}", (*path, "limit")) from error


def _as_period(text: str | None, file: TomlFile, path: toml.Path) -> BudgetPeriod | None:
    if text is not None and text not in set(BudgetPeriod):
        raise file.error(f"per is '{text}'; write one of {', '.join(BudgetPeriod)}, or leave it out", (*path, "per"))
    return None if text is None else BudgetPeriod(text)
