"""An emulator's own account: a line for each job that it accepted, with what was counted and charged, and the sums.

It knows no price card and no adapter, so that a quote that equals a bill was computed twice.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypedDict

CURRENCY = "USD"


class BilledMoney(TypedDict):
    """An amount of money in millionths of a unit of its currency."""

    currency: str
    micros: int


class Bill(TypedDict):
    """``GET /_emulator/bill``: a line for each accepted job, oldest first, and the sums of all lines.

    A line has `id`, `target`, `key` (qorch's, None without), `state` (the service's word), `created_at_unix` and
    `ended_at_unix` (real seconds since 1970), `counted` (by unit), `amount` (charged so far), `reserved` (held back for
    a job in progress) and `is_final` (whether the amount changes no more). ``sessions``: lines of what is charged
    beside jobs. ``total`` and ``reserved`` are sums over both.
    """

    total: BilledMoney
    reserved: BilledMoney
    jobs: list[dict[str, object]]
    sessions: list[dict[str, object]]


@dataclass(frozen=True)
class BillLine:
    """What one job or session was charged, with the fields of a line of `Bill`; money in millionths of a dollar.

    ``details``: what one service alone has to say.
    """

    id: str
    target: str
    state: str
    created_unix: float
    ended_unix: float | None
    is_final: bool
    key: str | None = None
    counted: Mapping[str, int] = field(default_factory=dict)
    micros: int = 0
    reserved_micros: int = 0
    details: Mapping[str, object] = field(default_factory=dict)


def as_money(micros: int) -> BilledMoney:
    """An amount in JSON."""
    return {"currency": CURRENCY, "micros": micros}


def bill_document(jobs: Iterable[BillLine], sessions: Iterable[BillLine] = ()) -> Bill:
    """The bill of these lines."""
    of_jobs, of_sessions = list(jobs), list(sessions)
    lines = of_jobs + of_sessions
    return {
        "total": as_money(sum(line.micros for line in lines)),
        "reserved": as_money(sum(line.reserved_micros for line in lines)),
        "jobs": [_document(line) for line in of_jobs],
        "sessions": [_document(line) for line in of_sessions],
    }


def _document(line: BillLine) -> dict[str, object]:
    return {
        "id": line.id,
        "target": line.target,
        "key": line.key,
        "state": line.state,
        "created_at_unix": line.created_unix,
        "ended_at_unix": line.ended_unix,
        "counted": dict(line.counted),
        "amount": as_money(line.micros),
        "reserved": as_money(line.reserved_micros),
        "is_final": line.is_final,
        **line.details,
    }
