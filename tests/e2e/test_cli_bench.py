"""`qorch bench` as a user runs it, on its smallest shape."""

import pytest

from tests.e2e.conftest import CommandLine


@pytest.mark.serial
@pytest.mark.flaky(reruns=2)
def test_bench_compares_with_a_peer(qorch: CommandLine) -> None:
    """Rates of qorch and a peer come from one run, with the ratio to the best peer and the environment."""
    outcome = qorch.run_afresh(
        "bench", "--shapes", "W1", "--rounds", "3", "--backends", "aer", "--peers", "aer-binds", "--json"
    )
    assert outcome.code == 0, outcome.err
    rates = {rate["contender"]: rate for rate in outcome.document["rates"]}
    assert rates["aer-binds"]["ratio"] == 1.0
    assert rates["aer"]["ratio"] == pytest.approx(rates["aer"]["median"] / rates["aer-binds"]["median"])
    assert rates["aer"]["n_rows"] == 164
    assert rates["aer"]["ratio"] > 2.0
    assert outcome.document["environment"]["packages"]["qorch"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--shapes", "W9"), "choose from W1 to W5"),
        (("--peers", "magic"), "there is no peer 'magic'"),
        (("--kinds", "magic"), "there is no kind 'magic'"),
        (("--backends", "local, nonsense"), "there is no backend 'nonsense'"),
    ],
)
def test_unknown_names(qorch: CommandLine, arguments: tuple[str, str], words: str) -> None:
    """What cannot be measured is named in one line, with exit code 2."""
    outcome = qorch("bench", *arguments)
    assert outcome.code == 2
    assert words in outcome.error


def test_a_backend_that_fails_is_in_the_exit_code(qorch: CommandLine) -> None:
    """Its row says why; the others are measured, with blanks around their names, and no peer that was not asked for."""
    arguments = ("--shapes", "W1", "--rounds", "1", "--kinds", "gradient", "--peers", "none", "--json")
    outcome = qorch("bench", *arguments, "--backends", "local, aer")
    assert outcome.code == 1
    rates = {rate["contender"]: rate["error"] for rate in outcome.document["rates"]}
    assert rates == {"local": None, "aer": "UsageError: aer has no exact gradients"}
