"""`qorch sweep` killed at any moment and started again: no finished trial and no stored row is executed again."""

import json
import random
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from train_process import start

from qorch.ports.clock import WallClock
from qorch.stores import open_store
from qorch.sweeps.stored_trial import StoredTrial, read_trials

TINY = ("--limit", "40", "--epochs", "1", "--batch-size", "16", "--shots", "exact", "--parallel", "1")
"""One at a time: trials that work at once on this machine may both execute a row that neither has stored yet."""
FEW, TWELVE = ("--grid", "lr=0.01,0.05,0.1"), ("--grid", "lr=0.01:0.02:0.05:0.1,seed=0:1:2")
LIMIT_SECONDS = 120.0


def sweep(db: Path, *grid: str) -> dict[str, Any]:
    """Run a sweep to its end; its document."""
    process = start(db, "sweep", "digits", *grid, *TINY, "--json")
    output, errors = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 0, errors
    document: dict[str, Any] = json.loads(output)
    return document


def finished(db: Path) -> list[StoredTrial]:
    """The trials that are done."""
    if not db.exists():
        return []
    with closing(open_store(str(db), clock=WallClock())) as store:
        return [trial for trial in read_trials(store, "digits-sweep") if trial.is_done]


def stored_rows(db: Path) -> list[tuple[str, bytes]]:
    """What each stored row is, of all trials, with repetitions: by the measurement, and the row's own key."""
    with closing(open_store(str(db), clock=WallClock())) as store:
        return [
            (block.measurement_digest.hex(), key.tobytes())
            for run in store.runs()
            for position in sorted({job.position for job in store.jobs(run.run_id)})
            for block in store.blocks_at(run.run_id, position)
            for key in block.rows.keys
        ]


def killed_sweep(db: Path, *grid: str, n_done: int, seconds: float = 0.0) -> list[StoredTrial]:
    """Start a sweep, kill it once so many trials are done and some time has passed; the trials that were done."""
    process = start(db, "sweep", "digits", *grid, *TINY)
    deadline = time.monotonic() + LIMIT_SECONDS
    while len(finished(db)) < n_done and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(seconds)
    process.kill()
    process.communicate(timeout=LIMIT_SECONDS)
    return finished(db)


def check_resumed(db: Path, before: list[StoredTrial], document: dict[str, Any]) -> None:
    """All trials are done, the finished ones as they were, and no row was executed twice."""
    after = {trial.run_name: trial for trial in finished(db)}
    assert {trial["state"] for trial in document["trials"]} == {"done"}
    assert all(after[trial.run_name] == trial for trial in before)
    rows = stored_rows(db)
    assert len(rows) == len(set(rows)) > 0


def test_a_killed_sweep_goes_on(tmp_path: Path) -> None:
    """What was done stays as it was, what was not is trained, and more values add trials to it."""
    db = tmp_path / "killed.db"
    before = killed_sweep(db, *FEW, n_done=1)
    assert before
    document = sweep(db, *FEW)
    assert len(document["trials"]) == 3
    check_resumed(db, before, document)
    first = finished(db)
    more = sweep(db, "--grid", "lr=0.01,0.05,0.1,0.5")
    assert len(more["trials"]) == 4
    check_resumed(db, first, more)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
def test_twelve_trials_killed_often(tmp_path: Path, seed: int) -> None:
    """Twelve trials, killed at three random moments: their metrics are those of the sweep left alone."""
    whole = sweep(tmp_path / "whole.db", *TWELVE)
    moments = random.Random(seed)
    db = tmp_path / "killed.db"
    for _ in range(3):
        before = killed_sweep(db, *TWELVE, n_done=moments.randrange(11), seconds=moments.uniform(0.0, 0.5))
    document = sweep(db, *TWELVE)
    check_resumed(db, before, document)
    assert _metrics(document) == _metrics(whole)
    assert len(stored_rows(db)) == len(stored_rows(tmp_path / "whole.db"))


def _metrics(document: dict[str, Any]) -> dict[str, Any]:
    return {trial["trial"]: trial["metrics"] for trial in document["trials"]}
