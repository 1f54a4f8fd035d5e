"""The main job on the emulated service: what a user types, and the accuracy that Aer reaches."""

import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
from forked import start_python

from qorch_providers.emulators.ionq import Settings, start

LEAST_ACCURACY = 0.95


def train(folder: Path, backend: str, *options: str, environment: dict[str, str]) -> dict[str, Any]:
    """``qorch train digits`` as a process of its own; its JSON report."""
    command = ["train", "digits", "--backend", backend, "--json", *options, "--db", str(folder / "runs.db")]
    process = start_python("qorch.cli.main", command, cwd=folder, environment=os.environ | environment)
    out, err = process.communicate(timeout=280)
    assert process.returncode == 0, err
    document: dict[str, Any] = json.loads(out)
    return document


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("epochs", "images"),
    [(1, ("--limit", "160", "--batch-size", "16")), pytest.param(5, (), marks=pytest.mark.soak)],
    ids=["160", "all"],
)
def test_digits_reaches_aers_accuracy(epochs: int, images: tuple[str, ...], tmp_path: Path) -> None:
    """Both classify 19 of 20 test images or more, with the same rows; every step is one or two POSTs."""
    with start() as emulator:
        environment = {"IONQ_API_URL": emulator.url, "IONQ_API_KEY": "dummy"}
        size = ("--epochs", str(epochs), *images)
        remote = train(tmp_path, "ionq:simulator", *size, environment=environment)
        jobs, calls = emulator.jobs(), emulator.truth()["calls"]["by_route"]
    local = train(tmp_path, "aer", *size, environment={})
    accuracies = {name: run["metrics"]["test_accuracy"] for name, run in (("ionq", remote), ("aer", local))}
    print(f"{accuracies}, {len(jobs)} jobs, {remote['rows_executed']} rows")
    assert min(accuracies.values()) >= LEAST_ACCURACY
    assert abs(accuracies["ionq"] - accuracies["aer"]) <= 0.03
    assert remote["rows_executed"] == local["rows_executed"] == sum(int(str(job["rows"])) for job in jobs)
    # Rows of training steps fill two POSTs at most, those of the test images after each epoch one.
    assert len(jobs) <= 2 * remote["steps"] + epochs
    assert len({job["key"] for job in jobs}) == len(jobs)
    # The report counts the very requests that arrived.
    assert remote["calls"]["submit"] == len(jobs)
    assert sum(remote["calls"].values()) == sum(calls.values())


@pytest.mark.parametrize("options", ["gateset=native,noise=aria-1,seed=3", "version=v0.3"])
def test_a_short_training_on_every_kind_of_wire(options: str, tmp_path: Path) -> None:
    """Native gates, a noise model and the older protocol, with a few faults thrown in: one step, every job once."""
    with start(Settings(faults="post:reset-after@1,results:500@1")) as emulator:
        environment = {"IONQ_API_URL": emulator.root, "IONQ_API_KEY": "dummy"}
        size = ("--limit", "20", "--epochs", "1", "--batch-size", "10")
        report = train(tmp_path, f"ionq:simulator,settle=0.2,{options}", *size, environment=environment)
        assert report["steps"] == 1
        assert report["jobs_by_state"] == {"done": len(emulator.jobs())}
        books = httpx.get(f"{emulator.root}/_emulator/jobs").json()["jobs"]
    assert len({job["key"] for job in books}) == len(books)
    assert report["spend"] == {"currency": "USD", "micros": 0}
