"""Records to parameters of SQL: tuples in the order of the columns in schema.py, without the serial number."""

import datetime as dt
import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qorch.errors import StoreError, UsageError
from qorch.model.job import OVER_STATES, QueuePlace
from qorch.model.ledger import LedgerRecord
from qorch.model.ledger_chain import entry_fields
from qorch.model.usage import ReportedUsage
from qorch.ports.provider_sessions import ProviderSessionRecord
from qorch.ports.records import (
    AttemptRecord,
    BlockRecord,
    CheckpointRecord,
    JobPlan,
    JobRecord,
    MetricRecord,
    QueueMove,
    RawRecord,
    ReleasedRows,
    RunMove,
    RunRecord,
    SessionRecord,
    SpanRecord,
    StepRecord,
    StopRequest,
    UsageRecord,
    Write,
)
from qorch_jobs_db.blocks import encode_places, encode_result, stream_arrays
from qorch_jobs_db.job_codec import ANSWER_CODEC, encode_answer, encode_plan

SqlValue = str | int | float | bytes | None
Parameters = tuple[SqlValue, ...]

BLOCK_IDENTITY = (
    "job_id",
    "run_id",
    "step",
    "call",
    "group_ordinal",
    "n_rows",
    "n_qubits",
    "shots",
    "shot_offset",
    "context",
    "measurement_digest",
    "gates_digest",
)
"""The columns of row_blocks that are sealed together with its arrays, in this order."""
QUEUE_MOVES = "jobs: queue"
"""Among the rows by table: changes of the place in the queue, of jobs that are there."""
USAGES = "jobs: usage"
"""The same: what providers report that jobs were charged for."""


@dataclass(frozen=True)
class Changes:
    """The rows of one call or of several.

    ``runs`` in their order; all else by table. ``plans``: the last that is to be said of each job's plan, None if
    it goes. ``released`` are claims that are given up.
    """

    runs: list[Parameters | RunMove | StopRequest] = field(default_factory=list)
    rows: defaultdict[str, list[Parameters]] = field(default_factory=lambda: defaultdict(list))
    plans: dict[str, Parameters | None] = field(default_factory=dict)
    released: list[ReleasedRows] = field(default_factory=list)

    def add(self, other: "Changes") -> None:
        """Append the changes of a later call."""
        self.runs.extend(other.runs)
        for table, rows in other.rows.items():
            self.rows[table].extend(rows)
        self.plans.update(other.plans)
        self.released.extend(other.released)


def encode(writes: Sequence[Write], *, stamp: str) -> Changes:
    """The rows of one call; ``stamp`` is when blocks without a time were created.

    Raises StoreError for anything but a record, UsageError for a time without its zone.
    """
    changes = Changes()
    over = []
    for record in writes:
        found = _ENCODERS.get(type(record))
        if found is not None:
            table, encoder = found
            changes.rows[table].append(encoder(record))
            if isinstance(record, JobRecord):
                over.append(record)
        elif isinstance(record, BlockRecord):
            changes.rows["row_blocks"].append(_encode_block(record, stamp))
        else:
            _add_rare(changes, record)
    # One call may hold a job and its plan in any order, and only the job's last state counts.
    for job_id, state in {job.job_id: job.state for job in over}.items():
        if state in OVER_STATES:
            changes.plans[job_id] = None
    return changes


def _add_rare(changes: Changes, record: Write) -> None:
    if isinstance(record, RunMove | StopRequest):
        changes.runs.append(record)
    elif isinstance(record, RunRecord):
        changes.runs.append(_encode_run(record))
    elif isinstance(record, JobPlan):
        changes.plans[record.job_id] = (record.job_id, record.run_id, encode_plan(record))
    elif isinstance(record, ReleasedRows):
        changes.released.append(record)
    else:
        raise StoreError(f"cannot store a {type(record).__name__}; write those of qorch.ports.records")


def time_text(moment: dt.datetime) -> str:
    """ISO-8601 in UTC with microseconds, which sorts as time does. Raises UsageError without a time zone."""
    if moment.tzinfo is not dt.UTC:
        if moment.tzinfo is None:
            raise UsageError(f"the time {moment} has no time zone; take it from Clock.now()")
        moment = moment.astimezone(dt.UTC)
    return moment.isoformat(timespec="microseconds")[: -len("+00:00")] + "Z"


def block_label(values: Sequence[object], *, keys: bytes = b"") -> bytes:
    """What the seal of a block's arrays covers beside them: the BLOCK_IDENTITY values, and the keys."""
    return repr(tuple(values)).encode() + keys


def _encode_run(record: RunRecord) -> Parameters:
    return (
        record.run_id,
        record.name,
        record.backend,
        str(record.seed),
        str(record.cache),
        time_text(record.created_at),
        record.workload,
        record.settings,
        record.budget_micros,
        record.currency,
        record.state,
        record.summary,
        None if record.charges is None else int(record.charges),
        record.environment,
        time_or_none(record.stop_asked_at),
    )


def time_or_none(moment: dt.datetime | None) -> str | None:
    return None if moment is None else time_text(moment)


def _encode_session(record: SessionRecord) -> Parameters:
    return (
        record.run_id,
        record.ordinal,
        record.pid,
        record.host,
        time_text(record.started_at),
        record.wall_ns,
        record.executions,
        record.executions_from_cache,
        int(record.is_command),
        record.used_settings,
    )


def _encode_step(record: StepRecord) -> Parameters:
    return (
        record.run_id,
        record.step,
        record.session,
        time_text(record.ended_at),
        record.executions,
        record.executions_from_cache,
        time_or_none(record.begun_at),
        record.epoch,
    )


def _encode_metric(record: MetricRecord) -> Parameters:
    value = None if math.isnan(record.value) else record.value
    return (
        record.run_id,
        record.step,
        record.ordinal,
        record.name,
        value,
        time_text(record.logged_at),
        record.epoch,
    )


def _encode_job(record: JobRecord) -> Parameters:
    return (
        record.job_id,
        record.run_id,
        record.position.step,
        record.position.call,
        record.state.value,
        record.n_executions,
        record.shots,
        time_text(record.changed_at),
        record.provider_id,
        record.attempts,
        record.error,
        *_encode_place(record.queue_place),
        *_encode_usage(record.usage),
    )


def _encode_place(place: QueuePlace | None) -> Parameters:
    """The three columns of jobs."""
    return (None, None, None) if place is None else (place.position, int(place.is_least), time_text(place.seen_at))


def _encode_queue_move(record: QueueMove) -> Parameters:
    return *_encode_place(record.place), record.job_id


def _encode_usage(usage: ReportedUsage | None) -> Parameters:
    """The two columns of jobs."""
    if usage is None:
        return None, None
    micros = {quantity.unit.value: quantity.micros for quantity in usage.quantities}
    if usage.charge is not None:
        micros[usage.charge.currency] = usage.charge.micros
    return usage.state.value, json.dumps(micros) if micros else None


def _encode_usage_record(record: UsageRecord) -> Parameters:
    return *_encode_usage(record.usage), record.job_id


def _encode_attempt(record: AttemptRecord) -> Parameters:
    return (
        record.job_id,
        record.ordinal,
        record.key,
        time_text(record.started_at),
        record.outcome,
        record.error,
        record.payload_digest,
        record.search_text,
    )


def _encode_answer(record: RawRecord) -> Parameters:
    received_at = time_text(record.received_at)
    content = encode_answer(record, received_at=received_at)
    is_quarantined = int(record.is_quarantined)
    return record.job_id, record.run_id, received_at, is_quarantined, len(record.content), content, ANSWER_CODEC


def _encode_span(record: SpanRecord) -> Parameters:
    span = record.span
    return (
        record.run_id,
        record.session,
        span.phase.value,
        span.started_ns,
        span.ended_ns,
        span.step,
        span.call,
        span.job_id,
        span.resolution_ns,
        span.source,
    )


def _encode_checkpoint(record: CheckpointRecord) -> Parameters:
    return (
        record.run_id,
        record.position.step,
        record.position.call,
        time_text(record.created_at),
        hashlib.sha256(record.content).hexdigest(),
        record.content,
    )


def _encode_provider_session(record: ProviderSessionRecord) -> Parameters:
    plan = record.plan
    return (
        plan.key,
        record.run_id,
        record.account,
        plan.device,
        plan.mode,
        plan.max_ttl_seconds,
        time_text(plan.planned_at),
        record.state.value,
        time_text(record.changed_at),
        record.provider_id,
        record.error,
    )


_ENCODERS: Mapping[type, tuple[str, Callable[[Any], Parameters]]] = {
    SessionRecord: ("sessions", _encode_session),
    StepRecord: ("steps", _encode_step),
    MetricRecord: ("metrics", _encode_metric),
    JobRecord: ("jobs", _encode_job),
    QueueMove: (QUEUE_MOVES, _encode_queue_move),
    UsageRecord: (USAGES, _encode_usage_record),
    AttemptRecord: ("attempts", _encode_attempt),
    RawRecord: ("raw_results", _encode_answer),
    SpanRecord: ("spans", _encode_span),
    CheckpointRecord: ("checkpoints", _encode_checkpoint),
    LedgerRecord: ("ledger", entry_fields),
    ProviderSessionRecord: ("provider_sessions", _encode_provider_session),
}


def _encode_block(record: BlockRecord, stamp: str) -> Parameters:
    rows, samples = record.rows, record.rows.samples
    # The seal covers these values as text, so a numpy integer would change it.
    identity = (
        record.job_id,
        record.run_id,
        int(record.position.step),
        int(record.position.call),
        int(rows.group),
        len(rows),
        int(record.n_qubits),
        None if samples is None else int(samples.shots),
        0 if samples is None else int(samples.offset),
        rows.context.hex(),
        record.measurement_digest.hex(),
        rows.gates_digest.hex(),
    )
    keys = np.ascontiguousarray(rows.keys).tobytes()
    streams, ordinals = stream_arrays(samples, n_rows=len(rows))
    places = encode_places(rows.indices, streams, ordinals, label=block_label(identity, keys=keys))
    result = encode_result(record.result, label=block_label(identity))
    created_at = stamp if record.created_at is None else time_text(record.created_at)
    return (*identity, created_at, len(keys) + len(places) + len(result), keys, places, result)
