"""Reads runs, and what their sessions recorded."""

import datetime as dt

from sqlalchemy import Select, or_, select

from qorch.ports.records import (
    CheckpointRecord,
    MetricRecord,
    RunRecord,
    RunState,
    SessionRecord,
    SpanRecord,
    StepRecord,
)
from qorch.ports.statistics import JobSpans, RunTotals
from qorch_jobs_db.decoding import (
    decode_checkpoint,
    decode_metric,
    decode_run,
    decode_session,
    decode_span,
    decode_step,
    parse_time_or_none,
)
from qorch_jobs_db.reading.database import Reading, of_run
from qorch_jobs_db.reading.spans import read_job_spans
from qorch_jobs_db.schema import CHECKPOINTS, METRICS, RUNS, SESSIONS, SPANS, STEPS
from qorch_jobs_db.totals import total_runs


class RunReading(Reading):
    """``qorch.ports.store.Runs`` without the ledger, and whether a run was asked to stop."""

    def stop_asked(self, run_id: str) -> dt.datetime | None:
        """See Store."""
        query = select(RUNS.c.stop_asked_at).where(RUNS.c.run_id == run_id)
        return next(iter(self._fetch(query, lambda row: parse_time_or_none(row.stop_asked_at))), None)

    def find_run(self, name_or_id: str) -> RunRecord | None:
        """See Store."""
        exact = select(RUNS).where(RUNS.c.run_id == name_or_id)
        named = _newest_runs().where(RUNS.c.name == name_or_id).limit(1)
        found = self._fetch(exact, decode_run) or self._fetch(named, decode_run)
        return found[0] if found else None

    def runs(self) -> list[RunRecord]:
        """See Store."""
        return self._fetch(_newest_runs(), decode_run)

    def run_totals(self) -> dict[str, RunTotals]:
        """See Store."""
        with self._reading() as connection:
            return total_runs(connection)

    def sessions(self, run_id: str) -> list[SessionRecord]:
        """See Store."""
        return self._fetch(of_run(SESSIONS, run_id).order_by(SESSIONS.c.ordinal), decode_session)

    def steps(self, run_id: str) -> list[StepRecord]:
        """See Store."""
        return self._fetch(of_run(STEPS, run_id).order_by(STEPS.c.step), decode_step)

    def runs_like(self, run: RunRecord, *, limit: int) -> list[RunRecord]:
        """See Store."""
        names = RUNS.c.name == run.name
        alike = names if run.workload is None else or_(names, RUNS.c.workload == run.workload)
        return self._fetch(_newest_runs().where(RUNS.c.backend == run.backend, alike).limit(limit), decode_run)

    def last_steps(self, run_id: str, *, limit: int) -> list[StepRecord]:
        """See Store."""
        return self._fetch(of_run(STEPS, run_id).order_by(STEPS.c.step.desc()).limit(limit), decode_step)[::-1]

    def metrics(self, run_id: str) -> list[MetricRecord]:
        """See Store."""
        query = of_run(METRICS, run_id).order_by(METRICS.c.step, METRICS.c.ordinal)
        return self._fetch(query, decode_metric)

    def spans(self, run_id: str) -> list[SpanRecord]:
        """See Store."""
        return self._fetch(of_run(SPANS, run_id).order_by(SPANS.c.number), decode_span)

    def job_spans(self, run_id: str) -> JobSpans:
        """See Store."""
        with self._reading() as connection:
            return read_job_spans(connection, run_id)

    def last_checkpoint(self, run_id: str) -> CheckpointRecord | None:
        """See Store; an unsound checkpoint is passed over for the one before it."""
        query = of_run(CHECKPOINTS, run_id).order_by(CHECKPOINTS.c.number.desc())
        return next((found for found in self._fetch(query, decode_checkpoint) if found is not None), None)


def _newest_runs() -> Select[tuple[object, ...]]:
    return select(RUNS).where(RUNS.c.state != RunState.DELETED).order_by(RUNS.c.created_at.desc(), RUNS.c.number.desc())
