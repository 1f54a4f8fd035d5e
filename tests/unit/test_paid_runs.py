"""What a run says and asks before it pays: budgets that nothing enforces are refused, and so are unknown prices."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qiskit.circuit import Parameter, QuantumCircuit

import qorch
from qorch.errors import ConfigError, MoneyError, UnknownPriceError, UsageError
from qorch.model.job import Payload, RawResult
from qorch.model.money import Money
from qorch.planning.pricing import Cost
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
    accepted = {"accept_unknown_price": True} | settings
    return qorch.start_run("paid", backend=backend, db=store, progress=quiet, **accepted)


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
    assert "what this run costs, which is not known." in line
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


CARD = """[[prices.card]]
backends = ["fake"]
certainty = "exact"
source = "a contract"
date = 2026-10-01
currency = "EUR"
prices = { job = 0.5, shot = 0.01 }
minimums = { job = 1.6 }
"""


@pytest.fixture
def priced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A contract about the fake, in the user's configuration file."""
    (tmp_path / "config.toml").write_text(CARD)
    monkeypatch.setenv("QORCH_CONFIG", str(tmp_path / "config.toml"))


def test_an_unknown_price_has_to_be_accepted(store: MemoryStore) -> None:
    """A backend that charges and has no card is refused before anything is opened or written; it is not free."""
    backend = FakeBackend(capabilities=PAID)
    with pytest.raises(
        UnknownPriceError, match=r"fake charges, and its price is not known .* accept_unknown_price=True"
    ):
        start(store, backend, accept_unknown_price=False)
    assert (backend.submitted, store.runs()) == ([], [])
    with start(store, backend) as run:
        quote = run.quote(pub())
    assert (quote.jobs, quote.cost) == (1, None)
    assert str(quote) == "3 executions (300 shots) in 1 job: an unknown price"


@pytest.mark.usefixtures("priced")
def test_a_run_quotes_what_it_would_buy(store: MemoryStore, caplog: pytest.LogCaptureFixture) -> None:
    """By the user's own prices, job by job with the minimum; what is stored is not bought; a quote buys nothing."""
    backend = FakeBackend(capabilities=PAID, rows_in_job=2)
    with start(store, backend, accept_unknown_price=False, cache="reuse") as run:
        quote = run.quote(pub())
        assert (quote.jobs, quote.executions, quote.shots, quote.from_cache) == (2, 3, 300, 0)
        # One job of 200 shots, and one of 100, which is below the minimum.
        assert quote.cost == Cost("EUR", 4_100_000, 4_100_000, 4_100_000)
        assert (backend.submitted, said(caplog)) == ([], [])
        run.execute(pub(2))
        assert "what this run costs: 2.50 EUR for its first call, by exact prices of 2026-10-01." in said(caplog)[0]
        again = run.quote(pub())
        assert (again.jobs, again.executions, again.from_cache) == (1, 1, 2)
        assert again.cost == Cost("EUR", 1_600_000, 1_600_000, 1_600_000)
        nothing = run.quote(pub(2))
        assert (nothing.jobs, nothing.cost) == (0, Cost("EUR"))


def test_a_wrong_configuration_file_stops_a_run(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on a free backend: nobody should find out later that his prices were never read."""
    (tmp_path / "config.toml").write_text(CARD.replace("0.01", "-1"))
    monkeypatch.setenv("QORCH_CONFIG", str(tmp_path / "config.toml"))
    with pytest.raises(ConfigError, match=r"config\.toml, line 7: shot is -1"):
        start(store, FakeBackend())
