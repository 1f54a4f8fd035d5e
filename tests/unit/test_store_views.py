"""The views that a person reads with plain SQL: times of the clock, epochs, seconds of steps, metrics, and failures."""

import datetime as dt
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from qorch.model.job import JobState
from qorch.model.measurement import BlockResult
from qorch.ports.clock import WallClock
from qorch.ports.records import AttemptRecord, MetricRecord, RunState, SessionRecord, StepRecord
from qorch.testing.conformance.store_records import NOW, make_block, make_job, make_run
from qorch_jobs_db import open_store

ENDED = NOW + dt.timedelta(seconds=1.5)


def fill(path: Path) -> None:
    """A run with a step of an epoch, one of an older version, and a job that needed three attempts and failed."""
    job = replace(make_job("r/0.0.0"), state=JobState.FAILED, attempts=3, error="the device broke")
    with closing(open_store(str(path), clock=WallClock())) as store:
        store.write(
            [
                make_run("r"),
                replace(make_run("gone"), state=RunState.DELETED),
                SessionRecord("r", 0, 1, "host", NOW, wall_ns=2_500_000_000),
                StepRecord("r", 0, 0, ENDED, 10, 2, NOW, 3),
                StepRecord("r", 1, 0, ENDED, 10, 2),
                *(MetricRecord("r", 0, n, name, 0.5 + n, ENDED, 3) for n, name in enumerate(("loss", 'acc"\n'))),
                MetricRecord("r", -1, 0, "baseline", 0.25, NOW),
                job,
                AttemptRecord(job.job_id, 1, "k1", NOW, "refused", "too many requests"),
                AttemptRecord(job.job_id, 2, "k1", NOW, "unanswered", "no answer"),
                AttemptRecord(job.job_id, 3, "k1", NOW, "accepted"),
            ]
        ).result()


def test_views_tell_times_epochs_metrics_and_failures(tmp_path: Path) -> None:
    """In columns, with no more than SQL; a step whose begin is unknown has no seconds."""
    path = tmp_path / "x.db"
    fill(path)
    with closing(sqlite3.connect(path)) as link:
        runs = link.execute("SELECT run_id, created_at, active_until, sessions FROM run_overview").fetchall()
        steps = link.execute(
            "SELECT run_name, step, epoch, begun_at, ended_at, seconds, metrics FROM step_overview ORDER BY step"
        ).fetchall()
        metrics = link.execute(
            "SELECT step, epoch, name, value, step_seconds FROM metric_overview ORDER BY step, name"
        ).fetchall()
        attempts = link.execute("SELECT ordinal, outcome, error FROM attempt_overview ORDER BY ordinal").fetchall()
    assert runs == [("r", "2026-01-02T03:04:05.678901Z", "2026-01-02T03:04:08.179Z", 1)]
    *known, logged = steps[0]
    assert known == ["name", 0, 3, "2026-01-02T03:04:05.678901Z", "2026-01-02T03:04:07.178901Z", 1.5]
    assert json.loads(logged) == {"loss": 0.5, 'acc"\n': 1.5}
    assert steps[1][1:] == (1, None, None, "2026-01-02T03:04:07.178901Z", None, "{}")
    assert metrics == [(-1, None, "baseline", 0.25, None), (0, 3, 'acc"\n', 1.5, 1.5), (0, 3, "loss", 0.5, 1.5)]
    assert attempts == [
        (1, "refused", "too many requests"), (2, "unanswered", "no answer"), (3, "accepted", "the device broke")
    ]  # fmt: skip


def test_a_view_tells_what_a_block_holds(tmp_path: Path) -> None:
    """Counts, exact values and estimates are told apart without a decoder."""
    path = tmp_path / "x.db"
    block, values = make_block(1), np.zeros((1, 2))
    results = (block.result, BlockResult(values=values), BlockResult(values=values, variances=values))
    with closing(open_store(str(path), clock=WallClock())) as store:
        store.write([make_run("r"), make_job("r/0.0.0"), *(replace(block, result=each) for each in results)]).result()
    with closing(sqlite3.connect(path)) as link:
        kinds = link.execute("SELECT kind FROM block_overview ORDER BY block_id").fetchall()
    assert kinds == [("counts",), ("exact values",), ("estimates",)]
