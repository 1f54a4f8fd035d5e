"""Queue and execution of Braket's tasks as a report tells them, beside what the emulator really did."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from braket_vendor import BRAKET
from qiskit.circuit import Parameter, QuantumCircuit

import qorch
from qorch.audit.report import make_report
from qorch.model.timing import Phase, TimeSource
from qorch.ports.clock import WallClock
from qorch_jobs_db import open_store
from qorch_providers.emulators.braket import BraketSettings, start

MILLISECONDS = 0.002
"""Braket dates tasks with milliseconds."""


def train(address: str, database: Path) -> qorch.Run:
    """Three calls of two tasks each."""
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("a"), 0)
    circuit.measure_all()
    backend = BRAKET.open_backend("garnet,settle=1,rows=2", clock=WallClock(), environment=BRAKET.environment(address))
    with qorch.start_run("waits", backend=backend, db=database, seed=1, progress="off", shots=100) as run:
        for step in run.steps(range(3)):
            run.execute(qorch.Pub(circuit, np.full((4, 1), 0.1 + step), observables=["Z0"]))
    return run


@pytest.mark.timeout(120)
def test_queue_and_execution_are_within_their_stated_resolution(tmp_path: Path) -> None:
    """Of each task, with latencies that are known; the report says it, and its phases sum to the wall time."""
    path = tmp_path / "x.db"
    with start(BraketSettings(noise="off", quotas="", queue="0.2..0.7", execute="0.2..0.5", seed=3)) as emulator:
        run = train(emulator.root, path)
        tasks = {str(task["id"]): task for task in emulator.jobs()}
    with closing(open_store(str(path), clock=WallClock())) as store:
        report = make_report(store, run.run_id)
        jobs = {job.job_id: tasks[str(job.provider_id)] for job in store.jobs(run.run_id)}
        spans = [record.span for record in store.spans(run.run_id)]
    assert len(jobs) == len(tasks) == 6
    split = [span for span in spans if span.source is TimeSource.POLLS]
    # A task whose end is seen first is not split.
    assert len(split) >= 8
    for span in split:
        task = jobs[str(span.job_id)]
        edges = ("accepted", "started") if span.phase is Phase.QUEUE else ("started", "completed")
        begin, end = (float(str(task[f"{edge}_at_unix"])) for edge in edges)
        assert span.resolution_seconds is not None
        print(f"{span.phase} {span.seconds:.3f} s, truly {end - begin:.3f} s, to ±{span.resolution_seconds:.3f} s")
        assert abs(span.seconds - (end - begin)) <= span.resolution_seconds + MILLISECONDS
    assert np.median([span.resolution_seconds or 0.0 for span in split]) < 0.5
    for part in report.phases:
        if part.phase_id in ("provider_queue", "execute"):
            assert part.sources == ("polls",)
            assert part.resolution_seconds
    assert sum(part.seconds for part in report.phases) == pytest.approx(report.wall_seconds)
    assert str(report).count(", split by polls") == 4
