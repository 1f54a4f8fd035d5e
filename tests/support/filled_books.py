"""A ledger of twenty entries, as the engine would write it."""

from dataclasses import replace

from qorch.model.job import JobState
from qorch.model.ledger import EntryKind, LedgerAnchor
from qorch.ports.records import Write
from qorch.ports.store import Store
from qorch.testing.conformance.store_books import make_entry
from qorch.testing.conformance.store_records import make_job, make_run

SIZE = 20


def fill_books(store: Store) -> LedgerAnchor:
    """Six jobs of two runs that were charged, and two entries without a job; their anchor."""
    names = [f"{run}/0.0.{number}" for run in "rs" for number in range(3)]
    jobs = [replace(make_job(name), run_id=name[0], state=JobState.DONE, provider_id="p") for name in names]
    writes: list[Write] = [make_run("r"), make_run("s"), *jobs]
    for number, job in enumerate(jobs):
        moves = ((EntryKind.RESERVED, 70 + number), (EntryKind.SPENT, 60), (EntryKind.RELEASED, 10 + number))
        writes += [make_entry(kind, micros, job_id=job.job_id, run_id=job.run_id) for kind, micros in moves]
    adjusted = make_entry(EntryKind.ADJUSTED, -3, job_id=None)
    store.write([*writes, replace(adjusted, reason="", account=""), adjusted]).result()
    return store.ledger_anchor()
