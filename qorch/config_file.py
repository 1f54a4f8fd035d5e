"""The user's configuration file: price cards of contracts, and the plan at each provider."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from qorch.errors import ConfigError
from qorch.model.prices.card import PriceCard
from qorch.model.prices.reading import WrittenCard, as_card
from qorch.model.toml import TomlFile, parse_toml

_MOST_BYTES = 1_000_000


class _WrittenPrices(msgspec.Struct, forbid_unknown_fields=True):
    plans: dict[str, str] = {}
    card: list[WrittenCard] = []


class _WrittenFile(msgspec.Struct, forbid_unknown_fields=True):
    prices: _WrittenPrices = msgspec.field(default_factory=_WrittenPrices)


@dataclass(frozen=True)
class FileConfig:
    """What the file says. ``cards``: prices of the user's contracts; ``plans``: the plan at each provider, by name.

    ``file`` is None if there is none.
    """

    cards: tuple[PriceCard, ...] = ()
    plans: Mapping[str, str] = field(default_factory=dict)
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
    prices = file.convert(_WrittenFile).prices
    cards = tuple(as_card(card, file, ("prices", "card", index)) for index, card in enumerate(prices.card))
    return FileConfig(cards, prices.plans, file)
