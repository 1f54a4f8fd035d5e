"""What a run in memory came to, and how it is deleted."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qorch.model.job import OVER_STATES
from qorch.ports import Store
from qorch.records import RunState, RunTotals
from qorch.run.totals import count_rows, is_unsent, newest_metrics

_BOOKS = {"runs", "jobs", "attempts", "plans", "ledger"}
_OF_NO_RUN = {"accounts"}


def total_run(store: Store, run_id: str) -> RunTotals:
    """The totals of one run, record by record."""
    sessions, rows, jobs = store.sessions(run_id), count_rows(store, run_id), store.jobs(run_id)
    n_unsent = sum(map(is_unsent, jobs))
    ends = [session.started_at + dt.timedelta(microseconds=session.wall_ns // 1000) for session in sessions]
    return RunTotals(
        sessions=len(sessions),
        steps=len(store.steps(run_id)),
        jobs=len(jobs) - n_unsent,
        jobs_unsent=n_unsent,
        rows_executed=rows.executed,
        rows_from_cache=rows.from_cache,
        wall_seconds=sum(session.wall_ns for session in sessions) / 1e9,
        active_until=max(ends, default=None),
        metrics=dict(sorted(newest_metrics(store.metrics(run_id)).items())),
    )


def drop_run(tables: Mapping[str, Any], run_id: str, *, keep_books: bool) -> None:
    """Delete a run from the tables of a MemoryStore, by their names; see ``Store.delete_run``."""
    jobs = {job.job_id: job for job in tables["jobs"].values() if job.run_id == run_id}
    for name, table in tables.items():
        if name in (_BOOKS | _OF_NO_RUN if keep_books else _OF_NO_RUN):
            continue
        if isinstance(table, list):
            table[:] = [record for record in table if record.run_id != run_id]
            continue
        for key in [key for key, value in table.items() if run_id in _names_of(key, value) or key in jobs]:
            del table[key]
    if keep_books:
        tables["runs"][run_id] = replace(tables["runs"][run_id], state=RunState.DELETED)
        for job in jobs.values():
            if job.state in OVER_STATES:
                tables["plans"].pop(job.job_id, None)


def _names_of(key: object, value: object) -> tuple[object, ...]:
    """What of an entry may name its run."""
    of_key = key if isinstance(key, tuple) else (key,)
    return (*of_key, value if isinstance(value, str) else getattr(value, "run_id", None))
