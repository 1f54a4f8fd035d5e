"""Mocks: what their names say, and what they take from the backend that they stand for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qorch.backends import plan_offline
from qorch.config import read_config
from qorch.engine.spending import describe_purchase
from qorch.errors import ConfigError, QorchError
from qorch.model.backend_name import mocked_name, name_mock
from qorch.model.budget import Budget
from qorch.model.job import JobRequest
from qorch.model.money import Money, parse_money
from qorch.model.prices.book import decide_price
from qorch.planning.budgets import Buyer, RunBudgets
from qorch.planning.quoting import no_quote
from qorch.ports.backend import Backend, Mocks, OfflinePlanner
from qorch.ports.clock import WallClock
from qorch.prices import load_prices
from qorch.testing.conformance.backend import block_of, entangled_pair
from qorch_providers.mock import MockBackend, open_backend

PAIRS = [
    ("mock:ionq.qpu.forte-1", "ionq:qpu.forte-1"),
    ("mock:ionq.simulator", "ionq:simulator"),
    ("mock:braket.garnet,rows=7", "braket:garnet,rows=7"),
    ("mock:ibm.ibm_fez,seed=2,max_time=60", "ibm:ibm_fez,max_time=60"),
]
SCOPE = Budget(limit=Money("USD", 10**6), name="lab")


def planner_of(name: str) -> OfflinePlanner:
    """What plans for a backend."""
    return plan_offline(name, config=read_config(), clock=WallClock())


def mock_of(options: str) -> MockBackend:
    """A mock that is not open."""
    return open_backend(options, clock=WallClock(), workers=1)


@pytest.mark.parametrize(("mock", "real"), PAIRS)
def test_a_mock_plans_and_costs_as_the_real_one(mock: str, real: str) -> None:
    """Capabilities, packing, usage and price card are the same, whoever asks."""
    planner, own, opened = planner_of(real), planner_of(mock), mock_of(mock.removeprefix("mock:"))
    gates = entangled_pair()
    block = block_of(gates, np.ones((3, gates.n_columns)), shots=100)
    request = JobRequest("r/0.0.0", (block,))
    assert own.capabilities == planner.capabilities
    assert replace(opened.capabilities, max_qubits=0, max_shots=0) == replace(
        planner.capabilities, max_qubits=0, max_shots=0
    )
    for each in (own, opened):
        assert each.measure(request) == planner.measure(request)
        rows = each.rows_per_job(gates, block.measurement, shots=100)
        assert rows == planner.rows_per_job(gates, block.measurement, shots=100)
    book = load_prices(read_config())
    assert decide_price(mock, charges=True, book=book) == decide_price(real, charges=True, book=book)
    assert opened.encode(request, key="0" * 64).usage == planner.measure(request)


def test_a_mock_is_named_after_its_backend() -> None:
    """With the options of it; a mock has no mock but itself."""
    assert name_mock("braket:garnet,rows=7") == "mock:braket.garnet,rows=7"
    assert mocked_name(name_mock("ionq:QPU.forte-1,rows=7")) == "ionq:qpu.forte-1"
    assert name_mock("mock:cloud") == "mock:cloud"


def test_a_mock_of_nobody_costs_nothing() -> None:
    """Its limits are the profile's, and its price is none."""
    backend: Backend = mock_of("cloud")
    assert isinstance(backend, Mocks)
    assert not backend.capabilities.charges
    assert decide_price("mock:cloud,jobs=3", charges=False, book=load_prices(read_config())).is_free
    assert (backend.capabilities.max_rows_per_job, mocked_name("mock:cloud")) == (1_000, None)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("", "write the backend's name with a dot"),
        ("garnet", "write the backend's name with a dot"),
        ("aer.x", "runs on this machine"),
        ("braket.local", "runs on this machine"),
        ("mock.cloud", "cannot be mocked"),
        ("nope.x", "no backend 'nope' that could be mocked"),
        ("cloud,columns=3", "no option 'columns=3'"),
        ("ionq.qpu.forte-1,nonsense=1", "no option 'nonsense=1'"),
        ("ionq.qpu.forte-1,seed=-1", "must be a whole number"),
        ("ionq.qpu.forte-1,depolarizing=2", "depolarizing"),
        ("ibm.ibm_fez,resilience=1", "leave out resilience="),
    ],
)
def test_what_cannot_be_mocked_is_refused(options: str, complaint: str) -> None:
    """Before anything is opened, with what to write instead."""
    with pytest.raises(QorchError, match=complaint):
        mock_of(options)


def test_a_profile_of_ones_own_is_read(tmp_path: Path) -> None:
    """By its path; a wrong one is refused with its line, and so is one without limits for a mock of nobody."""
    file = tmp_path / "own.toml"
    file.write_text('description = "mine"\n[facts]\nsource = "I"\nmost_jobs = 7\n')
    backend = mock_of(f"ionq.simulator,profile={file}")
    assert (backend.profile.description, backend.terms.most_jobs) == ("mine", 7)
    assert mock_of(f"ionq.simulator,jobs=3,profile={file}").terms.most_jobs == 3
    with pytest.raises(QorchError, match=r"own\.toml does not have: add a table \[limits\]"):
        mock_of(f"cloud,profile={file}")
    file.write_text('description = "mine"\nbackend = "x"\n')
    with pytest.raises(ConfigError, match=r"own\.toml, line 2: 'backend' is not known here"):
        mock_of(f"ionq.simulator,profile={file}")


@pytest.mark.parametrize(
    ("backend", "mock", "real"),
    [("", False, True), ("ionq:qpu", False, True), ("mock", True, False), ("mock:ionq.qpu", True, False)],
)
def test_only_budgets_that_name_mocks_cover_them(backend: str, mock: bool, real: bool) -> None:
    """What a mock would have cost never counts in a scope of real backends."""
    scope = replace(SCOPE, backend=backend)
    for name, account, is_covered in (
        ("mock:ionq.qpu.forte-1,seed=1", "mock", mock),
        ("ionq:qpu.forte-1", "digest", real),
    ):
        assert scope.covers(run_id="r", run_name="r", backend=name, account=account) is is_covered


def test_a_run_s_own_budget_holds_on_a_mock() -> None:
    """As on the real backend: that is what a dry run is for."""
    own = Budget(limit=parse_money("1 USD"), run_id="r")
    assert own.covers(run_id="r", run_name="r", backend="mock:ionq.qpu.forte-1", account="mock")


def test_the_notice_says_that_nothing_is_charged() -> None:
    """And what the real backend would charge."""
    backend = mock_of("ionq.qpu.forte-1")
    card = decide_price(backend.name, charges=True, book=load_prices(read_config()))
    budgets = RunBudgets((), Buyer("r", "r", backend.name, "mock"))
    line = describe_purchase(backend, no_quote(card), budgets)
    assert "is a mock: nothing is sent, and nothing is charged. ionq:qpu.forte-1 would charge: 0.00 USD" in line
