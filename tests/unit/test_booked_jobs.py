"""Our side of a reconciliation: which jobs a provider may charge for, and what the ledger says that they cost."""

import datetime

import pytest

from qorch.audit.booked_jobs import BookedJob, read_booked_jobs
from qorch.model.identity import Position
from qorch.model.job import JobState
from qorch.model.ledger import EntryKind, LedgerRecord
from qorch.model.usage import report_usage
from qorch.ports.clock import WallClock
from qorch.ports.records import AttemptRecord, JobRecord, RunRecord, UsageRecord, Write
from qorch.testing.fakes.store import MemoryStore

BEGAN = datetime.datetime(2026, 10, 5, tzinfo=datetime.UTC)
ENDED = BEGAN + datetime.timedelta(hours=1)
LATER = BEGAN + datetime.timedelta(days=3)


def run(run_id: str = "r", *, backend: str = "braket:garnet", charges: bool | None = True) -> RunRecord:
    """A run on a backend."""
    return RunRecord(run_id, run_id, backend, 0, "resume", BEGAN, charges=charges)


def job(job_id: str = "r/0.0.0", *, state: JobState = JobState.DONE, provider_id: str | None = "task") -> JobRecord:
    """A job that changed last when it was over."""
    return JobRecord(job_id, job_id.partition("/")[0], Position(0, 0), state, 1, 100, ENDED, provider_id=provider_id)


def entry(kind: EntryKind, micros: int, *, at: datetime.datetime = ENDED, job_id: str = "r/0.0.0") -> LedgerRecord:
    """An entry about that job."""
    return LedgerRecord(job_id.partition("/")[0], job_id, kind, "USD", micros, at, account="mine", day=BEGAN.date())


RESERVED = entry(EntryKind.RESERVED, 100, at=BEGAN)


def book(*writes: Write, account: str | None = None) -> list[BookedJob]:
    """What is read of a store with these records."""
    store = MemoryStore(WallClock())
    store.write(writes).result()
    return read_booked_jobs(store, "braket", account=account)


def test_a_job_costs_what_was_spent_and_adjusted() -> None:
    """From its reservation to the day on which it was charged first."""
    (found,) = book(
        run(), job(), RESERVED, entry(EntryKind.SPENT, 60), entry(EntryKind.RELEASED, 40),
        entry(EntryKind.ADJUSTED, -10, at=LATER),
    )  # fmt: skip
    assert (found.micros, found.currency, found.account) == (50, "USD", "mine")
    assert (found.began_at, found.ended_at) == (BEGAN, ENDED)
    assert (found.provider_id, found.backend, found.run_name) == ("task", "braket:garnet", "r")


def test_a_job_that_is_not_settled_has_no_cost_yet() -> None:
    """Its reservation is no cost; a job that is held is known by its keys."""
    attempt = AttemptRecord("r/0.0.0", 0, "k" * 64, BEGAN)
    (sent,) = book(run(), job(state=JobState.SUBMITTED), RESERVED)
    (held,) = book(run(), job(state=JobState.UNKNOWN, provider_id=None), attempt, RESERVED)
    assert (sent.micros, sent.ended_at, sent.keys) == (None, None, ())
    assert (held.micros, held.ended_at, held.keys) == (None, None, ("k" * 64,))


def test_a_reservation_that_was_released_cost_nothing() -> None:
    """As of a job that the provider refused."""
    (found,) = book(run(), job(state=JobState.FAILED), RESERVED, entry(EntryKind.RELEASED, 100))
    assert (found.micros, found.ended_at) == (0, ENDED)


@pytest.mark.parametrize(("charges", "micros"), [(False, 0), (True, None), (None, None)])
def test_a_job_without_entries_is_free_or_unknown(*, charges: bool | None, micros: int | None) -> None:
    """Nothing on a backend that does not charge; else its price is not known, which is not 0."""
    (found,) = book(run(charges=charges), job())
    assert (found.micros, found.ended_at) == (micros, ENDED)


def test_what_no_provider_can_charge_is_left_out() -> None:
    """Jobs elsewhere, jobs that were never sent, and jobs in this process."""
    others: list[Write] = [
        run("other", backend="ionq:qpu.forte-1"), job("other/0.0.0"), run(),
        job("r/0.0.1", state=JobState.RESERVED, provider_id=None), job("r/0.0.2", provider_id=None),
    ]  # fmt: skip
    assert book(*others) == []


def test_accounts_are_chosen_and_seconds_are_read() -> None:
    """The account is the ledger's, the seconds are what the provider reported."""
    usage = UsageRecord("r/0.0.0", "r", report_usage(device_seconds=2.5))
    records: list[Write] = [run(), job(), RESERVED, entry(EntryKind.SPENT, 100), usage]
    (found,) = book(*records, account="mine")
    assert found.seconds_micros == 2_500_000
    assert book(*records, account="another") == []
