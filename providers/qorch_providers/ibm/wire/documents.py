"""IBM's JSON as typed views: jobs, pages of their list, times, devices and instances."""

import datetime
from dataclasses import dataclass

import msgspec

from qorch.errors import InvalidResultError
from qorch_providers.http import is_safe_id
from qorch_providers.ibm.wire.fields import NOTHING as _NOTHING
from qorch_providers.ibm.wire.fields import decode_document as _decode
from qorch_providers.ibm.wire.fields import read_field as _read
from qorch_providers.ibm.wire.fields import read_time as _time


@dataclass(frozen=True)
class IbmJobView:
    """What IBM says of a job. ``status``: IBM's word. ``reason``: with what IBM advises to do about it. ``code``: of
    the reason, None if there is none.

    ``charged_seconds``: of the device; None as long as IBM has not counted them. ``tells_usage``: whether the document
    says how far that is.
    """

    job_id: str
    status: str
    reason: str = ""
    code: int | None = None
    created_at: datetime.datetime | None = None
    ended_at: datetime.datetime | None = None
    tags: tuple[str, ...] = ()
    charged_seconds: float | None = None
    tells_usage: bool = False


@dataclass(frozen=True)
class IbmPage:
    """A page of the list; ``count``: the jobs on all pages, None if that is not said."""

    jobs: tuple[IbmJobView, ...]
    count: int | None


@dataclass(frozen=True)
class IbmTimes:
    """When a job began to run and ended, and what it was charged for; None if that is not known."""

    started_at: datetime.datetime | None = None
    ended_at: datetime.datetime | None = None
    charged_seconds: float | None = None


@dataclass(frozen=True)
class IbmDeviceState:
    """Whether a device runs jobs, IBM's word for its state, and how many jobs wait."""

    is_active: bool
    status: str = ""
    waiting: int | None = None


@dataclass(frozen=True)
class IbmDeviceLine:
    """A device in the list of an instance's devices."""

    name: str
    is_online: bool
    is_simulator: bool = False
    waiting: int | None = None


@dataclass(frozen=True)
class IbmInstance:
    """An instance of the account. ``has_devices``: whether it was given any, as what IBM's client takes has."""

    crn: str
    name: str
    has_devices: bool = True


@dataclass(frozen=True)
class IbmInstanceUsage:
    """QPU seconds of an instance in its period: used, and the most that it may use; None without a limit."""

    used_seconds: float
    limit_seconds: float | None = None
    is_reached: bool = False


class _StateWire(msgspec.Struct):
    status: msgspec.Raw = _NOTHING
    reason: msgspec.Raw = _NOTHING
    reason_solution: msgspec.Raw = _NOTHING
    reason_code: msgspec.Raw = _NOTHING
    reason_code_old: msgspec.Raw = msgspec.field(name="reasonCode", default=_NOTHING)


class _UsageWire(msgspec.Struct):
    status: msgspec.Raw = _NOTHING
    seconds: msgspec.Raw = msgspec.field(name="qpu_charge_time_seconds", default=_NOTHING)


class _JobWire(msgspec.Struct):
    id: str
    status: msgspec.Raw = _NOTHING
    state: msgspec.Raw = _NOTHING
    created: msgspec.Raw = _NOTHING
    ended: msgspec.Raw = _NOTHING
    tags: msgspec.Raw = _NOTHING
    usage: msgspec.Raw = _NOTHING


class _PageWire(msgspec.Struct):
    jobs: list[_JobWire]
    count: msgspec.Raw = _NOTHING


class _AcceptedWire(msgspec.Struct):
    id: str


class _TimestampsWire(msgspec.Struct):
    running: msgspec.Raw = _NOTHING
    finished: msgspec.Raw = _NOTHING


class _MetricsWire(msgspec.Struct):
    timestamps: msgspec.Raw = _NOTHING
    usage: msgspec.Raw = _NOTHING


class _DeviceStateWire(msgspec.Struct):
    state: bool | msgspec.UnsetType = msgspec.UNSET
    status: msgspec.Raw = _NOTHING
    length_queue: msgspec.Raw = _NOTHING


class _LineStatusWire(msgspec.Struct):
    name: str


class _LineWire(msgspec.Struct):
    name: str
    status: msgspec.Raw = _NOTHING
    is_simulator: msgspec.Raw = _NOTHING
    queue_length: msgspec.Raw = _NOTHING


class _DevicesWire(msgspec.Struct):
    devices: list[_LineWire]


class _AllocationWire(msgspec.Struct):
    extensions: dict[str, msgspec.Raw] = {}


class _InstanceWire(msgspec.Struct):
    crn: str
    name: msgspec.Raw = _NOTHING
    doc: msgspec.Raw = _NOTHING


class _InstancesWire(msgspec.Struct):
    items: list[_InstanceWire]
    search_cursor: msgspec.Raw = _NOTHING


class _InstanceUsageWire(msgspec.Struct):
    used: msgspec.Raw = msgspec.field(name="usage_consumed_seconds", default=_NOTHING)
    limit: msgspec.Raw = msgspec.field(name="usage_limit_seconds", default=_NOTHING)
    reached: msgspec.Raw = msgspec.field(name="usage_limit_reached", default=_NOTHING)


class _TokenWire(msgspec.Struct):
    access_token: str
    expires_in: float


def decode_accepted(body: bytes) -> str:
    """The id of the job that was accepted. Raises InvalidResultError if it cannot be read."""
    job_id = _decode(body, _AcceptedWire).id
    if not is_safe_id(job_id):
        raise InvalidResultError("expected the id of a job, found something else")
    return job_id


def decode_job(body: bytes) -> IbmJobView:
    """A job from its own document. Raises InvalidResultError."""
    return _read_job(_decode(body, _JobWire))


def decode_page(body: bytes) -> IbmPage:
    """A page of the list. Raises InvalidResultError."""
    wire = _decode(body, _PageWire)
    return IbmPage(tuple(_read_job(job) for job in wire.jobs), _read(wire.count, int))


def decode_times(body: bytes) -> IbmTimes:
    """The times and the usage in a job's metrics. Raises InvalidResultError."""
    wire = _decode(body, _MetricsWire)
    found = _read(wire.timestamps, _TimestampsWire) or _TimestampsWire()
    return IbmTimes(_time(found.running), _time(found.finished), _charged_seconds(wire.usage))


def decode_state(body: bytes) -> IbmDeviceState:
    """The state of a device, of which the specification requires the queue only. Raises InvalidResultError."""
    wire = _decode(body, _DeviceStateWire)
    status, waiting = _read(wire.status, str) or "", _read(wire.length_queue, int)
    if wire.state is msgspec.UNSET and not status and waiting is None:
        raise InvalidResultError("expected the state of a device, found something else")
    return IbmDeviceState(wire.state is not False and status in ("", "active"), status, waiting)


def decode_devices(body: bytes) -> tuple[IbmDeviceLine, ...]:
    """The devices of an instance. Raises InvalidResultError."""
    return tuple(_read_line(line) for line in _decode(body, _DevicesWire).devices)


def decode_instances(body: bytes) -> tuple[tuple[IbmInstance, ...], str]:
    """A page of the account's instances, and the cursor of the next; empty on the last. Raises InvalidResultError."""
    wire = _decode(body, _InstancesWire)
    found = tuple(
        IbmInstance(
            each.crn,
            _read(each.name, str) or "",
            bool((_read(each.doc, _AllocationWire) or _AllocationWire()).extensions),
        )
        for each in wire.items
    )
    return found, _read(wire.search_cursor, str) or ""


def decode_usage(body: bytes) -> IbmInstanceUsage:
    """What an instance has used. Raises InvalidResultError."""
    wire = _decode(body, _InstanceUsageWire)
    return IbmInstanceUsage(_read(wire.used, float) or 0.0, _read(wire.limit, float), bool(_read(wire.reached, bool)))


def decode_token(body: bytes) -> tuple[str, float]:
    """A token and its lifetime in seconds. Raises InvalidResultError, which holds nothing of it."""
    try:
        wire = msgspec.json.decode(body, type=_TokenWire)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        problem = InvalidResultError("expected a token of IAM, found something else")
    else:
        return wire.access_token, wire.expires_in
    raise problem


def _read_job(wire: _JobWire) -> IbmJobView:
    if not is_safe_id(wire.id):
        raise InvalidResultError("expected a job, found a document without the id of one")
    state = _read(wire.state, _StateWire) or _StateWire()
    status = _read(state.status, str) or _read(wire.status, str)
    if not status:
        raise InvalidResultError(f"expected a job, found a document without a status: {wire.id}")
    return IbmJobView(
        wire.id,
        status,
        " ".join(filter(None, (_read(state.reason, str), _read(state.reason_solution, str)))),
        _code(state.reason_code) or _code(state.reason_code_old),
        _time(wire.created),
        _time(wire.ended),
        tuple(_read(wire.tags, list[str]) or ()),
        _charged_seconds(wire.usage),
        bool(_read((_read(wire.usage, _UsageWire) or _UsageWire()).status, str)),
    )


def _charged_seconds(raw: msgspec.Raw) -> float | None:
    """The seconds in a usage that is complete."""
    usage = _read(raw, _UsageWire) or _UsageWire()
    is_counted = (_read(usage.status, str) or "").lower() == "complete"
    return _read(usage.seconds, float) if is_counted else None


def _read_line(wire: _LineWire) -> IbmDeviceLine:
    status = _read(wire.status, _LineStatusWire)
    name = status.name if status is not None else _read(wire.status, str) or ""
    return IbmDeviceLine(
        wire.name, name == "online", bool(_read(wire.is_simulator, bool)), _read(wire.queue_length, int)
    )


def _code(raw: msgspec.Raw) -> int | None:
    text = _read(raw, str)
    if text is None:
        return _read(raw, int)
    return int(text) if text.isdecimal() and len(text) < 10 else None
