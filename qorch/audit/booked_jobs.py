"""Our side of a reconciliation: the jobs at one provider, with what the ledger says that they cost."""

import datetime
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from qorch.model.backend_name import kind_of
from qorch.model.job import OPEN_STATES
from qorch.model.ledger import EntryKind, LedgerRecord, balance_job
from qorch.model.usage import ReportedUsage, UsageState, UsageUnit
from qorch.ports.records import AttemptRecord, JobRecord, RunRecord


class BookedHistory(Protocol):
    """What is read of a store."""

    def jobs(self) -> list[JobRecord]:
        """See Jobs."""
        ...

    def find_run(self, name_or_id: str) -> RunRecord | None:
        """See Runs."""
        ...

    def attempts(self, job_id: str) -> list[AttemptRecord]:
        """See Jobs."""
        ...

    def ledger(self) -> list[LedgerRecord]:
        """See Books."""
        ...


@dataclass(frozen=True)
class BookedJob:
    """One of our jobs, which the provider has, or may have.

    ``provider_id``: None if it is not known, as of a job that is held; then ``keys`` has its idempotency keys.
    ``currency`` and ``micros``: what it cost by the ledger; None if that is not known, as no price is, or not yet.
    ``seconds_micros``: millionths of the seconds of a device that the provider reported, None if it reported none.
    ``began_at``: when it was reserved, ``ended_at``: when it was charged or released; None if it is not settled.
    """

    job_id: str
    run_name: str
    backend: str
    account: str
    provider_id: str | None
    micros: int | None
    currency: str
    began_at: datetime.datetime
    ended_at: datetime.datetime | None
    seconds_micros: int | None = None
    keys: Sequence[str] = ()


def read_booked_jobs(store: BookedHistory, kind: str, *, account: str | None = None) -> list[BookedJob]:
    """The jobs on backends of a kind, such as ``braket``, also of deleted runs; oldest first.

    ``account``: only those that it pays for, as the ledger names it. A job that was provably never sent is left out.
    """
    entries: dict[str, list[LedgerRecord]] = defaultdict(list)
    for entry in store.ledger():
        if entry.job_id is not None:
            entries[entry.job_id].append(entry)
    runs: dict[str, RunRecord | None] = {}
    found = []
    for job in store.jobs():
        if job.run_id not in runs:
            runs[job.run_id] = store.find_run(job.run_id)
        run = runs[job.run_id]
        if run is None or kind_of(run.backend) != kind or not _may_be_there(job):
            continue
        booked = _book(job, run, entries, keys=() if job.provider_id else _keys(store, job.job_id))
        if account is None or booked.account == account:
            found.append(booked)
    return found


def _may_be_there(job: JobRecord) -> bool:
    return job.provider_id is not None or (job.state in OPEN_STATES and not job.is_unsent)


def _keys(store: BookedHistory, job_id: str) -> tuple[str, ...]:
    return tuple(attempt.key for attempt in store.attempts(job_id))


def _book(
    job: JobRecord, run: RunRecord, entries: Mapping[str, Sequence[LedgerRecord]], *, keys: tuple[str, ...]
) -> BookedJob:
    booked = entries.get(job.job_id, ())
    balance = balance_job(booked)
    is_settled = balance.is_settled or (bool(booked) and not balance.reserved_micros)
    cost = balance.spent_micros if is_settled else None
    ended_at = _settled_at(booked) if is_settled else None
    if not booked and job.state not in OPEN_STATES:
        ended_at = job.changed_at
        cost = None if run.may_charge else 0
    return BookedJob(
        job_id=job.job_id,
        run_name=run.name,
        backend=run.backend,
        account="" if balance.first is None else balance.first.account,
        provider_id=job.provider_id,
        micros=cost,
        currency=booked[0].currency if booked else "",
        began_at=booked[0].recorded_at if booked else job.changed_at,
        ended_at=ended_at,
        seconds_micros=_device_seconds(job.usage),
        keys=keys,
    )


def _settled_at(entries: Sequence[LedgerRecord]) -> datetime.datetime:
    """When it was first charged, be it nothing; of a job that never was, when its reservation was released."""
    moved = [entry for entry in entries if entry.kind is not EntryKind.RESERVED]
    charged = [entry for entry in moved if entry.kind is EntryKind.SPENT]
    return (charged or moved or list(entries))[0].recorded_at


def _device_seconds(usage: ReportedUsage | None) -> int | None:
    if usage is None or usage.state is not UsageState.REPORTED:
        return None
    return next((each.micros for each in usage.quantities if each.unit is UsageUnit.DEVICE_SECONDS), None)
