"""Money as integer micro-units with a currency; an unknown price is None, never 0."""

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from qorch.errors import MoneyError

MICROS_PER_UNIT = 1_000_000
MAX_MICROS = 10**15
_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, order=False)
class Money:
    """An amount: ``micros`` millionths of one unit of ``currency`` (an ISO 4217 code)."""

    currency: str
    micros: int

    def __post_init__(self) -> None:
        """Raise MoneyError for a currency that is no code."""
        if not _CURRENCY.fullmatch(self.currency):
            raise MoneyError(f"'{self.currency}' is no currency; write a code such as USD")

    def __add__(self, other: "Money") -> "Money":
        """Raise MoneyError where the currencies differ."""
        if other.currency != self.currency:
            raise MoneyError(f"cannot add {other.currency} to {self.currency}")
        return Money(self.currency, self.micros + other.micros)

    def __str__(self) -> str:
        """The amount with two to six decimals, such as ``1.25 USD``."""
        units = Decimal(self.micros) / MICROS_PER_UNIT
        text = f"{units:.6f}".rstrip("0")
        whole, _, decimals = text.partition(".")
        return f"{whole}.{decimals.ljust(2, '0')} {self.currency}"


def parse_money(text: str) -> Money:
    """Read ``"25 USD"``. Raises MoneyError for anything but a finite amount ≥ 0 with a currency."""
    amount, _, currency = text.strip().partition(" ")
    try:
        value = Decimal(amount)
    except InvalidOperation as error:
        raise MoneyError(f"'{text}' is no amount of money; write for example '25 USD'") from error
    if not currency.strip():
        raise MoneyError(f"'{text}' has no currency; write for example '{amount} USD'")
    if not value.is_finite() or value < 0:
        raise MoneyError(f"'{text}' must be a finite amount of at least 0, for example '25 USD'")
    micros = value * MICROS_PER_UNIT
    if micros > MAX_MICROS or micros != micros.to_integral_value():
        raise MoneyError(f"'{text}' must be at most a thousand million, in steps of a millionth")
    return Money(currency.strip(), int(micros))
