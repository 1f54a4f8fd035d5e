"""IBM's JSON about sessions and batches as typed views, and the bodies that qorch sends about them."""

import datetime
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import msgspec

from qorch.errors import InvalidResultError
from qorch_providers.http import is_safe_id
from qorch_providers.ibm.wire.fields import NOTHING, decode_document, read_field, read_time

_CLOSE = msgspec.json.encode({"accepting_jobs": False})
_OVER = frozenset({"completed", "closed", "cancelled", "failed", "done"})


@dataclass(frozen=True)
class IbmWorkload:
    """A session or batch in the list of workloads. ``is_over``: IBM says so; what it does not say is not over."""

    session_id: str
    mode: str
    device: str
    created_at: datetime.datetime | None
    is_over: bool


class _OpenWire(msgspec.Struct, omit_defaults=True):
    mode: str
    backend: str
    max_ttl: int | None = None


class _SessionWire(msgspec.Struct):
    id: str
    max_ttl: msgspec.Raw = NOTHING


class _WorkloadWire(msgspec.Struct):
    id: str
    mode: msgspec.Raw = NOTHING
    backend: msgspec.Raw = NOTHING
    created: msgspec.Raw = NOTHING
    status: msgspec.Raw = NOTHING


class _NextWire(msgspec.Struct):
    href: str


class _WorkloadsWire(msgspec.Struct):
    workloads: list[_WorkloadWire]
    next: msgspec.Raw = NOTHING


def encode_opening(*, mode: str, device: str, max_ttl_seconds: int | None) -> bytes:
    """The body that opens a session; the instance is named by a header of every call."""
    return msgspec.json.encode(_OpenWire(mode, device, max_ttl_seconds))


def encode_closing() -> bytes:
    """The body after which a session takes no more jobs."""
    return _CLOSE


def in_session(content: bytes, session_id: str) -> bytes:
    """The body of a job, a JSON object that has no session yet, for a session."""
    return content[:-1] + b',"session_id":' + msgspec.json.encode(session_id) + b"}"


def decode_session(body: bytes) -> tuple[str, int | None]:
    """Id and longest time of a session, in seconds. Raises InvalidResultError."""
    wire = decode_document(body, _SessionWire)
    if not is_safe_id(wire.id):
        raise InvalidResultError("expected the id of a session, found something else")
    return wire.id, read_field(wire.max_ttl, int)


def decode_workloads(body: bytes) -> tuple[tuple[IbmWorkload, ...], str]:
    """A page of the list, and the cursor of the next; empty on the last. Raises InvalidResultError."""
    wire = decode_document(body, _WorkloadsWire)
    found = tuple(_read_workload(line) for line in wire.workloads if is_safe_id(line.id))
    following = read_field(wire.next, _NextWire)
    cursors = [] if following is None else parse_qs(urlsplit(following.href).query).get("next", [])
    return found, next(iter(cursors), "")


def _read_workload(wire: _WorkloadWire) -> IbmWorkload:
    status = (read_field(wire.status, str) or "").lower()
    mode, device = read_field(wire.mode, str) or "", read_field(wire.backend, str) or ""
    return IbmWorkload(wire.id, mode, device, read_time(wire.created), status in _OVER)
