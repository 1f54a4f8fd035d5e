"""`qorch quote` as a user types it: without a key, without a network, and true."""

import socket
from typing import Any

import pytest

KEYS = ("IONQ_API_KEY", "QISKIT_IBM_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_REGION", "AWS_DEFAULT_REGION")
MONEY = ("spend", "spend_low", "spend_high")


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No keys, and no connection that can be made."""

    def refuse(*_: object) -> None:
        raise AssertionError("a quote asks nobody")

    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_a_quote_is_what_the_training_executes(typed: Any) -> None:
    """Jobs and executions of the whole run, on a backend that is there to compare with."""
    quote = typed("quote", "digits", *typed.small, "--backend", "local", "--json").document
    trained = typed("train", "digits", *typed.small, "--json").document
    assert (quote["rows"], quote["jobs"]) == (trained["rows_executed"], trained["jobs"])
    assert quote["epochs"] * quote["steps_per_epoch"] == trained["steps"]
    assert quote["spend"] == trained["spend"] == {"currency": "USD", "micros": 0}


@pytest.mark.usefixtures("alone")
def test_one_backend_in_full(typed: Any) -> None:
    """Per step, epoch and run, with the prices and what was assumed; money is integer micro-units."""
    arguments = ("quote", "digits", *typed.small, "--backend", "braket:garnet")
    document = typed(*arguments, "--json").document
    step, epoch = document["step"], document["epoch"]
    assert step["rows"] == 16 * (1 + 2 * 32)
    assert step["jobs"] == -(-step["rows"] // 100)
    assert step["spend"] == {"currency": "USD", "micros": step["jobs"] * 300_000 + step["shots"] * 1450}
    assert epoch["rows"] == document["steps_per_epoch"] * step["rows"] + 8
    assert {name: document[name] for name in ("jobs", "rows", "shots", *MONEY)} == {
        name: epoch[name] for name in ("jobs", "rows", "shots", *MONEY)
    }
    assert document["is_exact"]
    assert document["unpacked"]["jobs"] == document["rows"]
    assert document["unpacked"]["spend"]["micros"] > document["spend"]["micros"]
    assert document["methods"]["spsa"]["rows"] == document["steps_per_epoch"] * 16 * 3 + 8
    assert document["price"]["certainty"] == "published"
    shown = typed(*arguments).out
    assert "digits on braket:garnet: 1 epoch of 2 steps, 1,024 shots a row" in shown
    assert "program sets of 100 executables" in shown
    assert "one circuit a job: 2,088 jobs" in shown


@pytest.mark.usefixtures("alone")
def test_all_backends_in_one_table(typed: Any) -> None:
    """Each card's backends are compared; what is not known is not shown as nothing; estimates have their interval."""
    quotes = {each["backend"]: each for each in typed("quote", "digits", *typed.small, "--json").document["quotes"]}
    assert {"local", "ionq:qpu.forte-1", "braket:forte-1", "braket:emerald", "ibm:ibm_fez"} <= set(quotes)
    assert {each["problem"] for each in quotes.values()} == {None}
    assert [quotes["braket:emerald"][name] for name in MONEY] == [None] * 3
    low, expected, high = (quotes["ibm:ibm_fez"][name]["micros"] for name in ("spend_low", "spend", "spend_high"))
    assert low < expected < high
    assert quotes["ionq:qpu.forte-1"]["is_exact"]
    assert quotes["ionq:qpu.forte-1"]["jobs"] == 3
    lines = typed("quote", "digits", *typed.small).out.splitlines()
    (unknown,) = (line for line in lines if line.startswith("braket:emerald"))
    assert "not known" in unknown
    assert "0.00" not in unknown


@pytest.mark.usefixtures("alone")
def test_what_cannot_be_is_named(typed: Any) -> None:
    """In the table as a note; as an error if it is the one backend that was asked for."""
    exact = ("quote", "digits", *typed.small, "--shots", "exact")
    pair = typed(*exact, "--backend", "ionq:qpu.forte-1", "--backend", "local", "--json").document["quotes"]
    assert "no exact" in pair[0]["problem"]
    assert (pair[1]["problem"], pair[1]["shots_per_row"]) == (None, None)
    assert "no exact" in typed(*exact, "--backend", "ionq:qpu.forte-1").error
    assert "no exact" in typed(*exact, "--backend", "ionq:qpu.forte-1", "--backend", "local").out
    for others in ((), ("--backend", "local")):
        assert "there is no backend 'nonsense'" in typed("quote", "digits", *others, "--backend", "nonsense").error
    twice = typed("quote", "digits", *typed.small, "--backend", "local", "--backend", "local", "--json").document
    assert twice["backend"] == "local"
    assert "choose one of: digits" in typed("quote", "nonsense").error
    assert "did you mean --epochs?" in typed("quote", "digits", "--epoch", "3").error
    assert "write the workload before" in typed("quote", "--classes", "3,6", "digits").error
