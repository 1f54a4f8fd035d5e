"""Runs in memory: how they are replaced and deleted, and their sums."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qorch.errors import StoreError
from qorch.model.job import OVER_STATES
from qorch.ports.books import has_entries
from qorch.ports.records import RunMove, RunRecord, RunState, StopRequest
from qorch.ports.statistics import RunTotals
from qorch.ports.store import RunHistory
from qorch.run.totals import count_executions, newest_metrics

_BOOKS = {"runs", "jobs", "attempts", "plans", "provider_sessions"}
_OF_NO_RUN = {"books", "shared_states", "next_block"}


def total_run(store: RunHistory, run_id: str) -> RunTotals:
    """The totals of one run, record by record."""
    sessions, count, jobs = store.sessions(run_id), count_executions(store, run_id), store.jobs(run_id)
    n_unsent = sum(job.is_unsent for job in jobs)
    ends = [session.started_at + dt.timedelta(microseconds=session.wall_ns // 1000) for session in sessions]
    return RunTotals(
        sessions=len(sessions),
        steps=len(store.steps(run_id)),
        jobs=len(jobs) - n_unsent,
        jobs_unsent=n_unsent,
        executions=count.executed,
        executions_from_cache=count.from_cache,
        wall_seconds=sum(session.wall_ns for session in sessions) / 1e9,
        active_until=max(ends, default=None),
        metrics=dict(sorted(newest_metrics(store.metrics(run_id)).items())),
    )


def replace_run(run: RunRecord | None, record: RunRecord | RunMove | StopRequest) -> RunRecord:
    """The stored run after a write; ``run`` is None before the first. Raises StoreError if there is none to change."""
    if isinstance(record, RunRecord):
        return record if run is None else replace(record, stop_asked_at=run.stop_asked_at)
    if run is None:
        raise missing_run(record.run_id)
    if isinstance(record, StopRequest):
        return replace(run, stop_asked_at=record.asked_at)
    return replace(run, state=record.state, summary=run.summary if record.summary is None else record.summary)


def is_like(found: RunRecord, run: RunRecord) -> bool:
    """Whether a run is on the backend of another one, and has its name or its workload."""
    has_workload = run.workload is not None and found.workload == run.workload
    return found.backend == run.backend and (found.name == run.name or has_workload)


def missing_run(run_id: str) -> StoreError:
    """The error of a write that names a run which is not stored."""
    return StoreError(f"run '{run_id}' is not stored; write its RunRecord first")


def drop_run(tables: Mapping[str, Any], run_id: str, *, keep_books: bool) -> None:
    """Delete a run from the tables of a MemoryStore, by their names; see ``Store.delete_run``."""
    n_entries = len(tables["books"].records(run_id=run_id))
    if n_entries and not keep_books:
        raise has_entries(run_id, n_entries)
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
