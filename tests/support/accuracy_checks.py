"""The main job on a vendor's emulated service and on Aer: what a user types, and the accuracy that both reach."""

import json
import os
from pathlib import Path
from typing import Any

from forked import start_python
from vendors import Vendor

LONGEST_SECONDS = 3_000
"""An epoch on SV1 is some 19,000 tasks, which leave at 20 a second: at least 16 minutes."""


def train(folder: Path, backend: str, *options: str, environment: dict[str, str]) -> dict[str, Any]:
    """``qorch train digits`` as a process of its own; its JSON report."""
    command = ["train", "digits", "--backend", backend, "--json", *options, "--db", str(folder / "runs.db")]
    process = start_python("qorch.cli.main", command, cwd=folder, environment=os.environ | environment)
    out, err = process.communicate(timeout=LONGEST_SECONDS)
    assert process.returncode == 0, err
    document: dict[str, Any] = json.loads(out)
    return document


def compare_with_aer(
    vendor: Vendor, settings: Any, folder: Path, *options: str, target: str, least: float, slack: float
) -> dict[str, Any]:
    """Both classify as many of the test images, or nearly, with the same rows; every job is bought once.

    The emulator's books of the training.
    """
    with vendor.start(settings) as emulator:
        environment = vendor.environment(emulator.root)
        remote = train(folder, f"{vendor.name}:{target}", *options, environment=environment)
        truth: dict[str, Any] = dict(emulator.truth())
    local = train(folder, "aer", *options, environment={})
    jobs, calls = truth["jobs"], truth["calls"]
    accuracies = {name: run["metrics"]["test_accuracy"] for name, run in ((target, remote), ("aer", local))}
    print(f"{accuracies}, {len(jobs)} jobs, {remote['rows_executed']} rows, {remote['wall_seconds']:.0f} s, {calls}")
    assert min(accuracies.values()) >= least
    assert abs(accuracies[target] - accuracies["aer"]) <= slack
    assert remote["rows_executed"] == local["rows_executed"] == sum(int(job["rows"]) for job in jobs)
    assert len({job["key"] for job in jobs}) == len(jobs)
    assert remote["jobs_by_state"] == {"done": len(jobs)}
    assert remote["calls"]["submit"] == len(jobs)
    return truth
