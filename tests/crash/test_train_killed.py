"""`qorch train` killed at any moment and resumed: the same weights to the bit, and no stored row computed again."""

import json
import random
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
from train_process import start

from qorch.ports.clock import WallClock
from qorch.stores import open_store

SMALL = ["--limit", "40", "--epochs", "3", "--batch-size", "8", "--shots", "256", "--seed", "3"]


def finish(db: Path, *arguments: str) -> dict[str, object]:
    """Run to the end and return the JSON document."""
    process = start(db, *arguments, "--json")
    output, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    document: dict[str, object] = json.loads(output)
    return document


def stored_positions(db: Path) -> list[tuple[int, int, int, int]]:
    """(step, call, group, row) of every stored row, with repetitions."""
    store = open_store(str(db), clock=WallClock())
    try:
        (run,) = store.runs()
        calls = {job.position for job in store.jobs(run.run_id)}
        return [
            (position.step, position.call, block.rows.group, int(row))
            for position in sorted(calls)
            for block in store.blocks_at(run.run_id, position)
            for row in block.rows.indices
        ]
    finally:
        store.close()


def training(db: Path, backend: str) -> list[str]:
    """The command that starts the training, or goes on with it where it was started."""
    if db.exists() and _has_run(db):
        return ["train", "digits", "--resume", "digits"]
    return ["train", "digits", "--backend", backend, *SMALL]


def run_killed(db: Path, backend: str, seconds: float) -> bool:
    """Start a training, or go on with it, and kill it after so long; whether it was still running."""
    process = start(db, *training(db, backend))
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    process.communicate()
    return process.returncode != 0


def _has_run(db: Path) -> bool:
    try:
        with sqlite3.connect(f"file:{db}?mode=ro", uri=True) as connection:
            return bool(connection.execute("SELECT COUNT(*) FROM runs").fetchone()[0])
    except sqlite3.OperationalError:
        return False


def run_whole(db: Path, backend: str) -> tuple[dict[str, object], int, float]:
    """The result, the stored rows and the seconds of the same training left alone."""
    start(db, "--version").communicate()  # the first of all forks waits for its server
    started = time.monotonic()
    document = finish(db, *training(db, backend))
    return document, len(stored_positions(db)), time.monotonic() - started


def campaign(folder: Path, backend: str, *, kills: int, seed: int) -> None:
    """Kill a training so often at random moments, finish it, and compare it with the one left alone."""
    expected, n_rows, seconds = run_whole(folder / "whole.db", backend)
    db = folder / "killed.db"
    moments = random.Random(seed)
    for _ in range(kills):
        run_killed(db, backend, moments.uniform(0.3, 1.0) * seconds)
    document = finish(db, *training(db, backend))
    assert document["weights_sha256"] == expected["weights_sha256"]
    assert document["metrics"] == expected["metrics"]
    positions = stored_positions(db)
    assert len(positions) == len(set(positions)) == n_rows
    with sqlite3.connect(db) as connection:
        assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)


@pytest.mark.parametrize("backend", ["aer", "local"])
def test_killed_and_resumed(tmp_path: Path, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training killed twice ends with the very weights of the uninterrupted one."""
    monkeypatch.setenv("QORCH_WORKERS", "1")  # each worker takes longer to start than a training
    campaign(tmp_path, backend, kills=2, seed=1)


def test_killed_and_resumed_while_results_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Free results that no resume needs go all the while, and the weights are those of a run that keeps them."""
    kept = run_whole(tmp_path / "kept.db", "local")
    monkeypatch.setenv("QORCH_KEEP_FREE", "0")
    killed_and_trimmed(tmp_path, kept, kills=2, seed=3)


def killed_and_trimmed(folder: Path, kept: tuple[dict[str, object], int, float], *, kills: int, seed: int) -> None:
    """Kill a training that keeps next to nothing, finish it, and compare it with the one that kept all."""
    expected, _, seconds = kept
    db, moments = folder / "trimmed.db", random.Random(seed)
    for _ in range(kills):
        run_killed(db, "local", moments.uniform(0.3, 0.9) * seconds)
    document = finish(db, *training(db, "local"))
    assert document["weights_sha256"] == expected["weights_sha256"]
    assert document["metrics"] == expected["metrics"]
    positions = stored_positions(db)
    assert len(positions) == len(set(positions)) < int(str(document["rows_executed"]))
    with sqlite3.connect(db) as connection:
        assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)


@pytest.mark.soak
@pytest.mark.parametrize("bound", ["0", "100KB"])
def test_killed_often_while_results_are_deleted(tmp_path: Path, bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, twenty times in one training."""
    kept = run_whole(tmp_path / "kept.db", "local")
    monkeypatch.setenv("QORCH_KEEP_FREE", bound)
    killed_and_trimmed(tmp_path, kept, kills=20, seed=17)


@pytest.mark.soak
@pytest.mark.parametrize("backend", ["aer", "local"])
@pytest.mark.parametrize("seed", range(10))
def test_killed_often(tmp_path: Path, backend: str, seed: int) -> None:
    """The same, over and over, at other moments."""
    campaign(tmp_path, backend, kills=5, seed=100 + seed)
