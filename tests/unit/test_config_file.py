"""The configuration file: where it is, what it holds, and how a wrong one is refused."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from qorch.config import default_config_file, read_config
from qorch.config_file import read_config_file
from qorch.errors import ConfigError
from qorch.model.budget import BudgetPeriod
from qorch.model.money import Money
from qorch.model.prices.card import UnitPrices
from qorch.prices import load_prices

OWN = """[prices]
plans = { ibm = "flex" }

[[prices.card]]
backends = ["ionq:qpu.*"]
certainty = "exact"
source = "contract 42"
date = 2026-10-01
currency = "EUR"
prices = { two_qubit_gate_shot = 0.0005 }
"""


def write(folder: Path, text: str | bytes) -> Path:
    """A configuration file."""
    path = folder / "qorch.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_own_prices_and_plans_apply(tmp_path: Path) -> None:
    """QORCH_CONFIG names the file; its cards come before all others."""
    book = load_prices(read_config({"QORCH_CONFIG": str(write(tmp_path, OWN))}))
    card = book.find("ionq:qpu.forte-1")
    assert card is not None
    assert (card.currency, card.prices) == ("EUR", UnitPrices(two_qubit_gate_shot=Decimal("0.0005")))
    assert card.origin.endswith("qorch.toml, line 4")
    ibm = book.find("ibm:ibm_fez")
    assert ibm is not None
    assert ibm.plan == "flex"


def test_there_need_be_no_file(tmp_path: Path) -> None:
    """In the user's config folder there may be none, or an empty one; a file that is named must be there."""
    assert read_config({}).file == default_config_file()
    assert read_config_file(tmp_path / "none.toml", must_exist=False).cards == ()
    assert read_config_file(write(tmp_path, ""), must_exist=True).cards == ()
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read: No such file"):
        load_prices(read_config({"QORCH_CONFIG": str(tmp_path / "none.toml")}))
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_prices(read_config({"QORCH_CONFIG": str(tmp_path)}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (OWN.replace("[prices]", "[pirces]"), "line 1: 'pirces' is not known here; there are prices, budgets$"),
        (OWN.replace("plans", "palns"), "line 2: 'palns' is not known here; there are plans, card$"),
        (OWN.replace("flex", "gold"), "line 2: there is no plan 'gold'; there are flex, open, pay-as-you-go, premium"),
        (OWN.replace("ibm", "ionq", 1), "line 2: there is no plan 'flex'; no backend of 'ionq' has plans"),
        (OWN.replace("0.0005", "-0.0005"), "line 10: two_qubit_gate_shot is -0.0005"),
        (OWN.replace('"flex" }', '"flex"'), "line 2: "),
        (b"# \n# \xff\n", "line 2: it is not UTF-8"),
        (b"#" * 1_000_001, "has 1,000,001 bytes"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(tmp_path: Path, text: str | bytes, said: str) -> None:
    """Nothing in it is guessed at or passed over."""
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=rf"qorch\.toml.* {said}"):
        load_prices(read_config({"QORCH_CONFIG": str(path)}))


BUDGET = """
[[budgets]]
name = "lab"
limit = "500 USD"
"""


def test_budgets_are_scopes(tmp_path: Path) -> None:
    """Each with its limit, what it covers, and the line where it stands."""
    more = 'per = "month"\nbackend = "ionq:qpu"\naccount = "ionq:1"\nruns = "digits-*"\n'
    first, second = read_config_file(
        write(tmp_path, BUDGET + BUDGET.replace("lab", "night") + more), must_exist=True
    ).budgets
    assert (first.name, first.limit, first.per, first.backend, first.runs) == (
        "lab",
        Money("USD", 5 * 10**8),
        None,
        "",
        "",
    )
    assert second == replace(
        first, name="night", per=BudgetPeriod.MONTH, backend="ionq:qpu", account="ionq:1", runs="digits-*",
        origin=f"{tmp_path / 'qorch.toml'}, line 6",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BUDGET.replace('"500 USD"', "500"), "line 4: Expected `str`"),
        (BUDGET.replace("500 USD", "500"), "line 4: limit: '500' has no currency"),
        (BUDGET.replace("500 USD", "nan USD"), "line 4: limit: 'nan USD' is not an amount"),
        (BUDGET.replace("500 USD", "1e999 USD"), "line 4: limit: .* at most a thousand million"),
        (BUDGET.replace("500 USD", "-5 USD"), "line 4: limit: .* at least 0"),
        (BUDGET.replace("limit", "limits"), "line 4: 'limits' is not known here; there are name, limit, per"),
        ("[[budgets]]\nname = 'lab'\n", "line 1: Object missing required field `limit`"),
        (BUDGET.replace("lab", " "), "line 3: name is ' '"),
        (BUDGET + 'per = "week"\n', "line 5: per is 'week'; write one of day, month"),
        (BUDGET + 'runs = ""\n', "line 5: runs is ''; .* leave it out"),
        (BUDGET + BUDGET, "line 7: there are two budgets of the name 'lab'"),
    ],
)
def test_a_wrong_budget_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """With the file and the line: a limit that is not read would hold nothing back."""
    with pytest.raises(ConfigError, match=said):
        read_config_file(write(tmp_path, text), must_exist=True)
