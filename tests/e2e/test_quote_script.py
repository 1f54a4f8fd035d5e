"""`qorch quote SCRIPT.py`: a user's program as it is, in a process of its own, which sends and keeps nothing."""

import socket
from pathlib import Path
from typing import Any

import pytest

from qorch.workloads.script import MADE_UP

LOOP = '''
"""A training loop of a user."""
import sys
import torch
from qiskit.circuit import ParameterVector, QuantumCircuit
import qorch

print("arguments", sys.argv[1:])
epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 2
x, w = ParameterVector("x", 1), ParameterVector("w", 2)
circuit = QuantumCircuit(2)
circuit.ry(x[0], 0)
circuit.ry(w[0], 0)
circuit.cx(0, 1)
circuit.ry(w[1], 1)
layer = qorch.QuantumLayer(circuit, inputs=x, weights=w, observables=["Z0", "Z1"], shots=100)
optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
points = torch.linspace(0, 3, 20).reshape(10, 2, 1)
with qorch.start_run("mine", backend="ionq:qpu.forte-1", budget="5 USD", resume=True) as run:
    for _ in run.epochs(epochs, save=(layer, optimizer)):
        for batch in run.steps(points):
            loss = layer(batch).square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.log(loss=loss)
        with torch.no_grad():
            assert torch.isfinite(layer(points[0])).all()
    [result] = run.execute(qorch.Pub(circuit, {"x": [[0.1]], "w": [[1.0, 2.0]]}, observables=["Z0"], shots=50))
    assert sum(result.counts(0).values()) == 50
    print("last", run.metrics["loss"] >= 0, run.backend.name)
'''
STEP_ROWS, VALIDATION_ROWS = 2 * (1 + 2 * 2), 2


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The program on the disk."""
    path = tmp_path / "loop.py"
    path.write_text(LOOP)
    return path


def test_a_program_is_quoted_as_it_stands(typed: Any, script: Path) -> None:
    """Steps, epochs and all are counted on the backend that is named, and no database of the user is made."""
    outcome = typed("quote", "loop.py", "--backend", "braket:garnet", "--json", "--", "3")
    document = outcome.document
    assert (document["script"], document["backend"]) == ("loop.py", "braket:garnet")
    assert (document["steps"], document["epochs"]) == (30, 3)
    step, epoch = document["step"], document["epoch"]
    assert (step["rows"], step["jobs"], step["shots"]) == (STEP_ROWS, 1, 100 * STEP_ROWS)
    assert step["spend"] == {"currency": "USD", "micros": 300_000 + 1450 * 100 * STEP_ROWS}
    assert epoch["rows"] == 10 * STEP_ROWS + VALIDATION_ROWS
    assert (document["rows"], document["jobs"]) == (3 * epoch["rows"] + 1, 3 * 11 + 1)
    assert document["spend"]["micros"] == 3 * epoch["spend"]["micros"] + 300_000 + 50 * 1450
    assert document["unpacked"]["jobs"] == document["rows"]
    assert document["assumptions"][0] == MADE_UP
    assert "arguments ['3']" in outcome.err
    assert "last True braket:garnet" in outcome.err
    assert not typed.database.exists()
    assert [path.name for path in typed.folder.iterdir()] == ["loop.py"]


SCAN = """
from qiskit.circuit import Parameter, QuantumCircuit
import qorch

print("scanning")
circuit = QuantumCircuit(1)
circuit.ry(Parameter("a"), 0)
with qorch.start_run("scan", backend="local") as run:
    for step in range(2):
        with run.step(step):
            run.execute(qorch.Pub(circuit, {"a": [1.0, 2.0]}, observables=["Z0"], shots=None if step else 10))
"""


def test_several_backends_are_compared(typed: Any) -> None:
    """In a table, below what the program prints itself; one that cannot run it has a note."""
    (typed.folder / "scan.py").write_text(SCAN)
    lines = typed("quote", "scan.py", "--backend", "aer", "--backend", "braket:garnet").out.splitlines()
    assert lines.count("scanning") == 2
    (good,) = (line for line in lines if line.startswith("aer"))
    assert "0.00 USD" in good
    (bad,) = (line for line in lines if line.startswith("braket:garnet"))
    assert "Garnet has no exact values" in bad
    assert "scan.py: 2 steps" in lines
    assert any(MADE_UP in line for line in lines)


PROCESSES = """
import multiprocessing
import qorch


def work():
    try:
        qorch.start_run("apart", backend="ionq:qpu.forte-1", progress="off")
    except qorch.QorchError as error:
        print(error, flush=True)


if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=work)
    process.start()
    process.join()
    raise ValueError("as\\nwell")
"""


def test_a_process_that_the_program_starts_sends_nothing_either(typed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused, not rehearsed; the program's own error is told with its line."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("IONQ_API_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setenv("IONQ_API_KEY", "dummy")
        (typed.folder / "apart.py").write_text(PROCESSES)
        outcome = typed("quote", "apart.py", "--backend", "local")
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert "is not rehearsed" in outcome.out
    assert outcome.code == 2
    assert outcome.error == "apart.py has failed in line 17: ValueError: as well"


def test_what_cannot_be_quoted_is_said(typed: Any, script: Path) -> None:
    """A program that is not there, options of workloads, no backend or an unknown one: nothing is run."""
    assert "there is no program none.py" in typed("quote", "none.py", "--backend", "local").error
    assert "give a --backend" in typed("quote", "loop.py").error
    assert "no --shots" in typed("quote", "loop.py", "--backend", "local", "--shots", "3").error
    assert "no --live" in typed("quote", "loop.py", "--backend", "local", "--live").error
    assert "no --lr" in typed("quote", "loop.py", "--backend", "local", "--lr", "3").error
    assert "no backend 'nonsense'" in typed("quote", "loop.py", "--backend", "nonsense").error
