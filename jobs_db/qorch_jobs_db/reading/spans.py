"""Reads spans as arrays: what is asked of all jobs of all runs must not make an object for each."""

import sqlite3
from typing import cast

import numpy as np
from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from qorch.model.timing import Phase
from qorch.ports.statistics import JobSpans

_PLACES = " ".join(f"WHEN '{phase.value}' THEN {place}" for place, phase in enumerate(Phase))
_QUERY = f"""
    SELECT session, CASE phase {_PLACES} END, started_ns, ended_ns, COALESCE(resolution_ns, -1), job_id IS NOT NULL
    FROM spans WHERE run_id = ? AND (job_id IS NOT NULL OR phase = '{Phase.COMPILE.value}') ORDER BY number
"""  # noqa: S608 (made of our own names)
_COLUMNS = np.dtype([(name, np.int64) for name in ("session", "phase", "started", "ended", "resolution", "has_job")])


def read_job_spans(connection: Connection, run_id: str) -> JobSpans:
    """See ``qorch.ports.store.JobSpanSource``. Rows go from SQLite's cursor into arrays."""
    link = cast("sqlite3.Connection", connection.connection.driver_connection)
    try:
        table = np.fromiter(link.execute(_QUERY, (run_id,)), dtype=_COLUMNS)
    except sqlite3.Error as error:
        raise DatabaseError(_QUERY, None, error) from error
    return JobSpans(
        sessions=table["session"],
        phases=table["phase"],
        started_ns=table["started"],
        ended_ns=table["ended"],
        resolution_ns=table["resolution"],
        has_job=table["has_job"] != 0,
    )
