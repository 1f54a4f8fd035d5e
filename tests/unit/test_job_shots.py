"""What `qorch jobs` says of a job's shots: their number, that the values are exact, or that the rows differ."""

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit

import qorch
from qorch.cli.main import run_command
from qorch.ports.clock import WallClock
from qorch.stores import open_store
from qorch.testing.fakes.backend import FakeBackend


def pub(shots: int | None) -> qorch.Pub:
    """One row."""
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("a"), 0)
    return qorch.Pub(circuit, np.array([[0.3]]), observables=["Z0"], shots=shots)


def test_shots_are_null_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Jobs of 50 shots, of exact values, of both, and of 50 and 60 shots."""
    database = tmp_path / "q.db"
    monkeypatch.setenv("QORCH_DB", str(database))
    with (
        closing(open_store(database, clock=WallClock())) as store,
        qorch.start_run("test", backend=FakeBackend(), db=store, seed=1, cache="off", progress=lambda _: None) as run,
    ):
        for batch in ([50], [None], [50, None], [50, 60]):
            run.execute([pub(shots) for shots in batch])
    assert run_command(["jobs", "--json"]) == 0
    jobs = json.loads(capsys.readouterr().out)["jobs"]
    assert [(job["rows"], job["shots"], job["is_exact"]) for job in jobs] == [
        (1, 50, False), (1, None, True), (2, None, None), (2, None, None)
    ]  # fmt: skip
    assert run_command(["jobs"]) == 0
    table = capsys.readouterr().out
    assert table.count("exact") == 1
