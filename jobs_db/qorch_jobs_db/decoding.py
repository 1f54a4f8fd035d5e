"""Rows of SQL back to records."""

import datetime as dt
import hashlib
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import Row

from qorch.model.arrays import ByteArray, UIntArray, freeze
from qorch.model.identity import KEY_BYTES, Position
from qorch.model.job import JobState, QueuePlace
from qorch.model.ledger import LedgerRecord
from qorch.model.ledger_chain import FIELDS, LedgerRow, decode_row
from qorch.model.measurement import BlockResult
from qorch.model.money import Money
from qorch.model.samples import Samples
from qorch.model.timing import Phase, Span, TimeSource
from qorch.model.usage import ReportedUsage, UsageQuantity, UsageState, UsageUnit
from qorch.ports.provider_sessions import ProviderSessionRecord, ProviderSessionState, SessionPlan
from qorch.ports.records import (
    AttemptRecord,
    BlockKeys,
    BlockRecord,
    BlockRows,
    CheckpointRecord,
    JobPlan,
    JobRecord,
    MetricRecord,
    RawRecord,
    RunRecord,
    SessionRecord,
    SpanRecord,
    StepRecord,
)
from qorch_jobs_db.blocks import decode_places, decode_result, read_samples
from qorch_jobs_db.encoding import BLOCK_IDENTITY, block_label
from qorch_jobs_db.job_codec import decode_answer, decode_plan

SqlRow = Row[Any]
_PHASES = {phase.value: phase for phase in Phase}


def parse_time(text: str) -> dt.datetime:
    """The moment that ``encoding.time_text`` wrote."""
    return dt.datetime.fromisoformat(text)


def parse_time_or_none(text: str | None) -> dt.datetime | None:
    return None if text is None else parse_time(text)


def decode_run(row: SqlRow) -> RunRecord:
    """A row of runs."""
    return RunRecord(
        run_id=row.run_id, name=row.name, backend=row.backend, seed=int(row.seed), cache=row.cache,
        created_at=parse_time(row.created_at), workload=row.workload, settings=row.settings,
        budget_micros=row.budget_micros, currency=row.currency, state=row.state, summary=row.summary,
        charges=None if row.charges is None else bool(row.charges), environment=row.environment,
        stop_asked_at=parse_time_or_none(row.stop_asked_at),
    )  # fmt: skip


def decode_session(row: SqlRow) -> SessionRecord:
    """A row of sessions."""
    started_at = parse_time(row.started_at)
    return SessionRecord(
        row.run_id, row.ordinal, row.pid, row.host, started_at, row.wall_ns, row.executions, row.executions_from_cache,
        bool(row.is_command),
        row.used_settings,
    )  # fmt: skip


def decode_step(row: SqlRow) -> StepRecord:
    """A row of steps."""
    return StepRecord(
        row.run_id, row.step, row.session, parse_time(row.ended_at), row.executions, row.executions_from_cache,
        parse_time_or_none(row.begun_at), row.epoch,
    )  # fmt: skip


def decode_metric(row: SqlRow) -> MetricRecord:
    """A row of metrics."""
    value = math.nan if row.value is None else row.value
    return MetricRecord(row.run_id, row.step, row.ordinal, row.name, value, parse_time(row.logged_at), row.epoch)


def decode_job(row: SqlRow) -> JobRecord:
    """A row of jobs."""
    return JobRecord(
        row.job_id, row.run_id, Position(row.step, row.call), JobState(row.state), row.n_executions, row.shots,
        parse_time(row.changed_at), row.provider_id, row.attempts, row.error, _decode_place(row),
        _decode_usage(row),
    )  # fmt: skip


def _decode_place(row: SqlRow) -> QueuePlace | None:
    if row.queue_position is None:
        return None
    return QueuePlace(row.queue_position, parse_time(row.queue_seen_at), bool(row.queue_position_is_least))


def _decode_usage(row: SqlRow) -> ReportedUsage | None:
    if row.usage_state is None:
        return None
    micros: dict[str, int] = json.loads(row.usage_micros or "{}")
    # Names of units are in small letters, currencies in capitals.
    charges = [Money(name, amount) for name, amount in micros.items() if name.isupper()]
    quantities = tuple(UsageQuantity(UsageUnit(unit), count) for unit, count in micros.items() if unit.islower())
    return ReportedUsage(UsageState(row.usage_state), quantities, charges[0] if charges else None)


def decode_attempt(row: SqlRow) -> AttemptRecord:
    """A row of attempts."""
    return AttemptRecord(
        row.job_id, row.ordinal, row.key, parse_time(row.started_at), row.outcome, row.error, row.payload_digest,
        row.search_text,
    )  # fmt: skip


def decode_job_plan(row: SqlRow) -> JobPlan:
    """A row of job_plans. Raises StoreCorruptError if its checksum fails."""
    return decode_plan(row.content, job_id=row.job_id, run_id=row.run_id)


def decode_raw_result(row: SqlRow) -> RawRecord:
    """A row of raw_results. Raises StoreCorruptError if its checksum fails."""
    return decode_answer(
        row.content, job_id=row.job_id, run_id=row.run_id, received_at=row.received_at,
        is_quarantined=bool(row.is_quarantined), codec=row.codec,
    )  # fmt: skip


def decode_span(row: SqlRow) -> SpanRecord:
    """A row of spans."""
    source = None if row.source is None else TimeSource(row.source)
    # A dict is several times as fast as the enumeration, of which a run asks a hundred thousand times.
    span = Span(
        _PHASES.get(row.phase) or Phase(row.phase),
        row.started_ns,
        row.ended_ns,
        row.step,
        row.call,
        row.job_id,
        row.resolution_ns,
        source,
    )
    return SpanRecord(row.run_id, row.session, span)


def decode_entry(row: SqlRow) -> LedgerRecord:
    """A row of ledger. Raises StoreCorruptError for values that no entry has."""
    fields = tuple(getattr(row, name) for name in FIELDS)
    return decode_row(LedgerRow(row.entry, fields, row.previous, row.digest)).record


def decode_provider_session(row: SqlRow) -> ProviderSessionRecord:
    """A row of provider_sessions."""
    plan = SessionPlan(row.key, row.device, row.mode, row.max_ttl_seconds, parse_time(row.planned_at))
    state, changed_at = ProviderSessionState(row.state), parse_time(row.changed_at)
    return ProviderSessionRecord(plan, row.run_id, row.account, state, changed_at, row.provider_id, row.error)


def decode_checkpoint(row: SqlRow) -> CheckpointRecord | None:
    """A row of checkpoints, or None if its content fails its checksum."""
    if hashlib.sha256(row.content).hexdigest() != row.sha256:
        return None
    return CheckpointRecord(row.run_id, Position(row.step, row.call), row.content, parse_time(row.created_at))


def decode_block(row: SqlRow) -> BlockRecord:
    """A whole row of row_blocks. Raises StoreCorruptError if a checksum fails."""
    indices, samples = _places(row)
    rows = BlockRows(
        row.group_ordinal, indices, _keys(row), bytes.fromhex(row.context), bytes.fromhex(row.gates_digest), samples
    )
    return BlockRecord(
        job_id=row.job_id, run_id=row.run_id, position=Position(row.step, row.call), rows=rows,
        measurement_digest=bytes.fromhex(row.measurement_digest), n_qubits=row.n_qubits,
        result=decode_block_result(row), created_at=parse_time(row.created_at),
    )  # fmt: skip


def decode_block_keys(row: SqlRow) -> BlockKeys:
    """A row of row_blocks without its result. Raises StoreCorruptError if the checksum fails."""
    _, samples = _places(row)
    return BlockKeys(row.block_id, _keys(row), samples)


def decode_block_result(row: SqlRow) -> BlockResult:
    """The result of a row of row_blocks. Raises StoreCorruptError if the checksum fails."""
    return decode_result(row.result, label=_label(row, b""), name=_name(row))


def _places(row: SqlRow) -> tuple[UIntArray, Samples | None]:
    indices, streams, ordinals = decode_places(row.places, label=_label(row, row.row_keys), name=_name(row))
    return indices, read_samples(streams, ordinals, shots=row.shots, offset=row.shot_offset)


def _label(row: SqlRow, keys: bytes) -> bytes:
    values: Sequence[object] = [getattr(row, name) for name in BLOCK_IDENTITY]
    return block_label(values, keys=keys)


def _keys(row: SqlRow) -> ByteArray:
    keys: ByteArray = np.frombuffer(row.row_keys, dtype=np.uint8).reshape(-1, KEY_BYTES)
    return freeze(keys)


def _name(row: SqlRow) -> str:
    return f"block {row.block_id} of job '{row.job_id}'"
