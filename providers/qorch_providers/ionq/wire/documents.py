"""IonQ's JSON documents: jobs, lists of jobs, acceptances, errors and backends, in version 0.4 or 0.3.

Only the fields that qorch uses are read; others are ignored. Values that are not plausible raise InvalidResultError.
"""

import datetime
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TypeVar

import msgspec

from qorch.errors import InvalidResultError
from qorch.model.job import Availability, JobStatus, RemoteState
from qorch.model.label import JobLabel
from qorch_providers.http import clean
from qorch_providers.ionq.labels import CONTEXT_FIELD, DIGEST_FIELD, JOB_FIELD, KEY_FIELD, ROWS_FIELD
from qorch_providers.ionq.wire.sanitise import check_id, is_path, path_of
from qorch_providers.ionq.wire.usage import is_free, read_usage

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
"""The status words of both versions; 0.3 says running, 0.4 started."""

_REPEATABLE = frozenset({"InternalError", "QuantumComputerError", "SystemCancel"})
"""Failures on IonQ's side, after which another try may succeed. The others are caused by the job or the account."""

_ARTIFACTS = (
    "ionq.result.probabilities-aggregate.json.v1",
    "ionq.result.probabilities.json.v1",
    "ionq.result.probabilities.json.v2",
)
_NOTHING = (b"null", b"[]")
_MAX_CURSOR = 4096
_OPEN_WORDS = ("available", "running")
_KEY = re.compile(r"[0-9a-f]{64}")


_NULL = msgspec.Raw(b"null")


class _Job(msgspec.Struct):
    """Fields of both versions. Those without a type are read leniently: one that cannot be read counts as missing."""

    id: str
    status: msgspec.Raw = _NULL
    name: str | None = None
    metadata: dict[str, msgspec.Raw] | None = None
    parent_job_id: str | None = None
    child_job_ids: msgspec.Raw = _NULL
    children: msgspec.Raw = _NULL
    failure: msgspec.Raw = _NULL
    results: msgspec.Raw = _NULL
    results_url: msgspec.Raw = _NULL
    submitted_at: msgspec.Raw = _NULL
    started_at: msgspec.Raw = _NULL
    completed_at: msgspec.Raw = _NULL
    request: msgspec.Raw = _NULL
    start: msgspec.Raw = _NULL
    response: msgspec.Raw = _NULL
    predicted_wait_time_ms: msgspec.Raw = _NULL
    predicted_execution_duration_ms: msgspec.Raw = _NULL
    predicted_execution_time: msgspec.Raw = _NULL
    shots: msgspec.Raw = _NULL
    stats: msgspec.Raw = _NULL
    cost_model: msgspec.Raw = _NULL
    dry_run: msgspec.Raw = _NULL
    backend: msgspec.Raw = _NULL


class _Listing(msgspec.Struct):
    jobs: list[msgspec.Raw]
    next: str | int | None = None


class _Accepted(msgspec.Struct):
    id: str


class _Validation(msgspec.Struct):
    keys: list[str] = []


class _Detail(msgspec.Struct):
    msg: str = ""


class _Error(msgspec.Struct):
    message: str | None = None
    error: str | None = None
    detail: str | list[_Detail] | None = None
    validation: _Validation | None = None


class _Backend(msgspec.Struct):
    backend: str
    status: str
    degraded: bool | None = None
    qubits: int | None = None
    average_queue_time: float | None = None
    characterization_id: str | None = None
    characterization_url: str | None = None


class RepeatedChildError(InvalidResultError):
    """A job names a child twice, so that its results cannot be assigned to circuits."""


@dataclass(frozen=True)
class IonqJob:
    """The content of a job's document.

    ``key``: the idempotency key in its metadata. ``odd_status``: its status if that is not one of IonQ's words;
    then ``status`` says running. ``failure_code``: IonQ's word for why it failed, if there is one. ``is_free``: a dry
    run, or a job of the simulator. ``children``, ``results``, ``results_url``: JSON that is parsed when it is needed.
    """

    job_id: str
    version: str
    status: JobStatus
    odd_status: str | None
    failure_code: str | None
    key: str | None
    name: str | None
    parent_id: str | None
    is_free: bool
    children: bytes
    results: bytes
    results_url: bytes

    @property
    def job_label(self) -> JobLabel:
        """The job's label, empty if it has none."""
        return self.status.label or JobLabel()

    @cached_property
    def child_ids(self) -> tuple[str, ...]:
        """The child ids of a multi-circuit job. Raises InvalidResultError if they are not valid.

        Parsed only when needed: there may be thousands, and polling the status does not need them.
        """
        children = tuple(check_id(child) for child in _decode(self.children, list[str], "list of children") or ())
        if len(set(children)) != len(children):
            raise RepeatedChildError(f"job {self.job_id} names a child twice; its circuits cannot be told apart")
        return children

    @cached_property
    def results_path(self) -> str | None:
        """The path of the probabilities, as the document names it; None if it names none.

        Only the path of a URL is used, and only one below this job: no other is ever requested.
        """
        own = f"/{self.version}/jobs/{self.job_id}/"
        paths = (f"/{path_of(name).lstrip('/')}" for name in self._named_results(own))
        return next((path for path in paths if path.startswith(own) and is_path(path)), None)

    def _named_results(self, own: str) -> Iterator[str]:
        """URLs and paths in the order in which they are preferred; nothing about them is checked."""
        yield _soft(self.results_url, _text) or ""
        results = _soft(self.results, _fields) or {}
        for name in ("probabilities", *_ARTIFACTS):
            raw = results.get(name, _NULL)
            result = _soft(raw, _fields) or {}
            yield _soft(result.get("url", raw), _text) or ""
            artifact = _soft(result.get("id", _NULL), _text)
            yield f"{own}artifacts/{artifact}" if artifact else ""


def decode_job(body: bytes, *, version: str) -> IonqJob:
    """The job of `GET /jobs/{id}`. Raises InvalidResultError if it cannot be read, or is not plausible.

    Only its id, status, parent and metadata must be readable: no result is lost because of, say, an unreadable time.
    """
    job = _read_job(body, version)
    if job.odd_status is not None:
        raise InvalidResultError(f"job {job.job_id} has the status {job.odd_status!r}, which is none of IonQ's")
    return job


def _read_job(body: bytes, version: str) -> IonqJob:
    """``decode_job``, but accepting a status that is not one of IonQ's words."""
    job = _decode(body, _Job, "job")
    word = _soft(job.status, _text)
    state = _STATES.get(word or "")
    children = (bytes(job.child_job_ids), bytes(job.children))
    return IonqJob(
        job_id=check_id(job.id),
        version=version,
        status=_status(job, state or RemoteState.RUNNING),
        odd_status=None if state is not None else clean(word or bytes(job.status).decode(errors="replace"), limit=60),
        failure_code=_failure(job.failure)[0],
        key=_key(job),
        name=None if job.name is None else clean(job.name),
        parent_id=None if job.parent_job_id is None else check_id(job.parent_job_id),
        is_free=is_free(job.backend, dry_run=job.dry_run),
        children=next((raw for raw in children if raw not in _NOTHING), b"[]"),
        results=bytes(job.results),
        results_url=bytes(job.results_url),
    )


def decode_job_list(body: bytes, *, version: str) -> tuple[list[IonqJob], str | None]:
    """The jobs of one page of `GET /jobs`, and the cursor of the next page, None at the end.

    A job whose status is not one of IonQ's words is included, with ``odd_status``, as it has been accepted.
    Raises InvalidResultError for a page that cannot be read. A single job that cannot be read is left out if it
    does not mention qorch: jobs of other tools in the account must not hide our own.
    """
    listing = _decode(body, _Listing, "list of jobs")
    jobs = []
    for item in listing.jobs:
        try:
            jobs.append(_read_job(bytes(item), version))
        except InvalidResultError:
            if b"qorch" in bytes(item) or b"\\u" in bytes(item):
                raise
    cursor = None if listing.next in (None, "") else str(listing.next)
    if cursor is not None and (len(cursor) > _MAX_CURSOR or clean(cursor, limit=_MAX_CURSOR) != cursor):
        raise InvalidResultError(f"the cursor of the next page is not one: {clean(cursor, limit=60)!r}")
    return jobs, cursor


def decode_accepted(body: bytes) -> str:
    """The id of the job that a POST created. Raises InvalidResultError if there is none."""
    return check_id(_decode(body, _Accepted, "acceptance").id)


def decode_error(body: bytes) -> str:
    """The message in an error's body, as one short line without control characters; "" if none is readable."""
    try:
        error = _decode(body, _Error, "error")
    except InvalidResultError:
        return ""
    detail = error.detail or ""
    told = detail if isinstance(detail, str) else "; ".join(item.msg for item in detail[:8])
    text = error.message or error.error or told
    if error.validation is not None and error.validation.keys:
        text += f" ({', '.join(error.validation.keys[:8])})"
    return clean(text)


def decode_availability(body: bytes, *, target: str) -> tuple[Availability, str | None] | None:
    """Whether ``target`` takes jobs, and the id of its present characterization, None if it has none.

    Returns None if a list does not name the target.

    ``body`` is that of `GET /backends/{target}` or of `GET /backends`. A status that is not known counts as closed,
    and the reason says the word. Queue times are taken to be milliseconds: IonQ's reference gives no unit, and its
    examples are about 10^6. Raises InvalidResultError if it cannot be read, or is of another target.
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
    """The id of the characterization; version 0.3 has a URL that ends with it."""
    text = backend.characterization_id or (backend.characterization_url or "").rpartition("/")[2]
    return check_id(text) if text else None


def _decode(body: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidResultError(f"the server's {what} cannot be read: {clean(str(error))}") from error


_text = msgspec.json.Decoder(str)
_number = msgspec.json.Decoder(float)
_count = msgspec.json.Decoder(int)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _soft(raw: msgspec.Raw | bytes, decoder: msgspec.json.Decoder[T]) -> T | None:
    """The decoded value; None if it is missing or of another type."""
    if bytes(raw) == b"null":
        return None
    try:
        return decoder.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def _status(job: _Job, state: RemoteState) -> JobStatus:
    is_over = state in (RemoteState.FAILED, RemoteState.CANCELLED)
    code, error = _failure(job.failure) if is_over else (None, None)
    return JobStatus(
        state=state,
        error=error,
        is_repeatable=code in _REPEATABLE,
        submitted_at=_time(job.submitted_at) or _time(job.request),
        started_at=_time(job.started_at) or _time(job.start),
        ended_at=_time(job.completed_at) or _time(job.response),
        wait_seconds=_forecast(job, state),
        key=_whole_key(job),
        # Children carry their job's metadata too, and there may be thousands.
        label=_label(job, job.metadata or {}) if job.parent_job_id is None else None,
        usage=read_usage(state, job.stats, cost_model=job.cost_model, dry_run=job.dry_run)
        if job.parent_job_id is None
        else None,
    )


def _label(job: _Job, metadata: Mapping[str, msgspec.Raw]) -> JobLabel | None:
    """The label in a job's metadata, without fields that cannot be read; the engine checks it against key and rows."""
    if KEY_FIELD not in metadata:
        return None
    fields = (JOB_FIELD, ROWS_FIELD, DIGEST_FIELD, CONTEXT_FIELD)
    job_id, rows, digest, context = (_soft(metadata.get(name, _NULL), _text) for name in fields)
    stats = _soft(job.stats, _fields) or {}
    n_rows, shots = (_soft(raw, _count) for raw in (stats.get("circuits", _NULL), job.shots))
    digest, context = (text if text is not None and _KEY.fullmatch(text) else None for text in (digest, context))
    return JobLabel(job_id, rows, digest, context, n_rows, shots)


def _whole_key(job: _Job) -> str | None:
    """The key in the metadata; None if a server has truncated it, as it then proves nothing."""
    key = _key(job)
    return key if key is not None and _KEY.fullmatch(key) else None


def _failure(raw: msgspec.Raw) -> tuple[str | None, str | None]:
    """The code of a failure, and code and reason in one line; some servers send the reason alone."""
    if bytes(raw) == b"null":
        return None, None
    failure = _soft(raw, _fields) or {"message": raw}
    code, message, error = (_soft(failure.get(name, _NULL), _text) for name in ("code", "message", "error"))
    return code, clean(": ".join(part for part in (code, message or error) if part)) or None


def _forecast(job: _Job, state: RemoteState) -> float | None:
    """IonQ's forecast in seconds: until the start if the job is queued, of the execution time if it runs."""
    if state == RemoteState.QUEUED:
        return _seconds(_soft(job.predicted_wait_time_ms, _number))
    if state == RemoteState.RUNNING:
        fields = (job.predicted_execution_duration_ms, job.predicted_execution_time)
        return _seconds(next(filter(None, (_soft(field, _number) for field in fields)), None))
    return None


def _seconds(milliseconds: float | None) -> float | None:
    if milliseconds is None or not math.isfinite(milliseconds) or milliseconds < 0.0:
        return None
    return milliseconds / 1e3


def _time(raw: msgspec.Raw) -> datetime.datetime | None:
    """A time: ISO 8601 in version 0.4, Unix seconds in 0.3."""
    text = _soft(raw, _text)
    try:
        if text is not None:
            moment = datetime.datetime.fromisoformat(text)
            return moment.astimezone(datetime.UTC) if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
        seconds = _soft(raw, _number)
        return None if seconds is None else datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)
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
