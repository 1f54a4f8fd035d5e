"""What IonQ says that a job cost, of ``GET /jobs/{id}/cost``. Pure."""

from dataclasses import dataclass
from decimal import Decimal

import msgspec

from qorch.errors import InvalidResultError
from qorch.model.money import MAX_MICROS, MICROS_PER_UNIT, Money
from qorch_providers.http import clean

_CURRENCIES = {"usd": "USD"}
"""Units that are money, by IonQ's word; the other one is a credit."""


@dataclass(frozen=True)
class IonqCost:
    """An answer. ``is_final``: asking again would tell nothing new. ``charge``: None if no money was told."""

    is_final: bool
    charge: Money | None = None


NOT_YET = IonqCost(is_final=False)
NEVER = IonqCost(is_final=True)


class _Amount(msgspec.Struct):
    value: Decimal
    unit: str


class _CostWire(msgspec.Struct):
    """Its ``estimated_cost`` is not read: an estimate is not what was charged."""

    dry_run: bool = False
    cost: msgspec.Raw = msgspec.Raw(b"null")


def decode_cost(body: bytes) -> IonqCost:
    """NOT_YET without an amount that can be believed; NEVER of a dry run, or in credits. Raises InvalidResultError.

    Fractions of a millionth are rounded, half to even: IonQ's numbers are sums of floats.
    """
    try:
        wire = msgspec.json.decode(body, type=_CostWire)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidResultError(f"the server's cost of a job cannot be read: {clean(str(error))}") from error
    if wire.dry_run:
        return NEVER
    try:
        amount = msgspec.json.decode(wire.cost, type=_Amount)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return NOT_YET
    # In this order: what is no number cannot be compared, and the product of a huge one would overflow.
    if not amount.value.is_finite() or not 0 <= amount.value <= MAX_MICROS // MICROS_PER_UNIT:
        return NOT_YET
    currency = _CURRENCIES.get(amount.unit.lower())
    return NEVER if currency is None else IonqCost(True, Money(currency, round(amount.value * MICROS_PER_UNIT)))
