"""The records of a paid run: two epochs, one job that failed, one that is held, one that was adjusted later."""

import datetime as dt
from collections.abc import Sequence

from qorch.model.identity import Position
from qorch.model.job import JobState
from qorch.model.ledger import EntryKind, LedgerRecord
from qorch.ports.records import JobRecord, MetricRecord, RunRecord, SessionRecord, StepRecord, Write

NOON = dt.datetime(2026, 11, 29, 12, tzinfo=dt.UTC)
MONTH_LATER = NOON + dt.timedelta(days=5)
RESERVED_MICROS = 3_000_000
CHARGES_MICROS = (2_000_000, 2_100_000, 500_000, 2_000_000, None)
"""Of the jobs in order; the last is not charged yet."""
ADJUSTED_MICROS = -250_000
"""Of the first job, in the month after."""
SPENT_MICROS = 6_350_000


def make_paid_run(run_id: str = "cats-1", *, name: str = "cats", backend: str = "braket:garnet") -> RunRecord:
    """A run with a budget of 25 USD."""
    return RunRecord(
        run_id, name, backend, 1, "resume", NOON, budget_micros=25_000_000, currency="USD", state="done", charges=True
    )


def make_paid_job(
    run_id: str, step: int, ordinal: int, state: JobState, *, provider_id: str | None = "task"
) -> JobRecord:
    """A job of a hundred executions with a hundred shots each."""
    return JobRecord(
        f"{run_id}/{step}.0.{ordinal}", run_id, Position(step, 0), state, 100, 100, NOON, provider_id, attempts=1
    )


def make_entry(
    job: JobRecord,
    kind: EntryKind,
    micros: int,
    *,
    at: dt.datetime = NOON,
    account: str = "account",
    reason: str = "the charge",
    currency: str = "USD",
) -> LedgerRecord:
    """An entry of a job that was reserved at noon."""
    return LedgerRecord(
        job.run_id,
        job.job_id,
        kind,
        currency,
        micros,
        at,
        account=account,
        day=NOON.date(),
        step=job.position.step,
        attempt=job.attempts,
        executions=job.n_executions,
        reason=reason,
    )


def make_books(jobs: Sequence[JobRecord]) -> list[LedgerRecord]:
    """The entries of the jobs."""
    entries = []
    for job, charge in zip(jobs, CHARGES_MICROS, strict=True):
        entries.append(make_entry(job, EntryKind.RESERVED, RESERVED_MICROS))
        if charge is not None:
            entries.append(make_entry(job, EntryKind.SPENT, charge))
            entries.append(make_entry(job, EntryKind.RELEASED, RESERVED_MICROS - charge))
    return [*entries, make_entry(jobs[0], EntryKind.ADJUSTED, ADJUSTED_MICROS, at=MONTH_LATER)]


def paid_writes(run: RunRecord | None = None) -> list[Write]:
    """A run, its session, jobs, steps, losses and entries, in the order in which they may be written."""
    record = make_paid_run() if run is None else run
    run_id = record.run_id
    jobs = make_paid_jobs(run_id)
    return [
        record,
        SessionRecord(run_id, 0, 1, "host", NOON, 10**10, 300, 50),
        *jobs,
        *(StepRecord(run_id, step, 0, NOON, 100, 0, NOON, step // 2) for step in range(3)),
        *(MetricRecord(run_id, step, 0, "loss", 1.0 - step / 4, NOON, step // 2) for step in range(3)),
        *make_books(jobs),
    ]


def make_paid_jobs(run_id: str = "cats-1") -> list[JobRecord]:
    """One job for each charge: steps 0 and 1, one that failed and its repetition in step 2, and one that is held."""
    return [
        make_paid_job(run_id, 0, 0, JobState.DONE),
        make_paid_job(run_id, 1, 0, JobState.DONE),
        make_paid_job(run_id, 2, 0, JobState.FAILED),
        make_paid_job(run_id, 2, 1, JobState.DONE),
        make_paid_job(run_id, 3, 0, JobState.UNKNOWN),
    ]
