"""The part of the Store contract that is about runs as a whole: their totals, and deleting them."""

import datetime as dt
import math
import os
import socket
from dataclasses import replace

import pytest

from qorch.errors import StoreError
from qorch.model.identity import Position
from qorch.model.job import JobState
from qorch.model.ledger import EntryKind, LedgerRecord
from qorch.model.timing import Phase, Span
from qorch.ports.provider_sessions import ProviderSessionState
from qorch.ports.records import (
    AttemptRecord,
    CheckpointRecord,
    MetricRecord,
    RawRecord,
    RunState,
    SessionRecord,
    SpanRecord,
    StepRecord,
)
from qorch.ports.store import JobSpanSource, PaceSource, Store
from qorch.testing.conformance.store_records import (
    HERE,
    NOW,
    make_block,
    make_job,
    make_plan,
    make_provider_session,
    make_run,
)
from qorch.testing.conformance.store_sharing import make_claims
from qorch.testing.fakes.store_runs import total_run


class StoreRunsConformance:
    """What every Store must do with whole runs."""

    def test_totals_of_all_runs_are_those_of_each(self, store: Store) -> None:
        """Sums, times and the newest metric of every name are what the records of the run say, NaN too."""
        _write_whole_run(store, "full")
        store.write([make_run("empty"), MetricRecord("r", -1, 0, "loss", math.inf, NOW)]).result()
        totals = store.run_totals()
        assert set(totals) == {"r", "full", "empty"}
        assert totals["empty"] == total_run(store, "empty")
        assert totals["r"].metrics == {"loss": math.inf}
        assert list(totals["full"].metrics) == ["accuracy", "loss", "odd"]
        assert math.isnan(totals["full"].metrics.pop("odd"))
        expected = total_run(store, "full")
        expected.metrics.pop("odd")
        assert totals["full"] == expected
        assert (totals["full"].executions, totals["full"].metrics["loss"]) == (10, 0.25)

    def test_runs_like_another_are_the_newest_on_its_backend(self, store: Store) -> None:
        """Of its name or its workload, itself too, at most so many; runs of no workload have none in common."""
        run = replace(make_run("own", name="cats"), workload="w", created_at=NOW + dt.timedelta(9))
        others = {
            "named": replace(make_run("named", name="cats"), created_at=NOW + dt.timedelta(8)),
            "alike": replace(make_run("alike", name="dogs"), workload="w", created_at=NOW + dt.timedelta(7)),
            "elsewhere": replace(make_run("elsewhere", name="cats"), backend="local"),
            "unlike": make_run("unlike", name="birds"),
        }
        store.write([run, *others.values()]).result()
        source = _as_pace_source(store)
        assert source.runs_like(run, limit=9) == [run, others["named"], others["alike"]]
        assert source.runs_like(run, limit=2) == [run, others["named"]]
        assert source.runs_like(others["unlike"], limit=9) == [others["unlike"]]

    def test_spans_of_jobs_come_as_arrays(self, store: Store) -> None:
        """Those of no job are left out, but for compiling, which takes time from them; each as it was written."""
        spans = [
            Span(Phase.QUEUE, 5, 9, 0, 0, "r/0.0.0", 3),
            Span(Phase.COMPILE, 1, 4),
            Span(Phase.MODEL, 1, 2),
            Span(Phase.EXECUTE, 9, 2**60, 0, 0, "r/0.0.0"),
        ]
        store.write([SpanRecord("r", session, span) for session, span in enumerate(spans)]).result()
        source: object = store
        if not isinstance(source, JobSpanSource):
            pytest.skip("this store does not read spans as arrays")
        found = source.job_spans("r")
        phases = tuple(Phase)
        assert [phases[place] for place in found.phases] == [Phase.QUEUE, Phase.COMPILE, Phase.EXECUTE]
        assert found.sessions.tolist() == [0, 1, 3]
        assert found.started_ns.tolist() == [5, 1, 9]
        assert found.ended_ns.tolist() == [9, 4, 2**60]
        assert found.resolution_ns.tolist() == [3, -1, -1]
        assert found.has_job.tolist() == [True, False, True]
        assert len(source.job_spans("none").phases) == 0

    def test_the_last_steps_come_in_order(self, store: Store) -> None:
        """At most so many."""
        steps = [StepRecord("r", step, 0, NOW, 1, 0) for step in range(5)]
        store.write(steps).result()
        source = _as_pace_source(store)
        assert source.last_steps("r", limit=2) == steps[-2:]
        assert source.last_steps("r", limit=9) == steps
        assert source.last_steps("none", limit=9) == []

    def test_a_deleted_run_leaves_nothing(self, store: Store) -> None:
        """Nothing of it can be read, everything of other runs can, and its id may be used again."""
        for run_id in ("gone", "kept"):
            _write_whole_run(store, run_id)
        before = _read_everything(store, "kept")
        store.delete_run("gone", keep_books=False)
        assert store.find_run("gone") is None
        assert not any(_read_everything(store, "gone"))
        assert _read_everything(store, "kept") == before
        assert store.claim_rows("kept", make_claims(3)).result() == ["kept"]
        _write_whole_run(store, "gone")
        assert len(store.jobs("gone")) == 2

    def test_books_outlive_a_run(self, store: Store) -> None:
        """With keep_books jobs, attempts, ledger, provider sessions and open plans stay; it is listed no longer."""
        _write_whole_run(store, "paid")
        store.write([LedgerRecord("paid", "paid/0.0.0", EntryKind.SPENT, "USD", 5, NOW)]).result()
        jobs, ledger, attempts = store.jobs("paid"), store.ledger("paid"), store.attempts("paid/0.0.0")
        store.delete_run("paid", keep_books=True)
        found = store.find_run("paid")
        assert found is not None
        assert found.state == RunState.DELETED
        assert "paid" not in {run.run_id for run in store.runs()} | set(store.run_totals())
        assert store.find_run("name") == store.find_run("r")
        assert (store.jobs("paid"), store.ledger("paid"), store.attempts("paid/0.0.0")) == (jobs, ledger, attempts)
        assert store.job_plan("paid/0.0.1") is not None
        assert store.open_provider_sessions("paid") == [make_provider_session("paid")]
        assert not any([*store.sessions("paid"), *store.steps("paid"), *store.metrics("paid"), *store.spans("paid")])
        assert (store.last_checkpoint("paid"), store.blocks_at("paid", HERE)) == (None, [])

    def test_what_is_not_stored_cannot_be_deleted(self, store: Store) -> None:
        """A run that is not stored raises StoreError with its name."""
        with pytest.raises(StoreError, match="nobody"):
            store.delete_run("nobody", keep_books=False)

    def test_a_provider_session_is_read_as_it_was_written_last(self, store: Store) -> None:
        """In its last state, in the order of the first writing; only those that may be open are listed as open."""
        first, second = make_provider_session("r", key="a1"), make_provider_session("r", key="a2", max_ttl_seconds=None)
        store.write([first, second]).result()
        assert store.provider_sessions() == store.open_provider_sessions() == [first, second]
        moved = first.moved(ProviderSessionState.OPEN, at=NOW.replace(year=2027), provider_id="s1")
        unknown = second.moved(ProviderSessionState.UNKNOWN, at=NOW, error="several could be it")
        store.write([moved, unknown]).result()
        assert store.open_provider_sessions("r") == [moved, unknown]
        closed = moved.moved(ProviderSessionState.CLOSED, at=NOW)
        store.write([closed, unknown.moved(ProviderSessionState.ABSENT, at=NOW)]).result()
        assert closed.provider_id == "s1"
        assert [item.state.value for item in store.provider_sessions("r")] == ["closed", "absent"]
        assert store.open_provider_sessions() == store.provider_sessions("another") == []

    def test_a_provider_session_of_no_run_is_refused(self, store: Store) -> None:
        """It names the run that is missing."""
        with pytest.raises(StoreError):
            store.write([make_provider_session("nobody")]).result()

    def test_shrinking_loses_nothing(self, store: Store) -> None:
        """The records are the same, and a second time there is nothing to give back."""
        _write_whole_run(store, "gone")
        _write_whole_run(store, "kept")
        before = _read_everything(store, "kept")
        store.delete_run("gone", keep_books=False)
        assert store.shrink() >= 0
        assert store.shrink() == 0
        assert _read_everything(store, "kept") == before

    def test_looking_whether_a_run_is_claimed_takes_no_claim(self, store: Store) -> None:
        """The holder is reported while it has the claim, and at no other time."""
        assert store.holder_of("r") is None
        with store.claim_run("r"):
            holder = store.holder_of("r")
            assert holder is not None
            assert holder.pid == os.getpid()
            assert holder.host in {None, socket.gethostname()}
        assert store.holder_of("r") is None


def _as_pace_source(store: object) -> PaceSource:
    if not isinstance(store, PaceSource):
        pytest.skip("this store does not find what earlier steps took")
    return store


def _write_whole_run(store: Store, run_id: str) -> None:
    """A run of one session and two steps, with a job that is done, one that is open, and some of everything else."""
    done, sent = make_job(f"{run_id}/0.0.0"), make_job(f"{run_id}/0.0.1")
    values = (
        (-1, 0, "accuracy", 0.1),
        (0, 0, "loss", 0.5),
        (1, 0, "loss", 0.75),
        (1, 1, "loss", 0.25),
        (1, 2, "odd", math.nan),
    )
    store.write(
        [
            replace(make_run(run_id), created_at=NOW.replace(year=2025)),
            SessionRecord(run_id, 0, 1, "host", NOW, wall_ns=1_500_000_000, executions=10, executions_from_cache=3),
            *(StepRecord(run_id, step, 0, NOW, 5, 1, NOW, 0) for step in range(2)),
            *(MetricRecord(run_id, step, ordinal, name, value, NOW) for step, ordinal, name, value in values),
            replace(done, state=JobState.DONE, provider_id="p"),
            replace(sent, state=JobState.SUBMITTED, provider_id="q"),
            *(AttemptRecord(job.job_id, 1, f"key of {job.job_id}", NOW) for job in (done, sent)),
            make_plan(job_id=sent.job_id),
            RawRecord(done.job_id, run_id, b"answer", NOW),
            replace(make_block(3), job_id=done.job_id, run_id=run_id),
            SpanRecord(run_id, 0, Span(Phase.EXECUTE, 0, 1, 0, 0, done.job_id)),
            CheckpointRecord(run_id, Position(1, 0), b"state", NOW),
            make_provider_session(run_id),
        ]
    ).result()
    store.claim_rows(run_id, make_claims(3)).result()


def _read_everything(store: Store, run_id: str) -> list[object]:
    """All that can be read of a run made by ``_write_whole_run``; plans and blocks by their size."""
    plan = store.job_plan(f"{run_id}/0.0.1")
    return [
        store.sessions(run_id),
        store.steps(run_id),
        [metric for metric in store.metrics(run_id) if not math.isnan(metric.value)],
        store.jobs(run_id),
        store.attempts(f"{run_id}/0.0.0"),
        0 if plan is None else len(plan.blocks),
        store.raw_result(f"{run_id}/0.0.0"),
        len(store.blocks_at(run_id, HERE)),
        store.spans(run_id),
        store.last_checkpoint(run_id),
        store.ledger(run_id),
        store.provider_sessions(run_id),
    ]
