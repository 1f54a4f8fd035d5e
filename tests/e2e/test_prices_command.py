"""`qorch prices`, and trainings on backends whose price is not known, as a user types them."""

from pathlib import Path
from typing import Any

import pytest

CONTRACT = """[prices]
plans = { ibm = "flex" }

[[prices.card]]
backends = ["ionq:qpu.*"]
certainty = "exact"
source = "contract 42"
date = 2026-10-01
currency = "EUR"
prices = { two_qubit_gate_shot = 0.0000005 }
note = "until May"
"""


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration file with a contract and a plan."""
    file = tmp_path / "config.toml"
    file.write_text(CONTRACT)
    monkeypatch.setenv("QORCH_CONFIG", str(file))
    return file


def test_prices_lists_every_card(typed: Any) -> None:
    """With source and age; nothing that is unknown is shown as free, and no key and no SDK is needed."""
    outcome = typed("prices")
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    (garnet,) = (line for line in lines if line.startswith("braket:garnet "))
    assert "USD 0.30 a job + 0.00145 a shot" in garnet
    assert "2026-11-20 (" in garnet
    (unknown,) = (line for line in lines if "braket:emerald" in line)
    assert "not known" in unknown
    assert "free" not in unknown
    assert [line.split()[0] for line in lines if "  free  " in line][-2:] == ["local,", "mock:cloud"]
    assert "own prices: " in outcome.err


def test_ones_own_prices_apply(typed: Any, configured: Path) -> None:
    """What applies to a backend, where it was read, and how old it is; the others are still qorch's."""
    own, ibm, unknown = typed("prices", "ionq:qpu.forte-1", "ibm:ibm_fez", "braket:dm1", "--json").document["prices"]
    assert (own["backend"], own["currency"], own["is_own"]) == ("ionq:qpu.forte-1", "EUR", True)
    assert own["prices"] == {"two_qubit_gate_shot": "0.0000005"}
    assert own["origin"] == f"{configured}, line 4"
    assert own["age_days"] >= 0
    assert (ibm["plan"], ibm["prices"], ibm["is_own"]) == ("flex", {"minute": "72"}, False)
    assert (unknown["is_known"], unknown["prices"], unknown["currency"]) == (False, None, None)
    shown = typed("prices", "ionq:qpu.forte-1")
    assert "yours: contract 42" in shown.out
    assert "ionq:qpu.forte-1: until May" in shown.out


def test_a_backend_that_nobody_has_is_refused(typed: Any) -> None:
    """As everywhere else."""
    assert "there is no backend 'nonsense'" in typed("prices", "nonsense").error


def test_a_wrong_configuration_file_is_refused_with_its_line(typed: Any, configured: Path) -> None:
    """By every command that needs it, and before anything is written; others do without it."""
    configured.write_text(CONTRACT.replace('"EUR"', '"euros"'))
    for command in (("prices",), ("train", "digits", *typed.small)):
        refused = typed(*command)
        assert refused.code == 2
        assert f"{configured}, line 9: currency is 'euros'" in refused.error
    assert not typed.database.exists()
    assert typed("runs").code == 0
    checks = {each["name"]: each for each in typed("doctor", "--json").document["checks"]}
    assert checks["configuration"]["status"] == "fail"
    assert "line 9: currency is 'euros'" in checks["configuration"]["message"]


def test_an_unknown_price_has_to_be_accepted(typed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`qorch train` says so before it asks the provider anything; with the option it goes on to do so."""
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    command = ("train", "digits", *typed.small, "--backend", "braket:dm1")
    refused = typed(*command)
    assert refused.code == 2
    assert "braket:dm1 charges, and its price is not known (not in the price list" in refused.error
    assert "--accept-unknown-price" in refused.error
    monkeypatch.setattr("qorch.wiring.start_run", lambda *_, **settings: 1 / settings["accept_unknown_price"] / 0)
    assert "ZeroDivisionError" in typed(*command, "--accept-unknown-price").err
