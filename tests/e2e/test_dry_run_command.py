"""`qorch dry-run` as a user meets it: workloads and programs, without a key, without a socket, twice the same."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest

TINY = ("--limit", "20", "--epochs", "1", "--shots", "10", "--compute-seconds", "1.5", "--futures", "2")
JOBS, HOURS = 2, 36
QUEUE = f"""description = "a day and a half in the queue"
[latencies]
queue = {{ seconds = "{HOURS * 3600}", source = "a test" }}
execution = {{ seconds = "1", source = "a test" }}
"""


class RefusingSocket(socket.socket):
    """No socket to the internet, nor to this machine."""

    def __init__(self, family: int = -1, *others: Any, **named: Any) -> None:
        """Refuse the families of IP."""
        if family in (-1, socket.AF_INET, socket.AF_INET6) and named.get("fileno") is None and len(others) < 3:
            raise PermissionError("no socket is opened here")
        super().__init__(family, *others, **named)


def test_a_training_of_days_is_foretold(typed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the same document, without keys or sockets, on a profile in which the jobs wait for 72 hours."""
    (tmp_path / "slow.toml").write_text(QUEUE)
    monkeypatch.setattr(socket, "socket", RefusingSocket)
    for name in [name for name in os.environ if name.startswith(("IONQ_", "AWS_"))]:
        monkeypatch.delenv(name)
    words = ("dry-run", "digits", *TINY, "--as", "ionq:qpu.forte-1,profile=slow.toml", "--budget", "9 USD", "--json")
    first, second = typed(*words), typed(*words)
    assert first.code == 0, first.err
    assert first.out == second.out
    document = first.document
    assert (document["workload"], document["backend"]) == ("digits", "mock:ionq.qpu.forte-1,profile=slow.toml")
    assert document["jobs"] == JOBS
    for seconds in (document["wall_seconds"]["p50"], document["simulated"]["wall_seconds"]):
        assert 0 <= seconds / 3600 - JOBS * HOURS < 1
    assert sum(part["seconds"] for part in document["phases"]) == pytest.approx(
        document["wall_seconds"]["p50"], rel=0.02
    )
    assert (document["budget"]["suffices"], document["budget"]["stops_at_step"]) == (False, 0)
    assert 0 <= document["simulated"]["metrics"]["digits"]["test_accuracy"] <= 1
    assert (
        document["spend"]
        == typed("quote", "digits", *TINY[:6], "--backend", "ionq:qpu.forte-1", "--json").document["spend"]
    )
    assert "step 1/1" in first.err
    assert not typed.database.exists()
    assert [path.name for path in typed.folder.iterdir()] == ["slow.toml"]


SCRIPT = """
import socket, sys
from qiskit.circuit import Parameter, QuantumCircuit
import qorch

try:
    socket.socket(socket.AF_INET)
except PermissionError as error:
    print(error, sys.argv[1:])
circuit = QuantumCircuit(1)
circuit.ry(Parameter("a"), 0)
with qorch.start_run("scan", backend="ionq:qpu.forte-1", budget="10 USD", seed=1) as run:
    for step in range(2):
        with run.step(step):
            run.execute(qorch.Pub(circuit, {"a": [1.0, 2.0]}, observables=["Z0"], shots=100))
"""
_OWN_TEXT = Path(__file__).read_text()
REFUSE = (
    "import socket\nfrom typing import Any\n" + _OWN_TEXT[_OWN_TEXT.index("class Ref") : _OWN_TEXT.index("def test_a")]
)
REFUSE += "socket.socket = RefusingSocket\n"


def test_a_program_is_run_as_it_stands(typed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own that can open no socket; its own lines and arguments are its own."""
    (typed.folder / "scan.py").write_text(SCRIPT)
    (typed.folder / "refuse").mkdir()
    (typed.folder / "refuse" / "sitecustomize.py").write_text(REFUSE)
    monkeypatch.setenv("PYTHONPATH", str(typed.folder / "refuse"))
    outcome = typed("dry-run", "scan.py", "--as", "braket:garnet", "--futures", "2", "--what-if", "pack=1", "--", "-x")
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[0] == "no socket is opened here ['-x']"
    assert lines[1] == "scan.py as mock:braket.garnet: 2 steps in 1 run, nothing was sent"
    assert any(line.startswith("money    1.18 USD") for line in lines)
    assert any("10.00 USD suffices in all 2 futures" in line for line in lines)
    assert any(line.startswith("pack=1") and "1.78 USD" in line for line in lines)


def test_what_cannot_be_foretold_is_said(typed: Any) -> None:
    """One sentence, and exit code 2: what cannot be mocked, options of others, programs that fail."""
    (typed.folder / "bad.py").write_text("import qorch\n\n{}['x']\n")
    mistakes = {
        ("digits", "--as", "local"): "runs on this machine and costs nothing",
        ("digits", "--as", "nowhere:x"): "there is no backend 'nowhere:x'",
        ("digits", "--as", "ionq:qpu.forte-1", "--shots", "exact"): "has no exact results",
        ("digits", "--as", "ionq:qpu.forte-1", "--budget", "5 EUR"): "whose prices are in USD",
        ("digits", "--as", "ionq:qpu.forte-1", "--what-if", "speed=2"): "--what-if has no 'speed=2'",
        ("digits", "--as", "ionq:qpu.forte-1", "--what-if", "shots=900000000"): "takes at most",
        ("digits", "--as", "ionq:qpu.forte-1", "--what-if", "gradient=exact"): "has no exact gradients",
        ("bad.py", "--as", "braket:garnet", "--what-if", "pack=100000"): "must be a whole number from 1 to",
        ("bad.py", "--as", "ionq:qpu.forte-1", "--shots", "3"): "qorch gives no --shots",
        ("bad.py", "--as", "ionq:qpu.forte-1", "--what-if", "gradient=spsa"): "is for workloads",
        ("none.py", "--as", "ionq:qpu.forte-1"): "there is no program none.py",
        ("bad.py", "--as", "ionq:qpu.forte-1"): "bad.py has failed in line 3: KeyError: 'x'",
    }
    for words, said in mistakes.items():
        outcome = typed("dry-run", *words)
        assert said in outcome.error
        assert outcome.code == 2
