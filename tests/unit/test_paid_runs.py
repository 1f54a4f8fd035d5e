"""Until money is counted: budgets that nothing would enforce are refused, and a paid run says what it buys first."""

from dataclasses import replace
from typing import Any

import pytest
from qiskit.circuit import Parameter, QuantumCircuit

import qorch
from qorch.errors import MoneyError, UsageError
from qorch.model.job import Payload, RawResult
from qorch.model.money import Money
from qorch.ports.clock import WallClock
from qorch.run.resources import Progress
from qorch.testing.fakes.backend import FREE, FakeBackend
from qorch.testing.fakes.store import MemoryStore

PAID = replace(FREE, charges=True)
FIVE = Money("USD", 5_000_000)


def quiet(progress: Progress) -> None:
    """Shows nothing."""


def start(store: MemoryStore, backend: FakeBackend, **settings: Any) -> qorch.Run:
    """A run on the fake."""
    return qorch.start_run("paid", backend=backend, db=store, progress=quiet, **settings)


def pub(rows: int = 3) -> qorch.Pub:
    """Rows of one qubit, each measured in one basis."""
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("a"), 0)
    return qorch.Pub(circuit, [[0.1 * row] for row in range(rows)], observables=["Z0"], shots=100)


@pytest.fixture
def store() -> MemoryStore:
    """An empty store."""
    return MemoryStore(WallClock())


@pytest.mark.parametrize("budget", ["5 USD", FIVE])
def test_a_budget_is_refused_where_money_is_spent(store: MemoryStore, budget: str | Money) -> None:
    """With the amount, why, and what to do instead; nothing is opened, sent or written."""
    backend = FakeBackend(capabilities=PAID)
    with pytest.raises(UsageError, match=r"does not enforce budgets yet: 5\.00 USD .* limit .* at the provider"):
        start(store, backend, budget=budget)
    assert backend.submitted == []
    assert store.runs() == []


def test_a_free_backend_takes_a_budget(store: MemoryStore) -> None:
    """It is stored, as before, and nothing is said; one that is no amount is refused everywhere."""
    with start(store, FakeBackend(), budget="5 USD") as run:
        run.execute(pub())
    assert store.runs()[0].budget_micros == FIVE.micros
    with pytest.raises(MoneyError):
        start(store, FakeBackend(), budget="five dollars")


def test_a_stored_budget_is_no_safety_either(store: MemoryStore) -> None:
    """A run that an older qorch started with a budget is refused too, and goes on once it is asked to without."""
    paid = FakeBackend(capabilities=PAID)
    start(store, paid).close()
    store.write([replace(store.runs()[0], budget_micros=FIVE.micros, currency="USD")]).result()
    with pytest.raises(UsageError, match="budget='none'"):
        start(store, paid, resume=True)
    for budget in ("none", None):
        with start(store, paid, resume=True, budget=budget) as run:
            assert store.find_run(run.run_id).budget_micros is None  # type: ignore[union-attr]
    assert len(store.runs()) == 1


def said(log: pytest.LogCaptureFixture) -> list[str]:
    """The lines about runs."""
    return [record.getMessage() for record in log.records if record.name == "qorch.runs"]


class Listening(FakeBackend):
    """Notes what had been said when its first job came."""

    def __init__(self, log: pytest.LogCaptureFixture) -> None:
        """Charges, and takes two rows at a time."""
        super().__init__(capabilities=PAID, rows_in_job=2)
        self._log = log
        self.heard: list[list[str]] = []

    async def run(self, payload: Payload) -> RawResult:
        """See InProcessBackend."""
        self.heard.append(said(self._log))
        return await super().run(payload)


def test_a_paid_run_says_what_it_buys_first(store: MemoryStore, caplog: pytest.LogCaptureFixture) -> None:
    """One line before the first job, and no other; a resumed run says it only if it buys something itself."""
    backend = Listening(caplog)
    with start(store, backend) as run:
        run.execute(pub())
        run.execute(pub(5))
    [line] = said(caplog)
    assert backend.heard[0] == [line]
    assert "fake charges" in line
    assert "what this run costs is unknown" in line
    assert "3 executions (300 shots) in 2 jobs" in line
    assert "at the provider" in line
    caplog.clear()
    with start(store, Listening(caplog), resume=True) as run:
        run.execute(pub())
        run.execute(pub(5))
        assert said(caplog) == []
        run.execute(pub(1))
    assert "1 execution (100 shots) in 1 job;" in said(caplog)[0]


def test_a_free_run_says_nothing(store: MemoryStore, caplog: pytest.LogCaptureFixture) -> None:
    """There is nothing to warn of."""
    with start(store, FakeBackend()) as run:
        run.execute(pub())
    assert said(caplog) == []
