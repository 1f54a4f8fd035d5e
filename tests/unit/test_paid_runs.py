"""What a run says, asks and keeps to when it pays: budgets that hold, or are refused before it begins; its prices."""

import datetime
from contextlib import nullcontext
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from qiskit.circuit import Parameter, QuantumCircuit

import qorch
from qorch.config import read_config
from qorch.errors import BudgetError, ConfigError, MoneyError, UnknownPriceError
from qorch.limits import booked_card, check_budgets
from qorch.model.budget import Budget
from qorch.model.job import Payload, RawResult
from qorch.model.ledger import LedgerBalance
from qorch.model.money import Money
from qorch.model.prices.card import Certainty, PriceCard, UnitPrices
from qorch.planning.pricing import Cost
from qorch.ports.clock import WallClock
from qorch.prices import load_prices
from qorch.run.resources import Progress
from qorch.run.totals import total_money
from qorch.testing.conformance.store_records import make_run
from qorch.testing.fakes.backend import FREE, FakeBackend
from qorch.testing.fakes.provider import FakeProvider
from qorch.testing.fakes.remote import FakeRemote
from qorch.testing.fakes.store import MemoryStore
from qorch_providers.ibm import open_backend

PAID = replace(FREE, charges=True)
FIVE = Money("USD", 5_000_000)


def quiet(progress: Progress) -> None:
    """Shows nothing."""


class NoonClock(WallClock):
    """A clock on which no day ends."""

    def now(self) -> datetime.datetime:
        """See Clock."""
        return datetime.datetime(2026, 11, 30, 12, tzinfo=datetime.UTC)


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


def test_a_free_backend_takes_a_budget(store: MemoryStore) -> None:
    """It is stored, as before, and nothing is said; one that is no amount is refused everywhere."""
    with start(store, FakeBackend(), budget="5 USD") as run:
        run.execute(pub())
    assert store.runs()[0].budget_micros == FIVE.micros
    with pytest.raises(MoneyError):
        start(store, FakeBackend(), budget="five dollars")


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
    assert "or with --budget" in line
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


EURO = 1_000_000
"""In micro-units. A job of 100 shots costs 1.60 EUR by the minimum, one of 200 shots 2.50 EUR."""


def balance(store: MemoryStore) -> tuple[int, int]:
    """What is reserved and spent, in micro-units."""
    balances = store.ledger_balances()
    return sum(each.reserved_micros for each in balances), sum(each.spent_micros for each in balances)


@pytest.mark.usefixtures("priced")
def test_the_wall(store: MemoryStore) -> None:
    """A call beyond the budget raises BudgetError; nothing of it leaves, and a larger budget resumes the run there."""
    backend = FakeBackend(capabilities=PAID, rows_in_job=2)

    def work(**settings: Any) -> None:
        with start(store, backend, resume=True, **settings) as run:
            for step in range(3):
                with run.step(step):
                    run.execute(pub(2))

    with pytest.raises(BudgetError, match=r"of this run \(6\.00 EUR\) has 5\.00 EUR spent") as refused:
        work(budget="6 EUR")
    assert str(refused.value).endswith(f'start_run("{store.runs()[0].run_id}", ..., resume=True, budget="7.50 EUR")')
    assert (len(backend.submitted), store.runs()[0].state, balance(store)) == (2, "stopped", (0, 5 * EURO))
    with pytest.raises(BudgetError, match=r"\(6\.00 EUR\)"):
        work()
    with pytest.raises(BudgetError, match=r"\(4\.00 EUR\) has 5\.00 EUR spent"):
        work(budget="4 EUR")
    assert (len(backend.submitted), store.runs()[0].budget) == (2, Money("EUR", 4 * EURO))
    work(budget=Money("EUR", 7_500_000))
    assert (len(backend.submitted), store.runs()[0].state, balance(store)) == (3, "done", (0, 7_500_000))


@pytest.mark.usefixtures("priced")
def test_a_budget_can_be_dropped(store: MemoryStore) -> None:
    """With the word none, for good; a run that was started without may be given one."""
    backend = FakeBackend(capabilities=PAID)
    with pytest.raises(BudgetError), start(store, backend, budget="1 EUR") as run:
        run.execute(pub(1))
    with start(store, backend, budget="none", resume=True) as run:
        run.execute(pub(1))
    assert store.runs()[0].budget is None
    with start(store, backend, budget="2 EUR", resume=True) as run:
        run.execute(pub(1))
        with pytest.raises(BudgetError, match=r"1\.60 EUR spent"):
            run.execute(pub(1))


@pytest.mark.usefixtures("priced")
def test_a_budget_of_another_currency_is_refused(store: MemoryStore) -> None:
    """Before anything is opened or written, with the currency of the prices; also if the run has it from before."""
    backend = FakeBackend(capabilities=PAID)
    for budget in ("5 USD", FIVE):
        with pytest.raises(MoneyError, match=r"of this run \(5\.00 USD\) cannot be kept on fake, .* in EUR"):
            start(store, backend, budget=budget)
    assert (backend.submitted, store.runs()) == ([], [])
    start(store, backend).close()
    store.write([replace(store.runs()[0], budget_micros=FIVE.micros, currency="USD")]).result()
    with pytest.raises(MoneyError, match=r"give the limit in EUR"):
        start(store, backend, resume=True)
    start(store, backend, resume=True, budget="none").close()


def test_a_budget_needs_known_prices(store: MemoryStore) -> None:
    """To accept an unknown price is no answer to the question what is left of a budget."""
    backend = FakeBackend(capabilities=PAID)
    with pytest.raises(UnknownPriceError, match=r"5\.00 USD\) cannot be kept on fake, .* budget='none'"):
        start(store, backend, budget="5 USD")
    assert (backend.submitted, store.runs()) == ([], [])


def test_a_session_that_is_billed_by_its_time_takes_no_budget() -> None:
    """What it costs is not known before, nor afterwards, so that no budget can be kept; jobs alone have a price."""
    environment = {"QISKIT_IBM_TOKEN": "x", "QISKIT_IBM_INSTANCE": "y", "HOME": "/nonexistent"}
    card = load_prices(read_config()).find("ibm:ibm_fez")
    assert card is not None
    for mode, is_kept in (("session", False), ("batch", True)):
        backend = open_backend(f"ibm_fez,mode={mode}", clock=WallClock(), environment=environment)
        assert booked_card(backend, card).is_known is is_kept
        refusal = nullcontext() if is_kept else pytest.raises(UnknownPriceError, match="billed by its time")
        with refusal:
            check_budgets(backend, booked_card(backend, card), [Budget(limit=FIVE, run_id="r")])


@pytest.mark.parametrize(
    "budget", ["nan", "-5 USD", "1e999", "1e999 USD", "5", "inf USD", "", 5, True, Money("USD", -5)]
)
def test_what_is_no_amount_is_refused(store: MemoryStore, budget: Any) -> None:
    """A cap that compares as nothing else does would be none: only finite amounts with a currency, on any backend."""
    with pytest.raises(MoneyError):
        start(store, FakeBackend(), budget=budget)
    assert store.runs() == []


SCOPES = """
[[budgets]]
name = "night"
limit = "4 EUR"
per = "day"
runs = "pa*"

[[budgets]]
name = "elsewhere"
limit = "0 EUR"
backend = "ionq"

[[budgets]]
name = "all"
limit = "100 EUR"
"""


def test_scopes_count_all_runs_of_their_day(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What was spent before a scope was written counts; what covers other runs does not; the line names those that do.

    At 80 % one line says so, and never again.
    """
    file = tmp_path / "config.toml"
    monkeypatch.setenv("QORCH_CONFIG", str(file))
    file.write_text(CARD)
    backend = FakeBackend(capabilities=PAID)
    with start(store, backend, clock=NoonClock()) as run:
        run.execute(pub(1))
    file.write_text(CARD + SCOPES)
    caplog.clear()
    with start(store, backend, cache="off", clock=NoonClock()) as run:
        run.execute(pub(1))
        with pytest.raises(BudgetError, match=rf"'night' \(4.00 EUR a day; {file}, line 10\) has 3.20 EUR spent"):
            run.execute(pub(1))
    run = start(store, backend, cache="off", clock=NoonClock())
    with run, pytest.raises(BudgetError, match=r"or wait until 2026-12-01 \(UTC\)"):
        run.execute(pub(1))
    first, second = said(caplog)
    assert {"'night'" in first, "'all'" in first, "'elsewhere'" in first} == {True, False}
    assert "no budget" not in first
    assert second.startswith("80 % of the budget 'night'") or first.startswith("80 % of the budget 'night'")


def test_a_scope_that_cannot_be_kept_is_refused(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that covers the run, with its file and line; any other is no concern of it."""
    (tmp_path / "config.toml").write_text(CARD + SCOPES.replace("100 EUR", "100 USD"))
    monkeypatch.setenv("QORCH_CONFIG", str(tmp_path / "config.toml"))
    backend = FakeBackend(capabilities=PAID)
    with pytest.raises(MoneyError, match=r"'all' \(100\.00 USD; .*config\.toml, line 21\) cannot be kept on fake"):
        start(store, backend)
    with start(store, FakeBackend(name="gratis")) as run:
        run.execute(pub(1))
    (tmp_path / "config.toml").write_text(SCOPES)
    with pytest.raises(UnknownPriceError, match="'night'"):
        start(store, backend, accept_unknown_price=True)


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


@pytest.mark.parametrize(
    ("currencies", "spent"), [((), Money("USD", 0)), (("USD",), Money("USD", 7)), (("USD", "EUR"), None)]
)
def test_the_money_of_a_run_at_work(currencies: tuple[str, ...], spent: Money | None) -> None:
    """Nothing booked is nothing spent, in the card's currency; amounts in several currencies are no sum, and not 0."""
    run = replace(make_run("r"), charges=True)
    today = run.created_at.date()
    balances = [LedgerBalance(run.run_id, run.name, run.backend, "", today, each, 0, 7) for each in currencies]
    card = PriceCard(
        backends=(run.backend,), currency="USD", certainty=Certainty.PUBLISHED, source="a test", date=None,
        prices=UnitPrices(shot=Decimal("0.01")),
    )  # fmt: skip
    assert total_money(run, balances, card=card).spent == spent


@pytest.mark.usefixtures("priced")
def test_the_spend_of_a_session_that_is_billed_by_its_time_is_not_known(store: MemoryStore) -> None:
    """Nothing is booked of its jobs, so that the progress line says unknown, and not that nothing was spent."""
    clock, seen = WallClock(), list[Progress]()
    for bills_sessions in (False, True):
        remote = FakeRemote(FakeProvider(clock), clock, capabilities=PAID, name="fake")
        remote.terms = replace(remote.terms, bills_sessions=bills_sessions)
        with (
            qorch.start_run("r", backend=remote, db=store, progress=seen.append, accept_unknown_price=True) as run,
            run.step(0),
        ):
            run.execute(pub(1))
    assert [progress.spend for progress in seen] == [Money("EUR", 1_600_000), None]
