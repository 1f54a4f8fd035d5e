"""Quotes of programs: made-up values, runs that are resumed or left open, and programs that fail."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit

import qorch
from qorch import wiring
from qorch.backends import open_backend, plan_offline
from qorch.config import REHEARSAL, read_config
from qorch.errors import UsageError
from qorch.model.prices.book import decide_price
from qorch.ports.backend import ExactGradients, InProcessBackend
from qorch.ports.clock import WallClock
from qorch.prices import load_prices
from qorch.testing.fakes.store import MemoryStore
from qorch.workloads.rehearsed_backend import RehearsedBackend
from qorch.workloads.script import ScriptQuote, quote_script

HEAD = """
from qiskit.circuit import Parameter, QuantumCircuit
import qorch
circuit = QuantumCircuit(1)
circuit.ry(Parameter("a"), 0)
def pub(*values):
    return qorch.Pub(circuit, {"a": values}, observables=["Z0"], shots=10)
"""


@pytest.fixture
def quote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Quotes a program on a backend."""
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def quote_code(code: str, *arguments: str, backend: str = "braket:garnet") -> ScriptQuote:
        script = tmp_path / "program.py"
        script.write_text(HEAD + code)
        config = read_config({})
        planner = plan_offline(backend, config=config, clock=WallClock())
        card = decide_price(backend, charges=True, book=load_prices(config))
        return quote_script(script, arguments, planner=planner, card=card, db=tmp_path / "thrown-away.db")

    return quote_code


def test_runs_add_up(quote: Any) -> None:
    """A run that goes on, one that is left open, and steps without epochs; what stored results give is not bought."""
    found = quote(
        """
from qorch import start_run
for name in ("one", "one"):
    with start_run(name, backend="local", seed=1, resume=True, cache="reuse", db="/nowhere/x.db") as run:
        run.execute(pub(1.0, 2.0))
left = start_run("two", backend="nonsense", seed=1)
assert left.quote(pub(9.0)).cost.expected_micros == 300_000 + 10 * 1450
with left.step(0):
    left.execute(pub(3.0))
left.execute([pub(4.0), pub(5.0)])
"""
    )
    assert (found.steps, found.epochs, found.epoch) == (1, 0, None)
    assert (found.run.executions, found.run.jobs) == (5, 3)
    assert found.run.cost is not None
    assert found.run.cost.expected_micros == 3 * 300_000 + 50 * 1450
    assert (found.step.executions, found.step.shots) == (1, 10)
    assert found.unpacked.jobs == 5
    assert wiring.start_run is qorch.start_run


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise SystemExit(3)", "has ended with exit code 3"),
        ("def f():\n    return {}['x']\nf()", "has failed in line 9: KeyError: 'x'"),
        ("if", "has failed: SyntaxError"),
        ("raise SystemExit", "has started no run"),
        ("qorch.start_run('r', backend='local').execute(qorch.Pub(circuit, {'a': [1.0]}, observables=['Z0']))",
         "in line 8: qorch.errors.CircuitError: Garnet has no exact values"),
    ],
)  # fmt: skip
def test_a_program_that_fails_has_one_sentence(quote: Any, code: str, said: str) -> None:
    """With the line of the program and the last line of its traceback."""
    with pytest.raises(UsageError) as caught:
        quote(code)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def rehearsed(name: str = "local") -> RehearsedBackend:
    """A backend that is rehearsed."""
    config = read_config({})
    planner = plan_offline(name, config=config, clock=WallClock())
    return RehearsedBackend(planner, planner.capabilities, decide_price(name, charges=False, book=load_prices(config)))


@pytest.mark.parametrize("shots", [1, 3, 1000, None])
@pytest.mark.parametrize("observables", [["Z0", "X1 Z2"], qorch.probabilities()])
def test_made_up_values_are_possible_ones(shots: int | None, observables: Any) -> None:
    """The engine verifies them as those of any backend: sums, ranges, finite."""
    circuit = QuantumCircuit(3)
    circuit.ry(Parameter("a"), 0)
    backend = rehearsed()
    assert isinstance(backend, InProcessBackend)
    assert isinstance(backend, ExactGradients)
    with qorch.start_run("made-up", backend=backend, db=MemoryStore(WallClock()), seed=1, progress="off") as run:
        [result] = run.execute(qorch.Pub(circuit, {"a": np.arange(50.0)}, observables=observables, shots=shots))
        assert np.isfinite(result.values).all()
        assert np.abs(result.values).max() <= 1
        assert len(np.unique(result.values.round(9))) > 1
        vjp = run.exact_vjp(result.pub, np.ones_like(result.values))
        assert vjp.shape == (50, 1)


def test_a_process_of_a_quote_opens_no_remote_backend() -> None:
    """Whatever the program starts elsewhere; backends of this machine are opened."""
    config = read_config({REHEARSAL: "1", "IONQ_API_KEY": "dummy"})
    with pytest.raises(UsageError, match="is not rehearsed"):
        open_backend("ionq:simulator", config=config, clock=WallClock())
    assert open_backend("local", config=config, clock=WallClock()).name == "local"
