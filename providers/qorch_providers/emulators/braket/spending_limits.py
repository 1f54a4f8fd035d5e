"""Spending limits: created, searched, updated and deleted, and kept: a task whose price goes beyond one is refused.

As published: one limit for a device of a region, QPUs only. A task counts with its list price and all its shots from
its creation on, as queued spending; with what it was charged once it is over. Only tasks count that were created while
the limit existed, within its period; outside of the period every task of the device is refused.
"""

import datetime
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from qorch.errors import UsageError
from qorch_providers.emulators.braket.devices import EmulatedDevice
from qorch_providers.emulators.braket.money import MICROS
from qorch_providers.emulators.braket.tasks import FINAL, EmulatedTask
from qorch_providers.emulators.braket.wire import CreateLimitWire, PeriodWire, SearchWire, UpdateLimitWire
from qorch_providers.emulators.kit.answers import RefusedError
from qorch_providers.emulators.kit.clock import ScaledClock, format_iso

_AMOUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,2})?")
_FOREVER_UNIX = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC).timestamp()
"""The end of a period that was not named; what the real service does is not published."""
_FILTERS = ("deviceArn", "spendingLimitArn")
Price = Callable[[EmulatedTask], int]


@dataclass(eq=False)
class EmulatedLimit:
    """One limit; times in seconds since 1970. ``tasks``: those that count."""

    arn: str
    device: EmulatedDevice
    region: str
    limit_micros: int
    period: PeriodWire
    tags: dict[str, str]
    created_unix: float
    updated_unix: float
    tasks: list[EmulatedTask] = field(default_factory=list)

    @property
    def spent_micros(self) -> int:
        """What was charged for tasks that are over."""
        return sum(task.price_micros for task in self.tasks if task.status in FINAL)


class SpendingLimits:
    """All limits of a server."""

    def __init__(self, *, account: str, clock: ScaledClock, price: Price) -> None:
        """``price``: what a task costs if all its shots are taken, in micro-dollars."""
        self._account = account
        self._clock = clock
        self._price = price
        self._by_arn: dict[str, EmulatedLimit] = {}
        self._arn_by_token: dict[tuple[str, str], str] = {}
        self._used_tokens: set[tuple[str, str]] = set()

    def create(self, wire: CreateLimitWire, device: EmulatedDevice, *, region: str) -> str:
        """The ARN of a new limit, or of the one that this token has made. Raises UsageError."""
        known = self._arn_by_token.get((region, wire.client_token))
        if known is not None:
            return known
        if device.is_simulator:
            raise UsageError(f"Spending limits are not supported for the device {device.arn}")
        if self._of(device, region) is not None:
            raise UsageError(f"A spending limit already exists for the device {device.arn}")
        now_unix = self._clock.unix()
        arn = f"arn:aws:braket:{region}:{self._account}:spending-limit/{uuid.uuid4()}"
        period = _check_period(wire.time_period or PeriodWire(now_unix, _FOREVER_UNIX))
        limit = EmulatedLimit(
            arn, device, region, _read_amount(wire.spending_limit), period, dict(wire.tags), now_unix, now_unix
        )
        self._by_arn[arn] = limit
        self._arn_by_token[region, wire.client_token] = arn
        return arn

    def update(self, arn: str, wire: UpdateLimitWire, *, region: str) -> None:
        """Change amount or period, once for each token. Raises RefusedError (404), UsageError."""
        limit = self._find(arn, region)
        if (arn, wire.client_token) in self._used_tokens:
            return
        if wire.spending_limit is not None:
            limit.limit_micros = _read_amount(wire.spending_limit)
        if wire.time_period is not None:
            limit.period = _check_period(wire.time_period)
        limit.updated_unix = self._clock.unix()
        self._used_tokens.add((arn, wire.client_token))

    def delete(self, arn: str, *, region: str) -> None:
        """Its device has no limit any more. Raises RefusedError (404)."""
        del self._by_arn[self._find(arn, region).arn]

    def search(self, wanted: SearchWire, *, region: str) -> dict[str, object]:
        """``POST /spending-limits``. Raises UsageError."""
        for each in wanted.filters:
            if each.name not in _FILTERS or each.operator != "EQUAL":
                raise UsageError(f"filter '{each.name}' is not EQUAL of {' or '.join(_FILTERS)}")
        found = [self._document(limit) for limit in self._by_arn.values() if limit.region == region]
        shown = [each for each in found if all(each[wish.name] in wish.values for wish in wanted.filters)]
        start = 0 if wanted.next_token is None else _read_place(wanted.next_token)
        end = start + wanted.max_results
        document: dict[str, object] = {"spendingLimits": shown[start:end]}
        return document | {"nextToken": f"s{end}"} if end < len(shown) else document

    def check(self, device: EmulatedDevice, *, region: str, price_micros: int) -> None:
        """Raise UsageError if a task of this price must not be made."""
        limit = self._of(device, region)
        if limit is None:
            return
        if not limit.period.start_at <= self._clock.unix() <= limit.period.end_at:
            raise UsageError(f"The device {device.arn} has a spending limit, and now is outside of its time period")
        left = limit.limit_micros - limit.spent_micros - self._queued_micros(limit)
        if price_micros > left:
            raise UsageError(
                f"The estimated cost of {_show(price_micros)} USD exceeds what remains of the spending limit for the"
                f" device {device.arn}: {_show(max(0, left))} USD"
            )

    def enter(self, task: EmulatedTask) -> None:
        """Count a task."""
        limit = self._of(task.order.device, task.order.region)
        if limit is not None:
            limit.tasks.append(task)

    def _of(self, device: EmulatedDevice, region: str) -> EmulatedLimit | None:
        return next((each for each in self._by_arn.values() if _concerns(each, device, region)), None)

    def _find(self, arn: str, region: str) -> EmulatedLimit:
        limit = self._by_arn.get(arn)
        if limit is None or limit.region != region:
            raise RefusedError(404, f"SpendingLimit {arn} not found")
        return limit

    def _queued_micros(self, limit: EmulatedLimit) -> int:
        return sum(self._price(task) for task in limit.tasks if task.status not in FINAL)

    def _document(self, limit: EmulatedLimit) -> dict[str, object]:
        return {
            "spendingLimitArn": limit.arn,
            "deviceArn": limit.device.arn,
            "timePeriod": {"startAt": limit.period.start_at, "endAt": limit.period.end_at},
            "spendingLimit": _show(limit.limit_micros),
            "queuedSpend": _show(self._queued_micros(limit)),
            "totalSpend": _show(limit.spent_micros),
            "createdAt": format_iso(limit.created_unix),
            "updatedAt": format_iso(limit.updated_unix),
            "tags": limit.tags,
        }


def _concerns(limit: EmulatedLimit, device: EmulatedDevice, region: str) -> bool:
    return limit.device.arn == device.arn and limit.region == region


def _read_amount(text: str) -> int:
    if not _AMOUNT.fullmatch(text):
        raise UsageError(f"spendingLimit is an amount in USD such as 25 or 25.50, not '{text}'")
    return int(Decimal(text) * MICROS)


def _check_period(period: PeriodWire) -> PeriodWire:
    if period.start_at >= period.end_at:
        raise UsageError("timePeriod must end after it starts")
    return period


def _read_place(token: str) -> int:
    if not (token.isascii() and token[:1] == "s" and token[1:].isdecimal() and len(token) < 20):
        raise UsageError(f"'{token}' is not a token; send the `nextToken` of an earlier answer")
    return int(token[1:])


def _show(micros: int) -> str:
    """Dollars with at least two decimals."""
    text = f"{Decimal(micros) / MICROS:.6f}".rstrip("0")
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals.ljust(2, '0')}"
