"""The main job on the emulated service of Amazon Braket: what a user types, and the accuracy that Aer reaches."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from braket_vendor import BRAKET, FREE
from forked import start_python

from qorch_providers.emulators.braket import start

FEW = ("--limit", "20", "--shots", "100", "--batch-size", "8")
"""Of four test images, one is 0.25."""
MOST_SECONDS = 3_000
"""An epoch on SV1 is some 19,000 tasks, which leave at 20 a second: at least 16 minutes."""


def train(folder: Path, backend: str, *options: str, environment: dict[str, str]) -> dict[str, Any]:
    """``qorch train digits`` as a process of its own; its JSON report."""
    command = ["train", "digits", "--backend", backend, "--json", *options, "--db", str(folder / "runs.db")]
    process = start_python("qorch.cli.main", command, cwd=folder, environment=os.environ | environment)
    out, err = process.communicate(timeout=MOST_SECONDS)
    assert process.returncode == 0, err
    document: dict[str, Any] = json.loads(out)
    return document


def compare(folder: Path, target: str, *options: str, least: float, slack: float) -> None:
    """Both classify as many of the test images, or nearly, with the same rows; every task is bought once."""
    with start(FREE) as emulator:
        environment = BRAKET.environment(emulator.root)
        remote = train(folder, f"braket:{target}", *options, environment=environment)
        jobs, calls = emulator.jobs(), emulator.truth()["calls"]
    local = train(folder, "aer", *options, environment={})
    accuracies = {name: run["metrics"]["test_accuracy"] for name, run in ((target, remote), ("aer", local))}
    print(f"{accuracies}, {len(jobs)} tasks, {remote['rows_executed']} rows, {calls}")
    assert min(accuracies.values()) >= least
    assert abs(accuracies[target] - accuracies["aer"]) <= slack
    assert remote["rows_executed"] == local["rows_executed"] == sum(int(str(job["rows"])) for job in jobs)
    assert len({job["client_token"] for job in jobs}) == len(jobs)
    assert remote["jobs_by_state"] == {"done": len(jobs)}
    assert remote["calls"]["submit"] == len(jobs)


@pytest.mark.timeout(600)
def test_digits_on_a_machine_reaches_aers_accuracy(tmp_path: Path) -> None:
    """A few images on Garnet, in program sets."""
    compare(tmp_path, "garnet", *FEW, "--epochs", "1", least=0.5, slack=0.3)


@pytest.mark.soak
@pytest.mark.timeout(MOST_SECONDS + 300)
@pytest.mark.parametrize("target", ["garnet", "sv1"])
def test_digits_reaches_aers_accuracy(target: str, tmp_path: Path) -> None:
    """An epoch of all images, in program sets and as a task for each row: 19 of 20 test images."""
    compare(tmp_path, target, "--epochs", "1", least=0.95, slack=0.05)
