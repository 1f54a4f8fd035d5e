"""IonQ's JSON documents: jobs, lists of jobs, acceptances, errors and backends, in version 0.4 or 0.3.

Only what qorch uses is read; what else is there does not matter. Whatever cannot be believed is an InvalidResultError.
"""

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TypeVar

import msgspec

from qorch.errors import InvalidResultError
from qorch.model.job import Availability, JobStatus, RemoteState
from qorch_providers.ionq.bodies import KEY_FIELD
from qorch_providers.ionq.text import check_id, check_path, clean

T = TypeVar("T")

_STATES: Mapping[str, RemoteState] = MappingProxyType(
    {
        "submitted": RemoteState.QUEUED,
        "ready": RemoteState.QUEUED,
        "started": RemoteState.RUNNING,
        "running": RemoteState.RUNNING,
        "completed": RemoteState.DONE,
        "failed": RemoteState.FAILED,
        "canceled": RemoteState.CANCELLED,
    }
)
"""Both versions' words; 0.3 says running where 0.4 says started."""

_REPEATABLE = frozenset({"InternalError", "QuantumComputerError", "SystemCancel"})
"""Failures of IonQ's side, which another try may not meet. The others lie in the job or the account."""

_ARTIFACTS = (
    "ionq.result.probabilities-aggregate.json.v1",
    "ionq.result.probabilities.json.v1",
    "ionq.result.probabilities.json.v2",
)
_NOTHING = (b"null", b"[]")
_MAX_CURSOR = 4096
_OPEN_WORDS = ("available", "running")


class _Failure(msgspec.Struct):
    code: str | None = None
    message: str | None = None
    error: str | None = None


class _Result(msgspec.Struct):
    url: str | None = None
    id: str | None = None


class _Job(msgspec.Struct):
    """Fields of both versions."""

    id: str
    status: str
    name: str | None = None
    metadata: dict[str, msgspec.Raw] | None = None
    failure: _Failure | None = None
    parent_job_id: str | None = None
    child_job_ids: msgspec.Raw = msgspec.Raw(b"null")
    children: msgspec.Raw = msgspec.Raw(b"null")
    results: dict[str, msgspec.Raw] | None = None
    results_url: str | None = None
    submitted_at: str | float | None = None
    started_at: str | float | None = None
    completed_at: str | float | None = None
    request: str | float | None = None
    start: str | float | None = None
    response: str | float | None = None
    predicted_wait_time_ms: float | None = None
    predicted_execution_duration_ms: float | None = None
    predicted_execution_time: float | None = None


class _Listing(msgspec.Struct):
    jobs: list[msgspec.Raw]
    next: str | int | None = None


class _Accepted(msgspec.Struct):
    id: str


class _Validation(msgspec.Struct):
    keys: list[str] = []


class _Error(msgspec.Struct):
    message: str | None = None
    error: str | None = None
    validation: _Validation | None = None


class _Backend(msgspec.Struct):
    backend: str
    status: str
    degraded: bool | None = None
    qubits: int | None = None
    average_queue_time: float | None = None
    characterization_id: str | None = None
    characterization_url: str | None = None


@dataclass(frozen=True)
class IonqJob:
    """What a job's document says.

    ``key``: the idempotency key in its metadata. ``children``: the JSON of its children's ids. ``results_path``: where
    its probabilities are, a path on the same server; those of all children together for a multi-circuit job.
    """

    job_id: str
    status: JobStatus
    key: str | None
    name: str | None
    parent_id: str | None
    children: bytes
    results_path: str | None

    @cached_property
    def child_ids(self) -> tuple[str, ...]:
        """Of a multi-circuit job. Raises InvalidResultError where they cannot be believed.

        Read when they are wanted: there are thousands, and who only asks for the status does not.
        """
        children = tuple(check_id(child) for child in _decode(self.children, list[str], "list of children") or ())
        if len(set(children)) != len(children):
            raise InvalidResultError(f"job {self.job_id} names a child twice; its circuits cannot be told apart")
        return children


def decode_job(body: bytes, *, version: str) -> IonqJob:
    """The job of `GET /jobs/{id}`. Raises InvalidResultError where it cannot be read or believed.

    Times that cannot be read are None: no result is lost over a clock.
    """
    job = _decode(body, _Job, "job")
    children = (bytes(job.child_job_ids), bytes(job.children))
    return IonqJob(
        job_id=check_id(job.id),
        status=_status(job),
        key=_key(job),
        name=None if job.name is None else clean(job.name),
        parent_id=None if job.parent_job_id is None else check_id(job.parent_job_id),
        children=next((raw for raw in children if raw not in _NOTHING), b"[]"),
        results_path=_results_path(job, version=version),
    )


def decode_job_list(body: bytes, *, version: str) -> tuple[list[IonqJob], str | None]:
    """The jobs of one page of `GET /jobs`, and the cursor of the next page, None at the end.

    Raises InvalidResultError for a page that cannot be read. A single job that cannot be read is left out where it
    does not mention qorch: what others have in the account must not hide our own jobs.
    """
    listing = _decode(body, _Listing, "list of jobs")
    jobs = []
    for item in listing.jobs:
        try:
            jobs.append(decode_job(bytes(item), version=version))
        except InvalidResultError:
            if b"qorch" in bytes(item) or b"\\u" in bytes(item):
                raise
    cursor = None if listing.next in (None, "") else str(listing.next)
    if cursor is not None and (len(cursor) > _MAX_CURSOR or clean(cursor, limit=_MAX_CURSOR) != cursor):
        raise InvalidResultError(f"the cursor of the next page is not one: {clean(cursor, limit=60)!r}")
    return jobs, cursor


def decode_accepted(body: bytes) -> str:
    """The id of the job that a POST created. Raises InvalidResultError where it has none."""
    return check_id(_decode(body, _Accepted, "acceptance").id)


def decode_error(body: bytes) -> str:
    """What an error's body says, in one bounded line without control characters; "" where nothing is readable."""
    try:
        error = _decode(body, _Error, "error")
    except InvalidResultError:
        return ""
    text = error.message or error.error or ""
    if error.validation is not None and error.validation.keys:
        text += f" ({', '.join(error.validation.keys[:8])})"
    return clean(text)


def decode_availability(body: bytes, *, target: str) -> tuple[Availability, str | None] | None:
    """Whether ``target`` takes jobs, and the id of its present characterization, None where it has none.

    None where a list does not name the target.

    ``body`` is that of `GET /backends/{target}` or of `GET /backends`. A status that is not known counts as closed,
    and the reason says the word. Queue times are taken to be milliseconds (protocols.md 1.10 is not sure). Raises
    InvalidResultError where it cannot be read, or is of another target.
    """
    is_list = body.lstrip()[:1] == b"["
    found = _decode(body, list[_Backend], "list of backends") if is_list else [_decode(body, _Backend, "backend")]
    backend = next((item for item in found if item.backend == target), None)
    if backend is None and is_list:
        return None
    if backend is None:
        raise InvalidResultError(f"the server was asked for {target}, and described another backend")
    is_open = backend.status in _OPEN_WORDS
    reason = ("degraded" if backend.degraded else "") if is_open else clean(backend.status, limit=60)
    availability = Availability(
        is_open=is_open,
        reason=reason,
        n_qubits=backend.qubits if backend.qubits is not None and backend.qubits > 0 else None,
        queue_seconds=_seconds(backend.average_queue_time),
    )
    return availability, _characterization(backend)


def _characterization(backend: _Backend) -> str | None:
    """Version 0.3 has a URL that ends with the id."""
    text = backend.characterization_id or (backend.characterization_url or "").rpartition("/")[2]
    return check_id(text) if text else None


def _decode(body: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidResultError(f"the server's {what} cannot be read: {clean(str(error))}") from error


def _status(job: _Job) -> JobStatus:
    state = _STATES.get(job.status)
    if state is None:
        raise InvalidResultError(
            f"job {job.id} has the status {clean(job.status, limit=60)!r}, which is none of IonQ's"
        )
    is_over = state in (RemoteState.FAILED, RemoteState.CANCELLED)
    code = job.failure.code if job.failure is not None else None
    return JobStatus(
        state=state,
        error=_failure_text(job.failure) if is_over else None,
        is_repeatable=is_over and code in _REPEATABLE,
        submitted_at=_time(job.submitted_at or job.request),
        started_at=_time(job.started_at or job.start),
        ended_at=_time(job.completed_at or job.response),
        wait_seconds=_forecast(job, state),
    )


def _failure_text(failure: _Failure | None) -> str | None:
    if failure is None:
        return None
    return clean(": ".join(part for part in (failure.code, failure.message or failure.error) if part)) or None


def _forecast(job: _Job, state: RemoteState) -> float | None:
    """Seconds that are left as IonQ sees it: until the start while the job waits, of execution while it runs."""
    if state == RemoteState.QUEUED:
        return _seconds(job.predicted_wait_time_ms)
    if state == RemoteState.RUNNING:
        return _seconds(job.predicted_execution_duration_ms or job.predicted_execution_time)
    return None


def _seconds(milliseconds: float | None) -> float | None:
    if milliseconds is None or not math.isfinite(milliseconds) or milliseconds < 0.0:
        return None
    return milliseconds / 1e3


def _time(value: str | float | None) -> datetime.datetime | None:
    """ISO 8601 of version 0.4, or Unix seconds of 0.3."""
    try:
        if isinstance(value, str):
            moment = datetime.datetime.fromisoformat(value)
            return moment.astimezone(datetime.UTC) if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
        return None if value is None else datetime.datetime.fromtimestamp(value, tz=datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _key(job: _Job) -> str | None:
    raw = (job.metadata or {}).get(KEY_FIELD)
    if raw is None:
        return None
    try:
        return check_id(msgspec.json.decode(raw, type=str))
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidResultError(f"job {job.id} has metadata that cannot be read") from error


def _results_path(job: _Job, *, version: str) -> str | None:
    if job.results_url is not None:
        return check_path(job.results_url)
    results = job.results or {}
    for name in ("probabilities", *_ARTIFACTS):
        if bytes(results.get(name, b"null")) == b"null":
            continue
        result = _decode(bytes(results[name]), _Result, "result")
        if result.url is not None:
            return check_path(result.url)
        if result.id is not None:
            return check_path(f"/{version}/jobs/{check_id(job.id)}/artifacts/{check_id(result.id)}")
    return None
