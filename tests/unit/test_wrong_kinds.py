"""Arguments of another kind: every public call takes them, or raises a QorchError with one sentence."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from qiskit.circuit import Parameter, QuantumCircuit

import qorch
from qorch.errors import QorchError, UsageError
from qorch.ports.clock import WallClock
from qorch.testing.fakes.backend import FakeBackend
from qorch.testing.fakes.store import MemoryStore

WRONG: dict[str, Any] = {
    "nothing": None,
    "a number": 5,
    "a fraction": 1.5,
    "not a number": float("nan"),
    "a text": "x",
    "bytes": b"x",
    "an object": object(),
    "an empty list": [],
    "a list of nothing": [None],
    "a list of lists": [[1], [2]],
    "an empty dict": {},
    "a dict of objects": {"a": object()},
    "an array": np.zeros(3),
    "a table": np.zeros((2, 2)),
    "texts in an array": np.array(["a", "b"]),
    "an array without dimensions": np.array(5.0),
    "a tensor": torch.zeros(2),
    "a class": int,
    "a function": len,
}


def a_circuit() -> QuantumCircuit:
    """One parameter."""
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("a"), 0)
    return circuit


def a_pub() -> qorch.Pub:
    """Two rows."""
    return qorch.Pub(a_circuit(), [[0.1], [0.2]], observables="Z0", shots=10)


def a_layer(**more: Any) -> qorch.QuantumLayer:
    """One input."""
    return qorch.QuantumLayer(**({"circuit": a_circuit(), "inputs": ["a"], "observables": "Z0"} | more))


def start(**more: Any) -> qorch.Run:
    """A run on the fake."""
    usual = {"name": "r", "backend": FakeBackend(), "db": MemoryStore(WallClock()), "progress": "off", "seed": 1}
    return qorch.start_run(**(usual | more))


def in_step(run: qorch.Run, value: Any) -> None:
    """A step of this number."""
    with run.step(value):
        pass


def evaluate(**more: Any) -> None:
    """A layer without a run."""
    with qorch.QuantumLayer.eval_on(**({"backend": "local", "seed": 1} | more)):
        a_layer()(torch.zeros(1, 1))


ON_A_RUN: dict[str, Callable[[qorch.Run, Any], Any]] = {
    "execute": lambda run, value: run.execute(value),
    "submit": lambda run, value: run.submit(value).result(),
    "gradient": lambda run, value: run.gradient(value),
    "gradient by": lambda run, value: run.gradient(a_pub(), value),
    "gradients": lambda run, value: run.gradients(value, [None]),
    "gradients by": lambda run, value: run.gradients([a_pub()], value),
    "exact_vjp": lambda run, value: run.exact_vjp(value, np.zeros((2, 1))),
    "exact_vjp of": lambda run, value: run.exact_vjp(a_pub(), value),
    "log": lambda run, value: run.log(value),
    "log a number": lambda run, value: run.log(loss=value),
    "step": in_step,
    "steps": lambda run, value: list(run.steps(value)),
    "steps, epochs": lambda run, value: list(run.steps([1], epochs=value)),
    "steps, save": lambda run, value: list(run.steps([1], save=value)),
    "epochs": lambda run, value: list(run.epochs(value)),
    "epochs, save": lambda run, value: list(run.epochs(1, save=value)),
    "checkpoint": lambda run, value: run.checkpoint(value),
    "restore": lambda run, value: run.restore(value),
    "counts": lambda run, value: run.execute(a_pub())[0].counts(value),
    "counts, basis": lambda run, value: run.execute(a_pub())[0].counts(0, basis=value),
}
ALONE: dict[str, Callable[[Any], Any]] = {
    "Pub": lambda value: qorch.Pub(value),
    "Pub, values": lambda value: qorch.Pub(a_circuit(), value),
    "Pub, observables": lambda value: qorch.Pub(a_circuit(), [0.1], observables=value),
    "Pub, shots": lambda value: qorch.Pub(a_circuit(), [0.1], shots=value),
    "layer called": lambda value: a_layer()(value),
    **{
        f"layer, {name}": lambda value, name=name: a_layer(**{name: value})
        for name in (
            "circuit", "inputs", "weights", "observables", "initial", "shots", "gradient", "eager", "run", "dtype"
        )
    },
    **{
        f"start_run, {name}": lambda value, name=name: start(**{name: value}).close()
        for name in (
            "name", "backend", "budget", "cache", "seed", "shots", "db", "resume", "rebuy", "allow_changes",
            "workload", "settings", "progress", "clock",
        )
    },
    **{f"eval_on, {name}": lambda value, name=name: evaluate(**{name: value}) for name in ("backend", "shots", "seed")},
    "open_run": lambda value: qorch.open_run(value, db=MemoryStore(WallClock())),
    "open_run, db": lambda value: qorch.open_run("r", db=value),
    "runs, db": lambda value: qorch.runs(db=value),
}  # fmt: skip


def check(call: Callable[[], Any]) -> None:
    """It succeeds, or raises a QorchError."""
    with suppress(QorchError):
        call()


@pytest.mark.parametrize("name", ON_A_RUN)
def test_a_run_refuses_other_kinds_in_a_sentence(name: str) -> None:
    """Nothing of Python, NumPy or torch comes out, and the run goes on."""
    with start() as run:
        for value in WRONG.values():
            check(lambda value=value: ON_A_RUN[name](run, value))
        assert len(run.execute(a_pub())) == 1


@pytest.mark.parametrize("name", ALONE)
def test_other_kinds_are_refused_in_a_sentence(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By pubs, layers, and whatever opens a run."""
    monkeypatch.chdir(tmp_path)
    for value in WRONG.values():
        check(lambda value=value: ALONE[name](value))


def test_an_exact_gradient_refuses_other_kinds() -> None:
    """Of the pub, and of the cotangents."""
    with start(backend="local") as run:
        for value in WRONG.values():
            check(lambda value=value: run.exact_vjp(a_pub(), value))
            check(lambda value=value: run.exact_vjp(value, np.zeros((2, 1))))
        assert run.exact_vjp(a_pub(), [[1.0], [1.0]]).shape == (2, 1)


REFUSED: dict[str, tuple[Callable[[qorch.Run], Any], str]] = {
    "no pub": (lambda run: run.gradient(5), "pub is 5; give a qorch.Pub"),
    "no pubs": (lambda run: run.gradients(None, [None]), "nothing to execute in a NoneType"),
    "too few masks": (lambda run: run.gradients([a_pub()], []), "wanted has 0 entries for 1 pubs"),
    "no names": (lambda run: run.gradient(a_pub(), 5), "wanted is 5; give names of parameters"),
    "no loader": (lambda run: list(run.steps(5)), "run.steps got a int; give a loader, or a list of batches"),
    "nothing to save": (lambda run: list(run.steps([1], save=5)), "save is 5; give a list"),
    "a model alone": (lambda run: list(run.epochs(1, save=torch.nn.Linear(1, 1))), "save is a Linear; give a list"),
    "a number to save": (lambda run: run.checkpoint(5), "a int cannot be saved"),
    "a text for a row": (lambda run: run.execute(a_pub())[0].counts("x"), "row is 'x'; give a whole number"),
    "a run to resume": (lambda run: start(resume="r"), "resume is 'r'; give True or False"),
    "a list of settings": (lambda run: start(settings=[1]), "settings is a list; give a dict"),
}  # type: ignore[arg-type]


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_kind_is_named(case: str) -> None:
    """With what was given, and what to give."""
    call, sentence = REFUSED[case]
    with start() as run, pytest.raises(UsageError) as caught:
        call(run)
    assert sentence in str(caught.value)
