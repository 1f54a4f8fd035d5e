"""Braket's JSON about spending limits as typed views, and the bodies that set them."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

import msgspec

from qorch.errors import InvalidResultError
from qorch.model.money import MICROS_PER_UNIT, Money
from qorch_providers.braket.labels import LIMIT_TAG

_CURRENCY = "USD"
"""Of all amounts in Braket's spending limits, as Amazon documents it."""


@dataclass(frozen=True)
class SpendingLimit:
    """What may be spent on a device, what was, and what waiting tasks will add, as Braket counts it.

    ``updated``: when it was last changed, in Braket's words. Times are None if they are not said.
    """

    arn: str
    device_arn: str
    limit: Money
    spent: Money
    queued: Money
    updated: str = ""
    starts_at: datetime.datetime | None = None
    ends_at: datetime.datetime | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        """Whether qorch has set it."""
        return LIMIT_TAG in self.tags


class _PeriodWire(msgspec.Struct, rename="camel"):
    start_at: float
    end_at: float


class _LimitWire(msgspec.Struct, rename="camel"):
    spending_limit_arn: str
    device_arn: str
    spending_limit: str
    total_spend: str
    queued_spend: str
    updated_at: str | float = ""
    time_period: _PeriodWire | None = None
    tags: dict[str, str | None] | None = None


class _PageWire(msgspec.Struct, rename="camel"):
    spending_limits: list[_LimitWire]
    next_token: str | None = None


def encode_search(device_arn: str, *, token: str | None) -> bytes:
    """The body of SearchSpendingLimits for a device."""
    filters = [{"name": "deviceArn", "operator": "EQUAL", "values": [device_arn]}]
    document: dict[str, object] = {"filters": filters, "maxResults": 100}
    return msgspec.json.encode(document if token is None else document | {"nextToken": token})


def encode_new_limit(device_arn: str, limit: Money, *, token: str) -> bytes:
    """The body of CreateSpendingLimit, without a period: it holds until somebody deletes it."""
    amount, tags = _amount(limit), {LIMIT_TAG: "set by qorch"}
    return msgspec.json.encode({"clientToken": token, "deviceArn": device_arn, "spendingLimit": amount, "tags": tags})


def encode_changed_limit(limit: Money, *, token: str) -> bytes:
    """The body of UpdateSpendingLimit with another amount."""
    return msgspec.json.encode({"clientToken": token, "spendingLimit": _amount(limit)})


def decode_limits(body: bytes) -> tuple[list[SpendingLimit], str | None]:
    """The limits of a page of a search, and the token of the next. Raises InvalidResultError."""
    try:
        wire = msgspec.json.decode(body, type=_PageWire)
        return [_read_limit(each) for each in wire.spending_limits], wire.next_token or None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError, ValueError) as error:
        raise InvalidResultError(f"expected spending limits of Amazon Braket: {error}") from error


def _read_limit(wire: _LimitWire) -> SpendingLimit:
    period = wire.time_period
    return SpendingLimit(
        arn=wire.spending_limit_arn,
        device_arn=wire.device_arn,
        limit=_money(wire.spending_limit),
        spent=_money(wire.total_spend),
        queued=_money(wire.queued_spend),
        updated=str(wire.updated_at),
        starts_at=None if period is None else _time(period.start_at),
        ends_at=None if period is None else _time(period.end_at),
        tags={name: value or "" for name, value in (wire.tags or {}).items()},
    )


def _money(text: str) -> Money:
    return Money(_CURRENCY, int((Decimal(text) * MICROS_PER_UNIT).to_integral_value()))


def _amount(money: Money) -> str:
    """Dollars with two decimals; Braket takes no more."""
    return f"{Decimal(money.micros) / MICROS_PER_UNIT:.2f}"


def _time(unix: float) -> datetime.datetime | None:
    try:
        return datetime.datetime.fromtimestamp(unix, tz=datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return None
