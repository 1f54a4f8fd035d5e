"""Braket's JSON as typed views: a task in its own document or in a page of a search."""

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from qorch.errors import InvalidResultError

_ARN = re.compile(r"arn:aws[a-z-]{0,20}:braket:[a-z0-9-]{1,40}:[0-9]{12}:quantum-task/[A-Za-z0-9-]{1,80}")
_POSITION = re.compile(r"(>?)\s{0,4}([0-9]{1,9})")
_LATEST_UNIX = 4_102_444_800.0
_NOTHING = msgspec.Raw(b"null")

T = TypeVar("T")


@dataclass(frozen=True)
class BraketTask:
    """What Braket says of a task. ``status`` is Braket's word; ``n_executables`` and ``shots`` None if it is not said.

    ``document``: verbatim. ``is_set``: whether it is said to run a program set. ``position``: in the queue, and whether
    it is only known to be beyond it.
    """

    arn: str
    status: str
    bucket: str
    directory: str
    document: bytes = field(repr=False)
    created_at: datetime.datetime | None = None
    ended_at: datetime.datetime | None = None
    failure: str = ""
    shots: int | None = None
    successful_shots: int | None = None
    is_set: bool = False
    n_executables: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    position: int | None = None
    is_beyond: bool = False


class _QueueWire(msgspec.Struct):
    position: str | int | None = None


class _ActionWire(msgspec.Struct, rename="camel"):
    action_type: str = ""
    executable_count: int | None = None


class _TaskWire(msgspec.Struct, rename="camel"):
    """Raw fields are for showing and for searching: a task can be worked with if they cannot be read."""

    quantum_task_arn: str
    status: str
    output_s3_bucket: str | None = msgspec.field(name="outputS3Bucket", default=None)
    output_s3_directory: str | None = msgspec.field(name="outputS3Directory", default=None)
    tags: dict[str, str | None] | None = None
    created_at: msgspec.Raw = _NOTHING
    ended_at: msgspec.Raw = _NOTHING
    failure_reason: msgspec.Raw = _NOTHING
    shots: msgspec.Raw = _NOTHING
    num_successful_shots: msgspec.Raw = _NOTHING
    queue_info: msgspec.Raw = _NOTHING
    action_metadata: msgspec.Raw = _NOTHING


class _PageWire(msgspec.Struct, rename="camel"):
    quantum_tasks: list[msgspec.Raw]
    next_token: str | None = None


class _AcceptedWire(msgspec.Struct, rename="camel"):
    quantum_task_arn: str


# Numbers may be quoted. A decoder is made once: to work out its type takes longer than to decode such a value.
_QUEUE = msgspec.json.Decoder(_QueueWire | None, strict=False)
_ACTION = msgspec.json.Decoder(_ActionWire | None, strict=False)
_TIME = msgspec.json.Decoder(str | float | None, strict=False)
_TEXT = msgspec.json.Decoder(str | None, strict=False)
_COUNT = msgspec.json.Decoder(int | None, strict=False)


def is_task_arn(text: str) -> bool:
    """Whether a text is the ARN of a quantum task."""
    return _ARN.fullmatch(text) is not None


def decode_accepted(body: bytes) -> str:
    """The ARN of the task that was accepted. Raises InvalidResultError if it cannot be read."""
    arn = _decode(body, _AcceptedWire).quantum_task_arn
    if not is_task_arn(arn):
        raise InvalidResultError("expected the ARN of a quantum task, found something else")
    return arn


def decode_task(document: bytes) -> BraketTask:
    """A task from its own document, or from an entry of a search. Raises InvalidResultError."""
    wire = _decode(document, _TaskWire)
    if not is_task_arn(wire.quantum_task_arn):
        raise InvalidResultError("expected a quantum task, found a document without its ARN")
    queue, action = _try(wire.queue_info, _QUEUE), _try(wire.action_metadata, _ACTION)
    position, is_beyond = _read_position("" if queue is None else str(queue.position))
    return BraketTask(
        arn=wire.quantum_task_arn,
        status=wire.status,
        bucket=wire.output_s3_bucket or "",
        directory=wire.output_s3_directory or "",
        document=document,
        created_at=_read_time(_try(wire.created_at, _TIME)),
        ended_at=_read_time(_try(wire.ended_at, _TIME)),
        failure=_try(wire.failure_reason, _TEXT) or "",
        shots=_try(wire.shots, _COUNT),
        successful_shots=_try(wire.num_successful_shots, _COUNT),
        is_set=action is not None and action.action_type.endswith(".program_set"),
        n_executables=None if action is None else _count(action),
        tags={name: value for name, value in (wire.tags or {}).items() if value is not None},
        position=position,
        is_beyond=is_beyond,
    )


def decode_page(body: bytes) -> tuple[list[BraketTask], str | None]:
    """The tasks of a page of a search, and the token of the next page. Raises InvalidResultError."""
    wire = _decode(body, _PageWire)
    return [decode_task(bytes(entry)) for entry in wire.quantum_tasks], wire.next_token or None


def _count(action: _ActionWire) -> int | None:
    """How many circuits the task runs: of a single program it is not said."""
    return action.executable_count or (1 if action.action_type.endswith(".program") else None)


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidResultError(f"expected a document of Amazon Braket: {error}") from error


def _try(raw: msgspec.Raw, decoder: "msgspec.json.Decoder[T]") -> T | None:
    """A value of the decoder's kind; None for anything else."""
    if raw is _NOTHING:
        return None
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _read_time(value: str | float | None) -> datetime.datetime | None:
    """RFC 3339 or seconds since 1970; None for anything else, as a time is only for showing and searching."""
    try:
        if isinstance(value, str):
            moment = datetime.datetime.fromisoformat(value)
            return moment if moment.tzinfo is not None else moment.replace(tzinfo=datetime.UTC)
        if value is not None and 0.0 < value < _LATEST_UNIX:
            return datetime.datetime.fromtimestamp(value, tz=datetime.UTC)
    except ValueError:
        pass
    return None


def _read_position(text: str) -> tuple[int | None, bool]:
    """``"3"`` is place 3, ``">2000"`` a place beyond 2000; any other text says nothing."""
    found = _POSITION.fullmatch(text.strip())
    return (None, False) if found is None else (int(found[2]), bool(found[1]))
