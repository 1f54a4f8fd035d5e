"""A database that an earlier revision really wrote, kept as a file: it opens, and keeps what it holds."""

import hashlib
import lzma
import math
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qorch.audit.report import make_report
from qorch.audit.verification import verify_books
from qorch.engine.remote.pacing import decode_throttle
from qorch.model.identity import Position
from qorch.model.job import JobState, QueuePlace
from qorch.model.ledger import EntryKind, LedgerRecord
from qorch.model.timing import Phase
from qorch.model.usage import report_usage
from qorch.ports.clock import WallClock
from qorch.ports.records import Change, QueueMove, UsageRecord
from qorch.testing.conformance.store_records import make_provider_session
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


def test_a_database_of_revision_0005_keeps_its_jobs_and_takes_what_they_were_charged_for(tmp_path: Path) -> None:
    """A paid run and a free one: of the paid one, jobs that the provider had are those whose usage is not known."""
    path = tmp_path / "x.db"
    path.write_bytes(lzma.decompress((KEPT / "revision-0005-paid.db.xz").read_bytes()))
    with closing(open_store(str(path), clock=WallClock())) as store:
        assert store.check() == []
        states = [JobState.DONE, JobState.FAILED, JobState.UNKNOWN, JobState.SUBMITTED, JobState.CANCELLED]
        for run_id in ("paid-run", "free-run"):
            jobs = store.jobs(run_id)
            assert [(job.state, job.usage) for job in jobs] == [(state, None) for state in states]
            assert [str(job.queue_place) for job in jobs[3:]] == ["2,001st or later in the queue", "None"]
            assert [len(store.attempts(job.job_id)) for job in jobs] == [1, 1, 1, 1, 0]
            assert [span.span.resolution_ns for span in store.spans(run_id)] == [5 * 10**8]
        unknown = store.jobs_without_usage()
        assert [job.job_id for job in unknown] == ["paid-run/0.0.0", "paid-run/1.0.0", "paid-run/2.0.0"]
        usage = report_usage(device_seconds=3)
        store.write([UsageRecord(job.job_id, job.run_id, usage) for job in unknown[:2]]).result()
        assert store.jobs_without_usage() == unknown[2:]
        assert [job.usage for job in store.jobs("paid-run")] == [usage, usage, None, None, None]


def test_a_database_of_revision_0005_keeps_its_jobs_and_takes_provider_sessions(tmp_path: Path) -> None:
    """Two sessions of a run at IBM Quantum, and a job that is queued there: written before qorch opened sessions."""
    path = tmp_path / "x.db"
    path.write_bytes(lzma.decompress((KEPT / "revision-0005.db.xz").read_bytes()))
    with closing(open_store(str(path), clock=WallClock())) as store:
        assert store.check() == []
        report = make_report(store, "kept")
        assert (report.steps, report.executions, report.jobs) == (3, 12, 6)
        [queued] = store.open_jobs()
        assert store.job_plan(queued.job_id) is not None
        assert store.provider_sessions() == []
        opening = make_provider_session(queued.run_id)
        store.write([opening]).result()
        assert store.open_provider_sessions(queued.run_id) == [opening]


def test_a_database_of_revision_0005_keeps_its_results_and_plans(tmp_path: Path) -> None:
    """Counts, exact values, and a plan of both, written before there were estimates; a view says what each block is."""
    path = tmp_path / "x.db"
    path.write_bytes(lzma.decompress((KEPT / "revision-0005-results.db.xz").read_bytes()))
    with closing(open_store(str(path), clock=WallClock())) as store:
        assert store.check() == []
        run = store.find_run("kept")
        assert run is not None
        blocks = store.blocks_at(run.run_id, Position(-1, 0))
        counted = [block.result.counts for block in blocks if block.result.counts is not None]
        exact = np.concatenate([block.result.values for block in blocks if block.result.values is not None], axis=1)
        assert {int(shots) for counts in counted for shots in counts.shots} == {100}
        assert exact[0, 0] == pytest.approx(0.9950041652780259, abs=1e-12)
        assert all(block.result.variances is None for block in blocks)
        [job] = store.open_jobs()
        plan = store.job_plan(job.job_id)
        assert plan is not None
        sampled, masked = (block.measurement for block in plan.blocks)
        assert (sampled.is_exact, sampled.masks, sampled.sums) == (False, None, None)
        assert masked.masks is not None
        assert (masked.masks.tolist(), masked.sums) == ([1, 3], None)
    with closing(sqlite3.connect(path)) as link:
        kinds = link.execute("SELECT kind, COUNT(*) FROM block_overview GROUP BY kind ORDER BY kind").fetchall()
        assert link.execute("SELECT version_num FROM alembic_version").fetchone() >= ("0008",)
    assert kinds == [("counts", 2), ("exact values", 2)]


def test_a_database_of_revision_0005_keeps_its_paid_answers(tmp_path: Path) -> None:
    """Of Braket, one in quarantine, as zlib compressed them; new ones are read beside them."""
    path = tmp_path / "x.db"
    path.write_bytes(lzma.decompress((KEPT / "revision-0005-answers.db.xz").read_bytes()))
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


def test_a_database_of_revision_0009_keeps_its_ledger_and_chains_it(tmp_path: Path) -> None:
    """Eight entries of three runs, one deleted with its books: in their order, with balances; the next follows them."""
    path = tmp_path / "x.db"
    path.write_bytes(lzma.decompress((KEPT / "revision-0009.db.xz").read_bytes()))
    with closing(open_store(str(path), clock=WallClock())) as store:
        assert store.check() == []
        found = verify_books(store)
        assert found.anchor == store.ledger_anchor()
        assert [finding.text for finding in found.findings] == [
            "for job b/0.0.0 money is reserved, although it is over: 300000 millionths of USD",
            "for job b/0.0.1 money is reserved, although it is over: 250000 millionths of USD",
            "for job c/0.0.0 less than nothing is reserved: 70000 millionths of USD",
        ]
        entries = store.ledger_entries()
        assert [(entry.number, entry.record.kind.value, entry.record.micros) for entry in entries] == [
            (1, "reserved", 5_000_000), (2, "reserved", 300_000), (3, "spent", 4_000_000), (4, "released", 1_000_000),
            (5, "spent", 70_000), (6, "reserved", 250_000), (7, "adjusted", -20_000), (8, "adjusted", 9),
        ]  # fmt: skip
        assert all(entry.record.day == entry.record.recorded_at.date() for entry in entries)
        days = [entry.record.day for entry in (entries[0], entries[4], entries[6])]
        balances = [
            (balance.run_name, days.index(balance.day), balance.currency, balance.reserved_micros, balance.spent_micros)
            for balance in store.ledger_balances()
        ]
        assert balances == [
            ("a run", 0, "USD", 0, 4_000_000), ("b run", 0, "USD", 300_000, 0), ("b run", 1, "USD", 250_000, 0),
            ("c run", 1, "USD", -70_000, 70_000), ("a run", 2, "USD", 0, -20_000), ("c run", 2, "EUR", 0, 9),
        ]  # fmt: skip
        store.write([LedgerRecord("a", "a/0.0.1", EntryKind.RESERVED, "USD", 1, WallClock().now())]).result()
        assert store.ledger_entries(after=8)[0].previous == entries[-1].digest
        assert store.check() == []
