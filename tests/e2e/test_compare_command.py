"""`qorch compare` as a user types it."""

import csv
import signal
from typing import Any

import pytest

QUICK = """description = "nothing takes long"
[latencies]
network = { seconds = "0.001", source = "a test" }
queue = { seconds = "0.001", source = "a test" }
execution = { seconds = "0.001", source = "a test" }
"""
TINY = ("--limit", "40", "--batch-size", "16", "--shots", "20", "--seeds", "1")


def test_methods_are_compared_and_no_training_is_repeated(qorch: Any) -> None:
    """A document, a picture, a table of curves and one sentence; more seeds add trainings to those that are there."""
    command = ("compare", "digits", "--gradients", "parameter-shift,spsa", "--set", "spsa.epochs=3", "--epochs", "1")
    outcome = qorch(*command, *TINY, "--plot", "c.png", "--csv", "c.csv", "--json")
    assert outcome.code == 0, outcome.err
    document = outcome.document
    assert (document["metric"], document["direction"], document["seeds"]) == ("loss", "minimize", [0])
    shift, spsa = document["variants"]
    assert (shift["variant"], spsa["variant"]) == ("parameter-shift", "spsa")
    assert (shift["steps"], spsa["steps"]) == (2, 6)
    assert spsa["options"] == {"gradient": "spsa", "epochs": "3"}
    assert spsa["circuits"] < shift["circuits"]
    assert document["answer"].endswith("(one seed, which shows no interval).")
    assert set(document["curves"]) == {"circuits", "seconds"}
    assert (qorch.folder / "c.png").read_bytes().startswith(b"\x89PNG")
    with (qorch.folder / "c.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["variant"] for row in rows} == {"parameter-shift", "spsa"}
    wrong = qorch(*command, *TINY, "--metric", "fidelity")
    assert "no training logged 'fidelity'; logged were: loss, test_accuracy" in wrong.err
    assert wrong.code == 2
    more = qorch(*command, *TINY[:-1], "2")
    assert more.err.count("done before") == 2
    assert "(2 seeds, intervals of 95%)" in " ".join(more.out.split())


def test_a_comparison_that_was_killed_goes_on(qorch: Any) -> None:
    """After kill -9 the same command finishes it; what was done is not done again."""
    command = ("compare", "digits", "--over", "lr=0.05,0.2", "--epochs", "1", *TINY)
    process = qorch.start(*command)
    while process.poll() is None and not any(run["state"] == "done" for run in _runs(qorch)):
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    finished = {run["run"] for run in _runs(qorch) if run["state"] == "done"}
    outcome = qorch(*command, "--json")
    assert outcome.code == 0, outcome.err
    runs = _runs(qorch)
    assert len(runs) == 2
    assert finished <= {run["run"] for run in runs}
    assert outcome.err.count("done before") >= len(finished)
    assert outcome.document["seeds"] == [0]


def _runs(qorch: Any) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = qorch("runs", "--json").document["runs"]
    return runs


def test_backends_are_compared_with_their_money(qorch: Any) -> None:
    """A mock of a paid backend beside a simulator: what was spent is in the table, and is no axis, as one is free."""
    (qorch.folder / "quick.toml").write_text(QUICK)
    backends = "local,mock:ionq.qpu.forte-1,profile=quick.toml"
    outcome = qorch("compare", "digits", "--backends", backends, "--gradient", "spsa", "--epochs", "1", *TINY, "--json")
    assert outcome.code == 0, outcome.err
    local, mock = outcome.document["variants"]
    assert mock["variant"] == "mock:ionq.qpu.forte-1,profile=quick.toml"
    assert mock["spent"]["micros"] > local["spent"]["micros"] == 0
    assert mock["circuits"] == local["circuits"]
    assert set(outcome.document["curves"]) == {"circuits", "seconds"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--gradients", "spsa,none"), "there is no gradient 'none'"),
        (("--gradients", "spsa,exact", "--shots", "exact"), "shots"),
        (("--gradients", "spsa,exact", "--gradient", "exact"), "--gradient is given for all trials"),
        (("--backends", "local,aer", "--backend", "local"), "--backend is given for all trials"),
        (("--over", "layers=1,2"), "digits has no option 'layers'"),
        (("--set", "spsa.layers=2"), "digits has no option 'layers'"),
        (("--set", "spsa.budget=2"), "--budget cannot be swept"),
        (("--backends", "local,nowhere"), "nowhere"),
        (("--plot", "c.jpg"), "ends in .png or .svg"),
        (("--direction", "up"), "choose maximize or minimize"),
        (("--name", "a/b"), "is not a name for a run"),
    ],
)
def test_what_cannot_be_is_said_before_anything_starts(typed: Any, options: tuple[str, ...], said: str) -> None:
    """With one sentence, and nothing is written."""
    assert said in typed("compare", "digits", *options).error
    assert not typed.database.exists()
