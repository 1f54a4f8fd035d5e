"""Records to rows of SQL, ready for executemany."""

import datetime as dt
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import singledispatch

import numpy as np

from qorch.errors import StoreError, UsageError
from qorch.records import (
    AttemptRecord,
    BlockRecord,
    CheckpointRecord,
    JobRecord,
    LedgerRecord,
    RunMove,
    RunRecord,
    SessionRecord,
    SpanRecord,
    StepRecord,
    Write,
)
from qorch_jobs_db.blocks import encode_places, encode_result

SqlValue = str | int | bytes | None
Row = dict[str, SqlValue]

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


@dataclass(frozen=True)
class Changes:
    """The rows of one call or of several: ``runs`` in their order, all else by table."""

    runs: list[Row | RunMove] = field(default_factory=list)
    rows: defaultdict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))

    def add(self, other: "Changes") -> None:
        """Append the changes of a later call."""
        self.runs.extend(other.runs)
        for table, rows in other.rows.items():
            self.rows[table].extend(rows)


def encode(writes: Sequence[Write], *, stamp: str) -> Changes:
    """The rows of one call; ``stamp`` is when blocks without a time were created.

    Raises StoreError for what is no record, UsageError for a time without its zone.
    """
    changes = Changes()
    for record in writes:
        if isinstance(record, RunMove):
            changes.runs.append(record)
        elif isinstance(record, RunRecord):
            changes.runs.append(_encode_run(record))
        elif isinstance(record, BlockRecord):
            changes.rows["row_blocks"].append(_encode_block(record, stamp))
        else:
            table, row = _encode(record)
            changes.rows[table].append(row)
    return changes


def time_text(moment: dt.datetime) -> str:
    """ISO-8601 in UTC with microseconds, which sorts as time does. Raises UsageError without a time zone."""
    if moment.tzinfo is None:
        raise UsageError(f"the time {moment} has no time zone; take it from Clock.now()")
    return moment.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def block_label(values: Sequence[object], *, keys: bytes = b"") -> bytes:
    """What the seal of a block's arrays covers beside them: the BLOCK_IDENTITY values, and the keys."""
    return repr(tuple(values)).encode() + keys


@singledispatch
def _encode(record: object) -> tuple[str, Row]:
    raise StoreError(f"cannot store a {type(record).__name__}; write the records of qorch.ports")


def _encode_run(record: RunRecord) -> Row:
    return {
        "run_id": record.run_id,
        "name": record.name,
        "backend": record.backend,
        "seed": str(record.seed),
        "cache": str(record.cache),
        "created_at": time_text(record.created_at),
        "workload": record.workload,
        "settings": record.settings,
        "budget_micros": record.budget_micros,
        "currency": record.currency,
        "state": record.state,
        "summary": record.summary,
    }


@_encode.register
def _encode_session(record: SessionRecord) -> tuple[str, Row]:
    return "sessions", {
        "run_id": record.run_id,
        "ordinal": record.ordinal,
        "pid": record.pid,
        "host": record.host,
        "started_at": time_text(record.started_at),
        "wall_ns": record.wall_ns,
        "rows_executed": record.rows_executed,
        "rows_from_cache": record.rows_from_cache,
    }


@_encode.register
def _encode_step(record: StepRecord) -> tuple[str, Row]:
    return "steps", {
        "run_id": record.run_id,
        "step": record.step,
        "session": record.session,
        "ended_at": time_text(record.ended_at),
        "rows_executed": record.rows_executed,
        "rows_from_cache": record.rows_from_cache,
        "metrics": record.metrics,
    }


@_encode.register
def _encode_job(record: JobRecord) -> tuple[str, Row]:
    return "jobs", {
        "job_id": record.job_id,
        "run_id": record.run_id,
        "step": record.position.step,
        "call": record.position.call,
        "state": record.state.value,
        "n_rows": record.n_rows,
        "shots": record.shots,
        "changed_at": time_text(record.changed_at),
        "provider_id": record.provider_id,
        "attempts": record.attempts,
        "error": record.error,
    }


@_encode.register
def _encode_attempt(record: AttemptRecord) -> tuple[str, Row]:
    return "attempts", {
        "job_id": record.job_id,
        "ordinal": record.ordinal,
        "key": record.key,
        "started_at": time_text(record.started_at),
        "outcome": record.outcome,
        "error": record.error,
    }


@_encode.register
def _encode_span(record: SpanRecord) -> tuple[str, Row]:
    span = record.span
    return "spans", {
        "run_id": record.run_id,
        "session": record.session,
        "phase": span.phase.value,
        "started_ns": span.started_ns,
        "ended_ns": span.ended_ns,
        "step": span.step,
        "call": span.call,
        "job_id": span.job_id,
    }


@_encode.register
def _encode_checkpoint(record: CheckpointRecord) -> tuple[str, Row]:
    return "checkpoints", {
        "run_id": record.run_id,
        "step": record.position.step,
        "call": record.position.call,
        "created_at": time_text(record.created_at),
        "sha256": hashlib.sha256(record.content).hexdigest(),
        "content": record.content,
    }


@_encode.register
def _encode_entry(record: LedgerRecord) -> tuple[str, Row]:
    return "ledger", {
        "run_id": record.run_id,
        "job_id": record.job_id,
        "kind": record.kind,
        "currency": record.currency,
        "micros": record.micros,
        "recorded_at": time_text(record.recorded_at),
    }


def _encode_block(record: BlockRecord, stamp: str) -> Row:
    # The seal covers these values as text, so a numpy integer would change it.
    row: Row = {
        "job_id": record.job_id,
        "run_id": record.run_id,
        "step": int(record.position.step),
        "call": int(record.position.call),
        "group_ordinal": int(record.group),
        "n_rows": len(record.rows),
        "n_qubits": int(record.n_qubits),
        "shots": None if record.shots is None else int(record.shots),
        "shot_offset": int(record.shot_offset),
        "context": record.context.hex(),
        "measurement_digest": record.measurement_digest.hex(),
        "gates_digest": record.gates_digest.hex(),
    }
    identity = tuple(row.values())
    keys = np.ascontiguousarray(record.keys).tobytes()
    places = encode_places(record.rows, record.streams, record.ordinals, label=block_label(identity, keys=keys))
    result = encode_result(record.result, label=block_label(identity))
    row["created_at"] = stamp if record.created_at is None else time_text(record.created_at)
    row["n_bytes"] = len(keys) + len(places) + len(result)
    row["row_keys"], row["places"], row["result"] = keys, places, result
    return row
