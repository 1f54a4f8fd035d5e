"""Budgets as a user meets them: a training that stops at the wall, and goes on; what is refused before it begins."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from qorch.model.money import Money
from qorch_providers.emulators.ionq import start

TRAINING = ("--limit", "20", "--batch-size", "5", "--epochs", "1", "--shots", "10", "--backend", "ionq:qpu.forte-1")
"""Three steps of a job each, and one for the test images."""


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A provider, and the environment that leads there."""
    with start() as running:
        monkeypatch.setenv("IONQ_API_URL", running.url)
        monkeypatch.setenv("IONQ_API_KEY", "dummy")
        yield running


def money_of(typed: Any, run: str) -> tuple[Decimal, Decimal]:
    """What a run has spent and reserved, in US dollars."""
    document = typed("show", run, "--json").document
    return Decimal(document["spent"]["micros"]) / 10**6, Decimal(document["reserved"]["micros"]) / 10**6


def test_the_wall_is_a_clean_stop(typed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 3 and one line that says how to go on; with a larger budget the run ends as one without a wall."""
    monkeypatch.setenv("IONQ_API_KEY", "dummy")
    with start() as emulator:
        monkeypatch.setenv("IONQ_API_URL", emulator.url)
        whole = typed("train", "digits", *TRAINING, "--name", "whole", "--json").document
    cost, reserved = money_of(typed, "whole")
    assert cost > 0
    assert reserved == 0
    wall = round(cost / 2, 2)
    with start() as emulator:
        monkeypatch.setenv("IONQ_API_URL", emulator.url)
        stopped = typed("train", "digits", *TRAINING, "--name", "walled", "--budget", f"{wall} USD")
        assert (stopped.code, stopped.out) == (3, "")
        [error] = [line for line in stopped.err.splitlines() if "more than is left" in line]
        assert error == stopped.err.splitlines()[-1]
        assert f"the budget of this run ({Money('USD', int(wall * 10**6))})" in error
        run = typed("runs", "--json").document["runs"][0]
        assert (run["name"], run["state"], run["budget"]) == (
            "walled",
            "stopped",
            {"currency": "USD", "micros": wall * 10**6},
        )
        assert f"qorch train digits --resume {run['run']} --budget" in error
        spent, reserved = money_of(typed, "walled")
        assert 0 < spent <= wall
        assert reserved == 0
        before = len(emulator.jobs())
        again = typed("train", "digits", "--resume", run["run"])
        assert (again.code, len(emulator.jobs())) == (3, before)
        ended = typed("train", "digits", "--resume", run["run"], "--budget", "5000 USD", "--json").document
        assert len(emulator.jobs()) == whole["jobs"]
    assert ended["weights_sha256"] == whole["weights_sha256"]
    assert ended["metrics"] == whole["metrics"]
    assert money_of(typed, "walled") == (cost, 0)
    assert typed("show", "walled", "--json").document["budget"]["micros"] == 5000 * 10**6


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ("nan", "'nan' is not an amount of money"),
        ("-5 USD", "'-5 USD' must be an amount of at least 0"),
        ("1e999", "'1e999' has no currency"),
        ("1e999 USD", "must be at most a thousand million"),
        ("5", "'5' has no currency"),
        ("5 EUR", r"the budget of this run (5.00 EUR) cannot be kept on ionq:qpu.forte-1, whose prices are in USD"),
    ],
)
def test_a_budget_that_cannot_be_kept_is_refused(typed: Any, emulator: Any, budget: str, said: str) -> None:
    """Exit code 2 and one sentence; nothing is sent, and no database is made."""
    refused = typed("train", "digits", *TRAINING, f"--budget={budget}")
    assert refused.code == 2
    assert said in refused.error
    assert emulator.truth()["calls"]["by_route"] == {}
    assert not typed.database.exists()


def test_an_unknown_price_and_a_budget_do_not_go_together(typed: Any, emulator: Any) -> None:
    """Accepting the price does not help, as nobody could count what is left."""
    Path("config.toml").write_text(
        '[[prices.card]]\nbackends = ["ionq:*"]\ncertainty = "unknown"\nsource = "a letter"\ndate = 2026-11-30\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QORCH_CONFIG", "config.toml")
        refused = typed("train", "digits", *TRAINING, "--budget", "5 USD", "--accept-unknown-price")
    assert refused.code == 2
    assert "whose price is not known (a letter)" in refused.error
    assert emulator.truth()["calls"]["by_route"] == {}


def test_a_free_backend_takes_any_budget(typed: Any) -> None:
    """It has no effect there, and nothing is spent."""
    assert typed("train", "digits", *typed.small, "--budget", "0 EUR", "--json").code == 0
    run = typed("runs", "--json").document["runs"][0]
    assert run["budget"] == {"currency": "EUR", "micros": 0}
    assert run["spent"] == run["reserved"] == {"currency": "USD", "micros": 0}
    assert typed("runs", "--filter", "budget=0 EUR", "--json").document["runs"] == [run]
    assert typed("runs", "--filter", "spent>0", "--json").document["runs"] == []
    assert "0.00 EUR" in typed("runs", "--csv").out
    assert "money: 0.00 USD spent, 0.00 USD reserved, of a budget of 0.00 EUR" in typed("show", run["run"]).out
