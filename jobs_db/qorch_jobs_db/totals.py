"""Sums over runs and over stored results, in a few queries for all runs together."""

import datetime as dt
import math
from collections import defaultdict

from sqlalchemy import Connection, select, text

from qorch.ports.statistics import CacheStatistics, RunTotals
from qorch_jobs_db.decoding import parse_time
from qorch_jobs_db.schema import RUNS, STORED_RESULTS

_TOTALS = text(
    "SELECT run_id, sessions, steps, jobs, jobs_unsent, executions, executions_from_cache, wall_seconds"
    " FROM run_overview"
)
# To the microsecond, which SQLite's own dates are not.
_SESSIONS = text("SELECT run_id, started_at, wall_ns FROM sessions")
# From name to name by the index, and to the newest value of each: the history between them is not read.
_NEWEST_METRICS = text("""
    WITH RECURSIVE names(run_id, name) AS (
        SELECT r.run_id, (SELECT MIN(m.name) FROM metrics m WHERE m.run_id = r.run_id) FROM runs r
        UNION ALL
        SELECT n.run_id, (SELECT MIN(m.name) FROM metrics m WHERE m.run_id = n.run_id AND m.name > n.name)
        FROM names n WHERE n.name IS NOT NULL
    )
    SELECT n.run_id, n.name,
        (SELECT m.value FROM metrics m WHERE m.run_id = n.run_id AND m.name = n.name
            ORDER BY m.step DESC, m.ordinal DESC LIMIT 1) AS value
    FROM names n WHERE n.name IS NOT NULL ORDER BY n.run_id, n.name
""")


def total_runs(connection: Connection) -> dict[str, RunTotals]:
    """The totals of every run that is not deleted, by run id."""
    metrics: dict[str, dict[str, float]] = defaultdict(dict)
    for row in connection.execute(_NEWEST_METRICS):
        metrics[row.run_id][row.name] = math.nan if row.value is None else row.value
    ends: dict[str, list[dt.datetime]] = defaultdict(list)
    for row in connection.execute(_SESSIONS):
        ends[row.run_id].append(parse_time(row.started_at) + dt.timedelta(microseconds=row.wall_ns // 1000))
    return {
        row.run_id: RunTotals(
            sessions=row.sessions,
            steps=row.steps,
            jobs=row.jobs,
            jobs_unsent=row.jobs_unsent,
            executions=row.executions,
            executions_from_cache=row.executions_from_cache,
            wall_seconds=row.wall_seconds or 0.0,
            active_until=max(ends[row.run_id], default=None),
            metrics=metrics[row.run_id],
        )
        for row in connection.execute(_TOTALS)
    }


def total_results(connection: Connection) -> CacheStatistics:
    """How many results are stored, in all and by run, without reading them."""
    held = STORED_RESULTS.c
    query = select(held.run_id, held.blocks, held.rows, held.bytes, RUNS.c.charges)
    query = query.join(RUNS, RUNS.c.run_id == held.run_id).where(held.blocks > 0).order_by(held.run_id)
    runs = connection.execute(query).all()
    free = [run for run in runs if run.charges == 0]
    return CacheStatistics(
        blocks=sum(run.blocks for run in runs),
        rows=sum(run.rows for run in runs),
        bytes=sum(run.bytes for run in runs),
        runs=tuple((run.run_id, run.rows, run.bytes) for run in runs),
        free_rows=sum(run.rows for run in free),
        free_bytes=sum(run.bytes for run in free),
    )
