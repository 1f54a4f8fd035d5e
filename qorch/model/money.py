"""Money as integer micro-units with a currency; an unknown price is None, never 0."""

import re
from dataclasses import dataclass
from decimal import Decimal

from qorch.errors import MoneyError

MICROS_PER_UNIT = 1_000_000
MAX_MICROS = 10**15
_CURRENCY = re.compile(r"[A-Z]{3}")
# Decimal would also read underscores and the digits of other scripts.
_AMOUNT = re.compile(r"[-+]?(?:[0-9]+\.?|[0-9]*\.[0-9]+)(?:[eE][-+]?[0-9]{1,6})?")


@dataclass(frozen=True, order=False)
class Money:
    """An amount: ``micros`` millionths of one unit of ``currency`` (an ISO 4217 code)."""

    currency: str
    micros: int

    def __post_init__(self) -> None:
        """Raise MoneyError for a currency that is not a code."""
        if not _CURRENCY.fullmatch(self.currency):
            raise MoneyError(f"'{self.currency}' is not a currency; write a code such as USD")

    def __add__(self, other: "Money") -> "Money":
        """Raise MoneyError if the currencies differ."""
        if other.currency != self.currency:
            raise MoneyError(f"cannot add {other.currency} to {self.currency}")
        return Money(self.currency, self.micros + other.micros)

    def __str__(self) -> str:
        """The amount with two to six decimals, such as ``1.25 USD``."""
        units = Decimal(self.micros) / MICROS_PER_UNIT
        text = f"{units:.6f}".rstrip("0")
        whole, _, decimals = text.partition(".")
        return f"{whole}.{decimals.ljust(2, '0')} {self.currency}"

    def to_json(self) -> dict[str, object]:
        """As it stands in JSON documents."""
        return {"currency": self.currency, "micros": self.micros}


NOTHING = Money("USD", 0)
"""What a free backend charges."""


def parse_money(text: str) -> Money:
    """Read ``"25 USD"``. Raises MoneyError for anything but a finite amount ≥ 0 with a currency."""
    amount, _, currency = text.strip().partition(" ")
    if not _AMOUNT.fullmatch(amount):
        raise MoneyError(f"'{text}' is not an amount of money; write for example '25 USD'")
    if not currency.strip():
        raise MoneyError(f"'{text}' has no currency; write for example '{amount} USD'")
    value = Decimal(amount)
    if value < 0:
        raise MoneyError(f"'{text}' must be an amount of at least 0, for example '25 USD'")
    # In this order: the product of a huge amount would overflow.
    is_small = value <= MAX_MICROS // MICROS_PER_UNIT
    micros = int(value * MICROS_PER_UNIT) if is_small else 0
    if not is_small or Decimal(micros).scaleb(-6) != value:
        raise MoneyError(f"'{text}' must be at most a thousand million, in steps of a millionth")
    return Money(currency.strip(), micros)
