"""`qorch quote` as a user types it: without a key, without a network, and true."""

import re
import socket
from pathlib import Path
from typing import Any

import pytest

from qorch_providers.emulators.ionq import Settings, start

README = Path(__file__).parents[2] / "README.md"
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
    rows = {name: method["rows"] - 8 for name, method in document["methods"].items()}
    samples = document["steps_per_epoch"] * 16
    assert rows == {"spsa": 3 * samples, "finite-difference": (1 + 64) * samples, "sampled-shift": (1 + 16) * samples}
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


@pytest.mark.usefixtures("alone")
def test_the_table_of_the_readme_is_what_is_quoted(typed: Any) -> None:
    """`cats-vs-dogs` on each real machine, packed and not, by SPSA and with fewer shots: whole dollars, rounded up."""
    rows = [line.strip("| ").split(" | ") for line in README.read_text().splitlines() if re.match(r"\| `\w+:", line)]
    names = [re.findall("`(.+)`", row[0])[0] for row in rows]
    assert len(names) == 5
    backends = [argument for name in names for argument in ("--backend", name)]

    def ask(*options: str) -> list[dict[str, Any]]:
        quotes: list[dict[str, Any]] = typed("quote", "cats-vs-dogs", *backends, *options, "--json").document["quotes"]
        return quotes

    def dollars(part: dict[str, Any]) -> str:
        return f"{-(-part['spend']['micros'] // 10**6):,}"

    for row, full, fewer in zip(rows, ask(), ask("--shots", "128"), strict=True):
        parts = (full["step"], full["epoch"], full, full["unpacked"], full["methods"]["spsa"])
        assert row[1:] == list(map(dollars, (*parts, fewer, fewer["methods"]["spsa"])))
    assert 3840 * 1024 * 80_000 + 3840 * 300_000 == 315_724_800_000


def test_the_provider_itself_is_asked(typed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --live its estimate of all planned jobs stands beside the card's price, and none is sent."""
    gates = "gate1=0.00022,gate2=0.000975,minimum=12.4166,mitigated=97.5"
    arguments = ("quote", "digits", *typed.small, "--backend", "ionq:qpu.forte-1", "--live")
    with start(Settings(price=gates)) as emulator:
        monkeypatch.setenv("IONQ_API_URL", emulator.url)
        monkeypatch.setenv("IONQ_API_KEY", "dummy")
        document = typed(*arguments, "--json").document
        assert "the provider itself estimates" in typed(*arguments).out
        assert emulator.jobs() == []
    assert document["live"]["spend"] == document["spend"]


def test_live_estimates_need_a_key_and_a_provider_that_has_them(typed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence says what is missing."""
    monkeypatch.delenv("IONQ_API_KEY", raising=False)
    arguments = ("quote", "digits", *typed.small, "--live")
    assert "IONQ_API_KEY" in typed(*arguments, "--backend", "ionq:qpu.forte-1").error
    assert "local estimates no costs" in typed(*arguments, "--backend", "local").error
    assert "name them with --backend" in typed(*arguments).error
