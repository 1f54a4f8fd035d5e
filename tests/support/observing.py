"""Runs on the fake with observers: a paid one by a contract, its circuits, and an observer that remembers."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qiskit.circuit import Parameter, QuantumCircuit

import qorch
from qorch.errors import BudgetError
from qorch.ports.observer import Event
from qorch.run.resources import Progress
from qorch.testing.fakes.backend import FREE, FakeBackend
from qorch.testing.fakes.store import MemoryStore

PAID = replace(FREE, charges=True)
CARD = """[[prices.card]]
backends = ["fake"]
certainty = "exact"
source = "a contract"
date = 2026-10-01
currency = "EUR"
prices = { job = 0.5, shot = 0.01 }
"""
"""A job of 100 shots costs 1.50 EUR."""


class Memory:
    """An observer that remembers what it is told."""

    def __init__(self) -> None:
        """Nothing was told yet."""
        self.events: list[Event] = []
        self.n_closed = 0

    def observe(self, events: Sequence[Event]) -> None:
        """See Observer."""
        self.events += events

    def close(self) -> None:
        """See Observer."""
        self.n_closed += 1

    def told(self, kind: type) -> list[Any]:
        """All events of a kind, in order."""
        return [event for event in self.events if type(event) is kind]


def quiet(progress: Progress) -> None:
    """Shows nothing."""


def start(store: MemoryStore, *observers: Any, backend: FakeBackend | None = None, **settings: Any) -> qorch.Run:
    """A run on the fake, which is told to these observers."""
    chosen: dict[str, Any] = {"db": store, "seed": 1, "progress": quiet, "observers": observers} | settings
    return qorch.start_run("seen", backend=backend or FakeBackend(), **chosen)


def pub(rows: int = 1) -> qorch.Pub:
    """Rows of one qubit, 100 shots each."""
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("a"), 0)
    return qorch.Pub(circuit, [[0.1 * row] for row in range(rows)], observables=["Z0"], shots=100)


def set_prices(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the fake cost something, by the user's configuration file."""
    (folder / "config.toml").write_text(CARD)
    monkeypatch.setenv("QORCH_CONFIG", str(folder / "config.toml"))


def buy_too_much(run: qorch.Run) -> None:
    """A step whose job its budget covers, and that logs no number; then a call that is refused, which ends the run."""
    with pytest.raises(BudgetError), run:  # noqa: PT012
        with run.step(0):
            run.execute(pub())
            run.log(loss=float("nan"))
        run.execute(pub())
