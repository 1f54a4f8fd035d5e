"""The observer that writes a log of JSON lines: one object an event, ASCII only, so that no text can forge a line."""

import datetime
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from qorch.errors import UsageError
from qorch.model.identity import position_of, run_of
from qorch.model.ledger import LedgerRecord
from qorch.model.money import Money
from qorch.ports.clock import Clock, WallClock
from qorch.ports.observer import Event, Notice, Refusal, RunStart
from qorch.ports.progress import Progress
from qorch.ports.provider_sessions import ProviderSessionRecord
from qorch.ports.records import (
    AttemptRecord,
    JobRecord,
    MetricRecord,
    QueueMove,
    RunMove,
    StepRecord,
    UsageRecord,
)

Fields = dict[str, Any]


def open_observer(options: str, *, environment: Mapping[str, str]) -> "JsonLog":
    """The log of the name ``log:FILE``; see ``qorch.observers.opening.GROUP``."""
    del environment
    if not options:
        raise UsageError("the observer 'log' needs a file: write log:FILE, or set QORCH_LOG_FILE")
    return JsonLog(options)


class JsonLog:
    """Appends one line an event to a file, which its owner alone can read if it is new.

    Not logged are phases and the session's totals, which come by the thousand: they are in the database and in traces.
    A run's settings, arguments and environment are not logged either, as they may hold secrets.
    """

    def __init__(self, file: str | os.PathLike[str], *, clock: Clock | None = None) -> None:
        """Open the file. ``clock``: dates events that have no time of their own. Raises UsageError."""
        self._clock = clock or WallClock()
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(
                f"the log file {os.fspath(file)!r} cannot be written: {reason}; name another one"
            ) from error
        self._file = os.fdopen(descriptor, "wb")

    def observe(self, events: Sequence[Event]) -> None:
        """See Observer: the lines of these events are in the file on return."""
        lines = [self._line(event, describe) for event in events if (describe := _FIELDS.get(type(event)))]
        if lines:
            self._file.write("".join(lines).encode("ascii"))
            self._file.flush()

    def close(self) -> None:
        """See Observer."""
        self._file.close()

    def _line(self, event: Event, describe: Callable[[Any], Fields]) -> str:
        fields = describe(event)
        at = fields.pop("at", None) or self._clock.now()
        return json.dumps({"at": _iso(at), **fields}, allow_nan=False, separators=(",", ":")) + "\n"


def _iso(at: datetime.datetime) -> str:
    """In UTC, to the microsecond, so that lines sort by their text."""
    return at.astimezone(datetime.UTC).isoformat(timespec="microseconds")


def _number(value: float) -> float | None:
    """JSON has neither NaN nor infinities."""
    return value if math.isfinite(value) else None


def _money(money: Money | None) -> Fields | None:
    return None if money is None else {"currency": money.currency, "micros": money.micros}


def _start(event: RunStart) -> Fields:
    run, session = event.run, event.session
    return {
        "event": "run_started",
        "at": session.started_at,
        "run": run.run_id,
        "name": run.name,
        "backend": run.backend,
        "workload": run.workload,
        "seed": run.seed,
        "budget": _money(run.budget),
        "session": session.ordinal,
        "pid": session.pid,
        "host": session.host,
        "is_resumed": event.is_resumed,
    }


def _step(event: StepRecord) -> Fields:
    return {
        "event": "step",
        "at": event.ended_at,
        "run": event.run_id,
        "step": event.step,
        "epoch": event.epoch,
        "executions": event.executions,
        "executions_from_cache": event.executions_from_cache,
        "seconds": None if event.begun_at is None else (event.ended_at - event.begun_at).total_seconds(),
    }


def _progress(event: Progress) -> Fields:
    return {
        "event": "progress",
        "run": event.run_id,
        "step": event.step,
        "total_steps": event.total_steps,
        "seconds_per_step": event.seconds_per_step,
        "remaining_seconds": event.remaining_seconds,
        "spend": _money(event.spend),
        "reserved": _money(event.reserved),
        "remaining_low_seconds": None if event.time_left is None else event.time_left.low,
        "remaining_high_seconds": None if event.time_left is None else event.time_left.high,
        "remaining_money": _money(event.remaining_money),
        "money_left": None if event.money_left is None else event.money_left.to_json(),
        "budget_step": event.budget_step,
    }


def _metric(event: MetricRecord) -> Fields:
    return {
        "event": "metric",
        "at": event.logged_at,
        "run": event.run_id,
        "step": event.step,
        "epoch": event.epoch,
        "name": event.name,
        "value": _number(event.value),
    }


def _job(event: JobRecord) -> Fields:
    return {
        "event": "job",
        "at": event.changed_at,
        "run": event.run_id,
        "step": event.position.step,
        "job": event.job_id,
        "state": event.state,
        "provider_id": event.provider_id,
        "executions": event.n_executions,
        "shots": event.shots,
        "attempts": event.attempts,
        "error": event.error,
    }


def _attempt(event: AttemptRecord) -> Fields:
    return {
        "event": "attempt",
        "at": event.started_at if event.outcome == "intent" else None,
        "run": run_of(event.job_id),
        "step": position_of(event.job_id).step,
        "job": event.job_id,
        "attempt": event.ordinal,
        "outcome": event.outcome,
        "error": event.error,
    }


def _queue(event: QueueMove) -> Fields:
    place = event.place
    return {
        "event": "queue",
        "at": None if place is None else place.seen_at,
        "run": event.run_id,
        "job": event.job_id,
        "place": None if place is None else str(place),
    }


def _usage(event: UsageRecord) -> Fields:
    usage = event.usage
    return {
        "event": "usage",
        "run": event.run_id,
        "job": event.job_id,
        "state": usage.state,
        "quantities": {quantity.unit: quantity.amount for quantity in usage.quantities},
        "charge": _money(usage.charge),
    }


def _entry(event: LedgerRecord) -> Fields:
    return {
        "event": "money",
        "at": event.recorded_at,
        "run": event.run_id,
        "step": event.step,
        "job": event.job_id,
        "kind": event.kind,
        "currency": event.currency,
        "micros": event.micros,
        "reason": event.reason,
    }


def _provider_session(event: ProviderSessionRecord) -> Fields:
    return {
        "event": "provider_session",
        "at": event.changed_at,
        "run": event.run_id,
        "state": event.state,
        "provider_id": event.provider_id,
        "error": event.error,
    }


def _refusal(event: Refusal) -> Fields:
    return {
        "event": "refusal", "at": event.refused_at, "run": event.run_id, "class": event.error, "error": event.text,
    }  # fmt: skip


def _notice(event: Notice) -> Fields:
    return {"event": "notice", "at": event.noticed_at, "run": event.run_id, "text": event.text}


def _end(event: RunMove) -> Fields:
    return {"event": "run_ended", "run": event.run_id, "state": event.state}


_FIELDS: MappingProxyType[type, Callable[[Any], Fields]] = MappingProxyType(
    {
        RunStart: _start,
        StepRecord: _step,
        Progress: _progress,
        MetricRecord: _metric,
        JobRecord: _job,
        AttemptRecord: _attempt,
        QueueMove: _queue,
        UsageRecord: _usage,
        LedgerRecord: _entry,
        ProviderSessionRecord: _provider_session,
        Refusal: _refusal,
        Notice: _notice,
        RunMove: _end,
    }
)
