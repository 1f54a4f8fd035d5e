"""A database that an earlier revision really wrote, kept as a file: it opens, and keeps what it holds."""

import hashlib
import lzma
import math
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from qorch.audit.report import make_report
from qorch.engine.remote.pacing import decode_throttle
from qorch.model.job import JobState, QueuePlace
from qorch.model.timing import Phase
from qorch.ports.clock import WallClock
from qorch.ports.records import Change, QueueMove
from qorch_jobs_db import open_store

KEPT = Path(__file__).parents[1] / "kept"


def test_a_database_of_revision_0002_keeps_its_runs_steps_and_metrics(tmp_path: Path) -> None:
    """A training, a call outside of steps and a metric that is NaN, written before metrics had rows of their own."""
    path = tmp_path / "x.db"
    path.write_bytes(lzma.decompress((KEPT / "revision-0002.db.xz").read_bytes()))
    with closing(open_store(str(path), clock=WallClock())) as store:
        assert store.check() == []
        assert [(run.name, run.charges) for run in store.runs()] == [("nan", False), ("scan", False), ("kept", False)]
        report = make_report(store, "kept")
        assert (report.steps, report.rows_executed, report.rows_from_cache) == (2, 1044, 0)
        assert report.metrics == {
            "loss": pytest.approx(0.6900694966316223), "test_accuracy": 0.5, "baseline_accuracy": 1.0
        }  # fmt: skip
        [trained] = [run for run in store.runs() if run.name == "kept"]
        assert len(store.metrics(trained.run_id)) == 3
        assert store.last_checkpoint(trained.run_id) is not None
        loss, accuracy = store.metrics(store.runs()[0].run_id)
        assert math.isnan(loss.value)
        assert (accuracy.name, accuracy.value, accuracy.step) == ("acc", 0.25, 0)


def test_a_database_of_revision_0003_keeps_its_counts_phases_and_attempts(tmp_path: Path) -> None:
    """Two sessions of a training, jobs at a provider, one that is held: written before executions were called so."""
    path = tmp_path / "x.db"
    path.write_bytes(lzma.decompress((KEPT / "revision-0003.db.xz").read_bytes()))
    with closing(open_store(str(path), clock=WallClock())) as store:
        assert store.check() == []
        held_run, remote = store.find_run("held"), store.find_run("remote")
        assert held_run is not None
        assert remote is not None
        report = make_report(store, "kept")
        assert (report.steps, report.executions, report.executions_from_cache, report.jobs) == (4, 2088, 0, 6)
        assert report.wall_seconds == 16.206149498
        seconds = {part.phase_id: part.seconds for part in report.phases}
        assert (seconds["before_first_step"], seconds["execute"]) == (0.510486837, 0.103658962)
        assert [step.executions for step in store.steps(remote.run_id)] == [6, 6]
        assert {span.span.phase for span in store.spans(remote.run_id)} > {Phase.QUEUE, Phase.POLL, Phase.PACE}
        [held] = store.open_jobs()
        assert (held.run_id, held.state, held.n_executions) == (held_run.run_id, JobState.UNKNOWN, 6)
        [attempt] = store.attempts(held.job_id)
        assert (attempt.payload_digest, attempt.search_text) == (None, "qorch 3d0ed1b8bebb72d3")
        assert store.job_plan(held.job_id) is not None
        throttle = store.update_shared_state(
            "ionq:03bb6ae4657f", lambda state, _: Change(state, decode_throttle(state))
        )
        assert len(throttle.result().sent) == 5


def test_a_database_of_revision_0004_keeps_its_jobs_and_takes_their_places(tmp_path: Path) -> None:
    """Two sessions of a training, and a job that is queued at a provider: written before places were recorded."""
    path = tmp_path / "x.db"
    path.write_bytes(lzma.decompress((KEPT / "revision-0004.db.xz").read_bytes()))
    with closing(open_store(str(path), clock=WallClock())) as store:
        assert store.check() == []
        report = make_report(store, "kept")
        assert (report.steps, report.executions, report.jobs) == (4, 2088, 6)
        assert [(job.state, job.queue_place) for job in store.jobs()] == [
            *[(JobState.DONE, None)] * 6, (JobState.SUBMITTED, None)
        ]  # fmt: skip
        [queued] = store.open_jobs()
        assert store.job_plan(queued.job_id) is not None
        assert len(store.attempts(queued.job_id)) == 1
        place = QueuePlace(3, WallClock().now())
        store.write([QueueMove(queued.job_id, queued.run_id, place)]).result()
        assert [job.queue_place for job in store.open_jobs()] == [place]


def test_a_database_of_revision_0005_keeps_its_paid_answers(tmp_path: Path) -> None:
    """Answers of Braket, one in quarantine: written when zlib compressed them. New ones are read beside them."""
    path = tmp_path / "x.db"
    path.write_bytes(lzma.decompress((KEPT / "revision-0005.db.xz").read_bytes()))
    with closing(open_store(str(path), clock=WallClock())) as store:
        assert store.check() == []
        *paid, held = store.jobs()
        answers = [store.raw_result(job.job_id) for job in (*paid, held)]
        assert [
            (answer.is_quarantined, hashlib.sha256(answer.content).hexdigest()) for answer in answers if answer
        ] == [
            (False, "a9073183f91171067f718adf01b8f799575f338bba80d73b6180e1bb685a60d5"),
            (False, "92984a63c45f49136e48423ebd73cd77137d717db6cc6b1f820f77793fff5cb0"),
            (True, "f341aca7f5acfcdba6d3bd452f2015e61ee47b2d08986c375ea206f18b949424"),
        ]
        assert answers[-1] is not None
        fetched = replace(answers[-1], content=answers[-1].content + b"more", is_quarantined=False)
        store.write([fetched]).result()
        assert store.raw_result(held.job_id) == fetched
        assert store.check() == []
