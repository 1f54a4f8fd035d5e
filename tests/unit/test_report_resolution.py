"""Reports say how exactly they know queue and execution, of the run as a whole and of its jobs."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qorch.audit.report import Report, make_report
from qorch.audit.resolution import describe, wall_resolution
from qorch.model.timing import Phase, Span, TimeSource, attribute
from qorch.ports.clock import WallClock
from qorch.ports.records import SessionRecord, SpanRecord
from qorch.testing.conformance.store_records import NOW, make_job, make_run
from qorch.testing.fakes.store import MemoryStore
from qorch_jobs_db import open_store

S = 10**9
JOBS = ("r/0.0.0", "r/0.0.1")


def split(job_id: str, accepted: float, started: float, ended: float, *, resolution: float) -> list[Span]:
    """A job's queue and execution, told apart by polls; in seconds."""
    told = {"job_id": job_id, "resolution_ns": round(resolution * S), "source": TimeSource.POLLS}
    return [
        Span(Phase.QUEUE, round(accepted * S), round(started * S), 0, 0, **told),  # type: ignore[arg-type]
        Span(Phase.EXECUTE, round(started * S), round(ended * S), 0, 0, **told),  # type: ignore[arg-type]
    ]


def records_of(spans: Sequence[Span], *, wall_seconds: float) -> list[SessionRecord | SpanRecord]:
    """What a session of a run with these spans stores."""
    session = SessionRecord("r", 0, 1, "host", NOW, wall_ns=round(wall_seconds * S))
    return [session, *(SpanRecord("r", 0, span) for span in spans)]


def report_of(spans: Sequence[Span], *, wall_seconds: float = 10.0) -> Report:
    """The report of a run with these spans."""
    store = MemoryStore(WallClock())
    jobs = [make_job(job_id) for job_id in JOBS]
    store.write([make_run("r"), *jobs, *records_of(spans, wall_seconds=wall_seconds)]).result()
    return make_report(store, "r")


def lines_of(report: Report, label: str) -> list[str]:
    """The lines of a report's text that begin so: of the wall time, and of the jobs."""
    return [line for line in str(report).splitlines() if line.strip().startswith(label)]


def test_text_and_document_say_how_exactly_a_split_is_known() -> None:
    """In both views; shares still sum to one, and what nothing is in doubt of says nothing."""
    report = report_of(split(JOBS[0], 0.0, 6.0, 9.0, resolution=0.8))
    for label in ("provider queue", "execute"):
        assert [line.endswith("  to ±0.80 s, split by polls") for line in lines_of(report, label)] == [True, True]
    assert "±" not in lines_of(report, "unattributed")[0]
    assert sum(part.share for part in report.phases) == pytest.approx(1.0)
    document = json.loads(json.dumps(report.to_json()))
    for view in ("phases", "latency"):
        known = {part["phase_id"]: (part["resolution_seconds"], part["sources"]) for part in document[view]}
        assert known["provider_queue"] == known["execute"] == (pytest.approx(0.8), ["polls"])
    parts = {part["phase_id"]: part for part in document["phases"]}
    assert (parts["unattributed"]["resolution_seconds"], parts["unattributed"]["sources"]) == (0.0, [])


def test_a_run_without_polls_looks_as_before() -> None:
    """Times of the provider, and of this computer, have no resolution yet; their source is told."""
    spans = [
        Span(Phase.QUEUE, 0, 2 * S, 0, 0, JOBS[0], source=TimeSource.PROVIDER),
        Span(Phase.EXECUTE, 2 * S, 5 * S, 0, 0, JOBS[0], source=TimeSource.PROVIDER),
        Span(Phase.DECODE, 5 * S, 6 * S, 0, 0, JOBS[0]),
    ]
    report = report_of(spans)
    assert "±" not in str(report)
    assert "polls" not in str(report)
    assert {part.resolution_seconds for part in (*report.phases, *report.latency)} == {None}
    assert {part.phase_id: part.sources for part in report.latency} == {
        "execute": ("provider",), "decode": (), "provider_queue": ("provider",)
    }  # fmt: skip


def test_jobs_side_by_side_are_doubted_once() -> None:
    """Of two jobs that were polled together, the run's wall time is in doubt by one resolution, not by two."""
    spans = [span for job_id in JOBS for span in split(job_id, 0.0, 6.0, 9.0, resolution=1.5)]
    known = {part.phase_id: part.resolution_seconds for part in report_of(spans).phases}
    assert (known["execute"], known["provider_queue"]) == (1.5, 1.5)
    later = [*split(JOBS[0], 0.0, 2.0, 4.0, resolution=0.5), *split(JOBS[1], 5.0, 7.0, 9.0, resolution=0.7)]
    known = {part.phase_id: part.resolution_seconds for part in report_of(later).phases}
    assert known["execute"] == pytest.approx(1.2)


def test_what_execution_hides_is_doubted_as_well() -> None:
    """A fetch beside another job's execution counts as execution, or does not."""
    fetch = Span(Phase.TRANSFER, 5 * S, 7 * S, 0, 0, JOBS[1])
    report = report_of([*split(JOBS[0], 0.0, 6.0, 9.0, resolution=0.5), fetch])
    known = {part.phase_id: part.resolution_seconds for part in report.phases}
    assert known["transfer"] == 0.5
    assert lines_of(report, "transfer")[0].endswith("to ±0.50 s")
    assert known["model_code"] == 0.0


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.floats(-1.0, 1.0)),
        min_size=1,
        max_size=5,
    ),
    st.lists(st.tuples(st.sampled_from(list(Phase)), st.integers(0, 80), st.integers(0, 30)), max_size=4),
)
def test_the_true_shares_are_within_the_resolution(
    jobs: list[tuple[int, int, int, float]], others: list[tuple[Phase, int, int]]
) -> None:
    """Wherever within its doubt each job really began, and whatever happens beside."""
    stated, true = [], []
    for accepted, queued, executed, at in jobs:
        resolution = min(queued, executed)
        stated += split(JOBS[0], accepted, accepted + queued, accepted + queued + executed, resolution=resolution)
        begun = accepted + queued + at * resolution
        true += split(JOBS[0], accepted, begun, accepted + queued + executed, resolution=0.0)
    beside = [Span(phase, begin * S, (begin + length) * S) for phase, begin, length in others]
    seconds = attribute([*stated, *beside], started_ns=0, ended_ns=100 * S)
    known = wall_resolution([*stated, *beside], seconds, started_ns=0, ended_ns=100 * S)
    truth = attribute([*true, *beside], started_ns=0, ended_ns=100 * S)
    for phase, value in seconds.items():
        assert abs(truth[phase] - value) <= known.get(phase, 0.0) + 1e-6


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.8, "to ±0.80 s"), (0.0512, "to ±0.052 s"), (9.91, "to ±10.0 s"), (53.2, "to ±54 s"),
        (1234.5, "to ±1,235 s"), (0.0, ""), (None, ""),
    ],
)  # fmt: skip
def test_a_resolution_is_rounded_up(seconds: float | None, text: str) -> None:
    """What is stated is never less than what is meant."""
    assert describe(seconds, ()) == text


def test_a_database_keeps_resolution_and_source(tmp_path: Path) -> None:
    """As columns, also in the view of phases."""
    path = tmp_path / "x.db"
    spans = split(JOBS[0], 0.0, 6.0, 9.0, resolution=0.25)
    with closing(open_store(str(path), clock=WallClock())) as store:
        store.write([make_run("r"), make_job(JOBS[0]), *records_of(spans, wall_seconds=9.0)]).result()
        assert [record.span for record in store.spans("r")] == spans
    with closing(sqlite3.connect(path)) as link:
        rows = link.execute("SELECT phase, seconds, resolution_seconds FROM phase_seconds ORDER BY phase").fetchall()
        assert rows == [("execute", 3.0, 0.25), ("provider_queue", 6.0, 0.25)]
        assert link.execute("SELECT DISTINCT source, resolution_ns FROM spans").fetchall() == [("polls", S // 4)]
