"""The part of the Store contract that says what providers charge jobs for, and of which jobs that is not known."""

from dataclasses import replace

import pytest

from qorch.errors import StoreError
from qorch.model.job import OVER_STATES, JobState
from qorch.model.money import Money
from qorch.model.usage import NO_USAGE, PENDING_USAGE, ReportedUsage, report_usage
from qorch.ports.records import JobRecord, UsageRecord
from qorch.ports.store import Store
from qorch.testing.conformance.store_fixtures import StoreFixtures
from qorch.testing.conformance.store_records import make_job, make_run

USAGES: tuple[ReportedUsage, ...] = (
    PENDING_USAGE,
    report_usage(device_seconds=3),
    report_usage(tasks=1, shots=10**9),
    report_usage(compute_seconds=0.0052),
    report_usage(device_seconds=0),
    report_usage(device_seconds=3).with_charge(Money("USD", 4_800_000)),
    NO_USAGE.with_charge(Money("EUR", 0)),
    NO_USAGE,
)


def over(job_id: str, state: JobState = JobState.DONE) -> JobRecord:
    """A job that a provider had."""
    return replace(make_job(job_id), state=state, provider_id=f"at {job_id}", attempts=1)


class StoreUsageConformance(StoreFixtures):
    """See StoreConformance."""

    def test_only_a_usage_record_changes_what_a_job_was_charged_for(self, store: Store) -> None:
        """Writing the job again leaves it; a job may be written with it at first; one that is not stored has none."""
        job = over("r/0.0.0", JobState.SUBMITTED)
        for usage in USAGES:
            store.write([UsageRecord(job.job_id, "r", usage), job]).result()
            assert store.jobs("r") == [replace(job, usage=usage)]
            store.write([replace(job, attempts=2)]).result()
            assert store.jobs("r") == [replace(job, attempts=2, usage=usage)]
        later = replace(over("r/0.0.1"), usage=USAGES[1])
        store.write([later]).result()
        assert store.jobs("r")[1] == later
        with pytest.raises(StoreError, match="not stored"):
            store.write([UsageRecord("r/0.0.2", "r", NO_USAGE)]).result()

    def test_the_jobs_whose_usage_is_not_final_are_found(self, store: Store) -> None:
        """Those that a provider had and that are over or held, of runs that may be charged; oldest first."""
        jobs = [over(f"r/{place}.0.0", state) for place, state in enumerate(JobState)]
        wanted = [job for job in jobs if job.state in (*OVER_STATES, JobState.UNKNOWN)]
        unsent = replace(over("r/0.0.9"), provider_id=None)
        told = [replace(over(f"r/0.1.{place}"), usage=usage) for place, usage in enumerate(USAGES)]
        store.write([*jobs, unsent, *told]).result()
        assert store.jobs_without_usage("r") == [*wanted, told[0]]
        store.write([UsageRecord(job.job_id, "r", NO_USAGE) for job in wanted[1:]]).result()
        assert store.jobs_without_usage("r") == [wanted[0], told[0]]

    def test_free_runs_have_no_usage_and_deleted_ones_keep_theirs(self, store: Store) -> None:
        """A run of which it is not recorded whether its backend charges may be charged."""
        free, paid = (replace(make_run(name), charges=charges) for name, charges in (("f", False), ("p", True)))
        wanted = [over("r/0.0.1"), over("p/0.0.0")]
        store.write([free, paid, over("f/0.0.0"), *wanted]).result()
        assert store.jobs_without_usage() == wanted
        assert store.jobs_without_usage("f") == []
        assert store.jobs_without_usage("nobody") == []
        with store.claim_run("p"):
            store.delete_run("p", keep_books=True)
        assert store.jobs_without_usage() == wanted
