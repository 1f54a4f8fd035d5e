"""What programs of earlier versions read is there under its older name: executions were called rows."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
from qiskit.circuit import Parameter, QuantumCircuit

import qorch
from qorch.cli.jobs import describe_job
from qorch.cli.recover import _describe
from qorch.cli.runs import describe_run
from qorch.cli.show import _describe as show
from qorch.engine.remote.recovery import Recovered, RecoveryOutcome
from qorch.ports.clock import WallClock
from qorch.recovery import RunRecovery
from qorch.run.run import Run
from qorch.testing.fakes.backend import FakeBackend
from qorch_jobs_db import open_store

NEWER = {
    "rows_executed": "executions", "rows_from_cache": "executions_from_cache", "rows_open": "executions_open",
    "rows": "executions", "name": "search_text", "n_rows": "n_executions",
}  # fmt: skip


def test_counts_have_their_older_names(tmp_path: Path) -> None:
    """As attributes of totals, steps and reports, as keys of JSON documents, and as columns of views."""
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("a"), 0)
    pub = qorch.Pub(circuit, np.zeros((3, 1)), observables=["Z0"], shots=10)
    path = tmp_path / "x.db"
    with closing(open_store(str(path), clock=WallClock())) as store:
        with qorch.start_run("old", backend=FakeBackend(), db=store, seed=1, progress="off") as run:
            for _ in run.steps(range(2)):
                run.execute([pub])
        stored = qorch.open_run("old", db=store)
        [step, _] = stored.steps()
        for value, count in ((run.totals, 6), (stored.totals, 6), (stored.report(), 6), (step, 3)):
            assert (value.executions, value.executions_from_cache) == (count, 0)
            assert (value.rows_executed, value.rows_from_cache) == (count, 0)
        assert stored.report().rows_open == stored.report().executions_open == 0
        [job, _] = store.jobs(run.run_id)
        recovered = RunRecovery(run.run_id, "", (Recovered(job, RecoveryOutcome.RELEASED),))
        assert_doubled(stored.report().to_json(), "rows_executed", "rows_from_cache", "rows_open")
        assert_doubled(describe_run(stored), "rows_executed", "rows_from_cache")
        assert_doubled(show(store, "old")["steps"][0], "rows_executed", "rows_from_cache")
        assert_doubled(describe_job(store, job), "rows", "name")
        assert_doubled(_describe(recovered)[0], "rows")
    with closing(sqlite3.connect(path)) as link:
        link.row_factory = sqlite3.Row
        views = {
            "run_overview": ("rows_executed", "rows_from_cache"),
            "step_overview": ("rows_executed", "rows_from_cache"),
            "job_overview": ("n_rows",),
        }
        for view, names in views.items():
            assert_doubled(dict(link.execute(f"SELECT * FROM {view}").fetchone()), *names)  # noqa: S608 (our own name)


def test_methods_have_their_older_names() -> None:
    """`run.settle` is the older name of `run.flush`."""
    assert Run.settle is Run.flush


def assert_doubled(document: dict[str, object], *older: str) -> None:
    """Each older name has the value of the newer."""
    for name in older:
        assert document[name] == document[NEWER[name]]
