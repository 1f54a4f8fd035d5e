"""What a run came to over all its sessions: rows once, spend only where it is known, calls of every session."""

import json
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from sqlalchemy import create_engine, text

import qorch
from qorch.audit.report import make_report
from qorch.errors import BackendError, QorchError, UsageError
from qorch.model.job import JobState
from qorch.model.ledger import EntryKind, LedgerRecord
from qorch.model.money import Money
from qorch.ports.clock import WallClock
from qorch.ports.records import RunMove, RunState, SessionRecord, StepRecord
from qorch.ports.store import Store
from qorch.run.totals import INTERRUPTED, add_session, count_executions, state_now
from qorch.stores import open_store
from qorch.testing.conformance.store_records import NOW, make_job, make_run
from qorch.testing.fakes.backend import FREE, FakeBackend
from qorch.testing.fakes.store import MemoryStore

ROWS = 8
PAID = replace(FREE, charges=True)


class DeathError(Exception):
    """The program ends in mid-training."""


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each kind."""
    clock = WallClock()
    with closing(MemoryStore(clock) if request.param == "memory" else open_store(tmp_path / "x.db", clock=clock)) as it:
        yield it


def start(backend: FakeBackend, store: Store, *, name: str = "test", **settings: object) -> qorch.Run:
    """A run that shows nothing."""
    settings.setdefault("accept_unknown_price", True)
    return qorch.start_run(name, backend=backend, db=store, seed=1, progress=lambda _: None, **settings)  # type: ignore[arg-type]


def pub(step: int, *, rows: int = ROWS) -> qorch.Pub:
    """Rows of which no other step has one."""
    angle = Parameter("a")
    circuit = QuantumCircuit(1)
    circuit.ry(angle, 0)
    return qorch.Pub(circuit, [[step + place / rows] for place in range(rows)], observables=["Z0"], shots=20)


def train(run: qorch.Run, *, until: int, rows: int = ROWS) -> None:
    """Steps of one call each, from the first on; then the program dies."""
    with suppress(DeathError), run:
        for step in range(until):
            with run.step(step):
                run.execute(pub(step, rows=rows))
        raise DeathError


def overview(store: Store) -> dict[str, tuple[int, int]]:
    """Rows executed and from the cache per run, as the view has them."""
    engine = create_engine(f"sqlite:///{store.location}")
    with engine.connect() as link:
        found = link.execute(text("SELECT run_id, rows_executed, rows_from_cache FROM run_overview")).all()
    engine.dispose()
    return {row.run_id: (row.rows_executed, row.rows_from_cache) for row in found}


def assert_counts(store: Store, run_id: str, *, executed: int, from_cache: int) -> None:
    """The report and the view say so."""
    report = make_report(store, run_id)
    assert (report.rows_executed, report.rows_from_cache) == (executed, from_cache)
    if not isinstance(store, MemoryStore):
        assert overview(store)[run_id] == (executed, from_cache)


def test_what_is_replayed_counts_once(store: Store) -> None:
    """Three sessions that begin anew execute each row once; of the run, and of each step, nothing was from a cache."""
    for until in (2, 3, 4):
        train(run := start(FakeBackend(), store, resume=True), until=until)
    assert run.totals.rows_from_cache == 3 * ROWS
    assert_counts(store, run.run_id, executed=4 * ROWS, from_cache=0)
    assert [(step.executions, step.executions_from_cache) for step in store.steps(run.run_id)] == [(ROWS, 0)] * 4


def test_rows_of_another_run_count_once_however_often_they_are_replayed(store: Store) -> None:
    """What a run takes from others is from the cache once per place, beside what it bought there itself."""
    train(start(FakeBackend(), store, name="first"), until=2, rows=ROWS // 2)
    for until in (2, 3):
        train(run := start(FakeBackend(), store, cache="reuse", resume=True), until=until, rows=ROWS // 2)
    assert_counts(store, run.run_id, executed=ROWS // 2, from_cache=ROWS)
    counted = [(step.executions, step.executions_from_cache) for step in store.steps(run.run_id)]
    assert counted == [(0, ROWS // 2), (0, ROWS // 2), (ROWS // 2, 0)]


def test_calls_outside_of_steps_count_once(store: Store) -> None:
    """A program without steps that is run again asks for the same rows again, and buys only what is new."""
    for calls in (2, 3):
        with suppress(DeathError), start(FakeBackend(), store, resume=True) as run:
            for call in range(calls):
                run.execute(pub(call))
            raise DeathError
    assert_counts(store, run.run_id, executed=3 * ROWS, from_cache=0)


def test_the_done_jobs_of_a_call_that_failed_count(store: Store) -> None:
    """An error ends the call, and what its other jobs executed is reported all the same."""
    backend = FakeBackend(faults={3: BackendError("boom")}, rows_in_job=ROWS // 4)
    with pytest.raises(BackendError), start(backend, store) as run:
        run.execute(pub(0, rows=2 * ROWS))
    done = sum(job.n_executions for job in store.jobs(run.run_id, state=JobState.DONE))
    assert run.totals.rows_executed == 0 < done
    assert_counts(store, run.run_id, executed=done, from_cache=0)


def test_rows_of_open_jobs_are_told_apart(store: Store) -> None:
    """Rows of a held job are not executed, and not forgotten: they may be billed."""
    held = replace(make_job("r/0.0.0"), state=JobState.UNKNOWN)
    store.write([make_run("r"), held, replace(make_job("r/0.0.1"), state=JobState.DONE)]).result()
    rows = count_executions(store, "r")
    assert (rows.executed, rows.from_cache, rows.open) == (10, 0, 10)
    report = make_report(store, "r")
    assert report.to_json()["rows_open"] == 10
    assert "10 more executions are in jobs that are open" in str(report)


@pytest.mark.parametrize(
    ("sessions", "steps", "from_cache"),
    [
        pytest.param([(7, 5)], [], 5, id="one session"),
        pytest.param([(3, 5)], [], 5, id="one session with an error"),
        pytest.param([(10, 4), (0, 14)], [], 4, id="begun anew"),
        pytest.param([(6, 2), (4, 9)], [2, 3], 5, id="gone on from a checkpoint"),
    ],
)
def test_the_view_counts_as_the_report_does(
    tmp_path: Path, sessions: list[tuple[int, int]], steps: list[int], from_cache: int
) -> None:
    """Ten rows were executed; how many were from the cache follows from sessions and steps, in Python and in SQL."""
    with closing(open_store(tmp_path / "x.db", clock=WallClock())) as store:
        job = replace(make_job("r/0.0.0"), state=JobState.DONE)
        parts = [SessionRecord("r", at, 1, "host", NOW, 0, *rows) for at, rows in enumerate(sessions)]
        store.write([make_run("r"), job, make_job("r/0.0.1"), *parts]).result()
        store.write([StepRecord("r", at, 0, NOW, 0, rows) for at, rows in enumerate(steps)]).result()
        assert_counts(store, "r", executed=10, from_cache=from_cache)


def test_spend_is_unknown_until_every_paid_job_has_a_price(store: Store) -> None:
    """Nothing before the first job; unknown while one that may have been accepted has no entry; then their sum."""
    with start(FakeBackend(capabilities=PAID), store) as run:
        assert make_report(store, run.run_id).spend == Money("USD", 0)
        run.execute(pub(0))
        run.execute(pub(1))
        report = make_report(store, run.run_id)
        assert report.spend is None
        assert report.to_json()["spend"] is None
        assert "spend unknown" in str(report)
    first, second = store.jobs(run.run_id)
    store.write([LedgerRecord(run.run_id, first.job_id, EntryKind.SPENT, "USD", 5, NOW)]).result()
    assert make_report(store, run.run_id).spend is None
    store.write([LedgerRecord(run.run_id, second.job_id, EntryKind.SPENT, "USD", 7, NOW)]).result()
    assert make_report(store, run.run_id).spend == Money("USD", 12)


def test_a_job_that_was_refused_costs_nothing(store: Store) -> None:
    """Neither does one that was never sent: only what the provider may have is without a price."""
    jobs = [
        replace(make_job("r/0.0.0"), state=JobState.FAILED),
        replace(make_job("r/0.0.1"), state=JobState.RESERVED),
    ]
    store.write([make_run("r"), *jobs]).result()
    assert make_report(store, "r").spend == Money("USD", 0)
    store.write([replace(jobs[0], provider_id="p-1")]).result()
    assert make_report(store, "r").spend is None


def test_calls_of_all_sessions_are_added_up(store: Store) -> None:
    """The summary keeps the figures of the last session that has some, and says how many sessions it knows of."""
    first = add_session('{"charges": false}', own=None, calls={"submit": 2})
    whole = add_session(first, own='{"metrics": {"loss": 1}}', calls={"submit": 3, "poll": 4})
    last = add_session(whole, own=None, calls={"poll": 1})
    assert json.loads(last) == {
        "charges": False, "metrics": {"loss": 1}, "calls": {"submit": 5, "poll": 5}, "calls_sessions": 3,
    }  # fmt: skip
    store.write([replace(make_run("r"), summary=last)]).result()
    store.write([SessionRecord("r", at, 1, "host", NOW) for at in range(4)]).result()
    report = make_report(store, "r")
    assert "calls to the provider in 3 of 4 sessions: 5 submit · 5 poll" in str(report)
    assert report.to_json()["calls_sessions"] == 3


def test_a_run_on_this_machine_has_no_calls() -> None:
    """Its summary does not speak of them."""
    assert json.loads(add_session("{}", own=None, calls=None)) == {}


def test_a_run_without_its_process_is_interrupted(store: Store) -> None:
    """Stored as running, it runs only while a process holds it; what has ended stays as it was."""
    with start(FakeBackend(), store) as run:
        record = store.runs()[0]
        assert state_now(store, record) == make_report(store, run.run_id).run.state == RunState.RUNNING
    store.write([RunMove(run.run_id, RunState.RUNNING)]).result()
    assert state_now(store, record) == make_report(store, run.run_id).run.state == INTERRUPTED
    assert state_now(store, replace(record, state=RunState.FAILED)) == RunState.FAILED


def test_a_cancelled_run_does_not_go_on(store: Store) -> None:
    """Resuming it by name or id is refused, and buys nothing."""
    with start(FakeBackend(), store) as run:
        pass
    store.write([RunMove(run.run_id, RunState.CANCELLED)]).result()
    for name in ("test", run.run_id):
        with pytest.raises(UsageError, match="was cancelled"):
            start(FakeBackend(), store, name=name, resume=True)
    assert [found.state for found in store.runs()] == [RunState.CANCELLED]


@dataclass(eq=False)
class ShutBackend(FakeBackend):
    """Cannot be opened."""

    n_closed: int = 0

    async def open(self) -> None:
        """See Backend."""
        raise BackendError("no such machine")

    async def close(self) -> None:
        """See Backend."""
        self.n_closed += 1


def test_a_backend_that_does_not_open_leaves_nothing(store: Store) -> None:
    """It is closed again, and no run is written down; a run that would go on keeps its state, and may go on later."""
    shut = ShutBackend()
    with pytest.raises(BackendError, match="no such machine"):
        start(shut, store)
    assert shut.n_closed == 1
    assert store.runs() == []
    with start(FakeBackend(), store) as run:
        run.stop()
    with pytest.raises(QorchError):
        start(shut, store, resume=True)
    assert shut.n_closed == 2
    assert [found.state for found in store.runs()] == [RunState.STOPPED]
    with start(FakeBackend(), store, resume=True) as again:
        assert again.run_id == run.run_id
        assert np.isfinite(again.execute(pub(0))[0].values).all()
