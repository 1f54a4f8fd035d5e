"""IonQ's JSON about sessions as typed views, and the bodies that qorch sends about them."""

import datetime
import math
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from qorch.errors import InvalidResultError
from qorch.model.money import MICROS_PER_UNIT
from qorch_providers.http import clean, is_safe_id

T = TypeVar("T")

_NULL = msgspec.Raw(b"null")


@dataclass(frozen=True)
class SessionLimits:
    """At which IonQ ends a session; None: not limited by that. ``cost_usd_micros``: None in another unit, too."""

    cost_usd_micros: int | None = None
    jobs: int | None = None
    minutes: int | None = None


@dataclass(frozen=True)
class IonqSession:
    """One session. ``is_over``: it takes no more jobs. ``was_closed``: because somebody has ended it."""

    session_id: str
    device: str
    limits: SessionLimits
    created_at: datetime.datetime | None = None
    started_at: datetime.datetime | None = None
    ended_at: datetime.datetime | None = None
    is_over: bool = False
    was_closed: bool = False

    @property
    def is_at_limit(self) -> bool:
        """Whether it is over because one of its limits is reached."""
        return self.is_over and (not self.was_closed or self._has_run_out)

    @property
    def _has_run_out(self) -> bool:
        began_at = self.started_at or self.created_at
        if self.limits.minutes is None or began_at is None or self.ended_at is None:
            return False
        return self.ended_at - began_at >= datetime.timedelta(minutes=self.limits.minutes)


class _CostWire(msgspec.Struct):
    unit: str
    value: float


class _LimitsWire(msgspec.Struct, omit_defaults=True):
    job_count_limit: int | None = None
    duration_limit_min: int | None = None
    cost_limit: _CostWire | None = None


class _OpenWire(msgspec.Struct):
    backend: str
    settings: _LimitsWire


class _SessionWire(msgspec.Struct):
    """Raw fields may be of any kind: a session can be ended without them."""

    id: str
    backend: msgspec.Raw = _NULL
    status: msgspec.Raw = _NULL
    active: msgspec.Raw = _NULL
    created_at: msgspec.Raw = _NULL
    started_at: msgspec.Raw = _NULL
    ended_at: msgspec.Raw = _NULL
    ender_id: msgspec.Raw = _NULL
    settings: msgspec.Raw = _NULL


class _SessionsWire(msgspec.Struct):
    sessions: list[_SessionWire]


def encode_opening(*, device: str, limits: SessionLimits) -> bytes:
    """The body that opens a session."""
    cost = limits.cost_usd_micros
    wire_cost = None if cost is None else _CostWire("usd", cost / MICROS_PER_UNIT)
    return msgspec.json.encode(_OpenWire(device, _LimitsWire(limits.jobs, limits.minutes, wire_cost)))


def in_session(content: bytes, session_id: str) -> bytes:
    """The body of a job, a JSON object that has no session yet, for a session."""
    return content[:-1] + b',"session_id":' + msgspec.json.encode(session_id) + b"}"


def decode_session(body: bytes) -> IonqSession:
    """A session. Raises InvalidResultError."""
    return _read_session(_decode(body, _SessionWire, "session"))


def decode_sessions(body: bytes) -> tuple[IonqSession, ...]:
    """The list of sessions. Raises InvalidResultError."""
    return tuple(_read_session(line) for line in _decode(body, _SessionsWire, "list of sessions").sessions)


def _read_session(wire: _SessionWire) -> IonqSession:
    if not is_safe_id(wire.id):
        raise InvalidResultError("expected the id of a session, found something else")
    ended_at = _time(wire.ended_at)
    is_over = ended_at is not None or _try(wire.status, str) == "ended" or _try(wire.active, bool) is False
    return IonqSession(
        session_id=wire.id,
        device=_try(wire.backend, str) or "",
        limits=_read_limits(wire.settings),
        created_at=_time(wire.created_at),
        started_at=_time(wire.started_at),
        ended_at=ended_at,
        is_over=is_over,
        was_closed=bool(_try(wire.ender_id, str)),
    )


def _read_limits(raw: msgspec.Raw) -> SessionLimits:
    wire = _try(raw, _LimitsWire) or _LimitsWire()
    cost = wire.cost_limit
    is_usd = cost is not None and cost.unit.lower() == "usd" and math.isfinite(cost.value)
    micros = round(cost.value * MICROS_PER_UNIT) if cost is not None and is_usd else None
    return SessionLimits(micros, wire.job_count_limit, wire.duration_limit_min)


def _decode(body: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidResultError(f"the server's {what} cannot be read: {clean(str(error))}") from error


def _try(raw: msgspec.Raw, kind: type[T]) -> T | None:
    """The value; None if there is none, or one of another kind."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def _time(raw: msgspec.Raw) -> datetime.datetime | None:
    moment = _try(raw, datetime.datetime)
    return None if moment is None else moment.replace(tzinfo=moment.tzinfo or datetime.UTC)
