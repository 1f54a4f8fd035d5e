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

T = TypeVar("T")


@dataclass(frozen=True)
class BraketTask:
    """What Braket says of a task. ``status`` is Braket's word; ``n_executables`` and ``shots`` None if it is not said.

    ``document``: verbatim. ``position``: in the queue, and whether it is only known to be beyond it.
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
    n_executables: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    position: int | None = None
    is_beyond: bool = False


class _QueueWire(msgspec.Struct):
    position: str = ""


class _ActionWire(msgspec.Struct, rename="camel"):
    action_type: str = ""
    executable_count: int | None = None


class _TaskWire(msgspec.Struct, rename="camel"):
    quantum_task_arn: str
    status: str
    output_s3_bucket: str = msgspec.field(name="outputS3Bucket", default="")
    output_s3_directory: str = msgspec.field(name="outputS3Directory", default="")
    created_at: str | float | None = None
    ended_at: str | float | None = None
    failure_reason: str | None = None
    shots: int | None = None
    num_successful_shots: int | None = None
    tags: dict[str, str] | None = None
    queue_info: _QueueWire | None = None
    action_metadata: _ActionWire | None = None


class _PageWire(msgspec.Struct, rename="camel"):
    quantum_tasks: list[msgspec.Raw]
    next_token: str | None = None


class _AcceptedWire(msgspec.Struct, rename="camel"):
    quantum_task_arn: str


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
    position, is_beyond = _read_position("" if wire.queue_info is None else wire.queue_info.position)
    return BraketTask(
        arn=wire.quantum_task_arn,
        status=wire.status,
        bucket=wire.output_s3_bucket,
        directory=wire.output_s3_directory,
        document=document,
        created_at=_read_time(wire.created_at),
        ended_at=_read_time(wire.ended_at),
        failure=wire.failure_reason or "",
        shots=wire.shots,
        successful_shots=wire.num_successful_shots,
        n_executables=None if wire.action_metadata is None else _count(wire.action_metadata),
        tags=wire.tags or {},
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
