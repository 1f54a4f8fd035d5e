"""Training loops of a user killed with `kill -9` and run again: every logged number and every bit of the weights."""

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from qorch.ports.clock import WallClock
from qorch.stores import open_store

HERE = Path(__file__).parent
README = HERE.parents[1] / "README.md"


@dataclass
class Lives:
    """One program, whose lives are forks of one process; what became of a database."""

    process: subprocess.Popen[str]
    folder: Path
    kills: int = field(default=0)

    def __call__(self, name: str, **killed: float) -> dict[str, Any]:
        """One life on the database of that name."""
        life = {
            "program": str(self.folder / "program.py"),
            "db": str(self.folder / f"{name}.db"),
            "out": str(self.folder / f"{name}.sha"),
            **killed,
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(life) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert answer["code"] in ({0, -9} if killed else {0})
        self.kills += answer["code"] == -9
        return answer

    def outcome(self, name: str) -> dict[str, Any]:
        """All that was logged, the epochs of all steps, and the final weights."""
        with closing(open_store(str(self.folder / f"{name}.db"), clock=WallClock())) as store:
            (run,) = store.runs()
            logged = [(m.step, m.ordinal, m.epoch, m.name, m.value) for m in store.metrics(run.run_id)]
            steps = [(step.step, step.epoch) for step in store.steps(run.run_id)]
            assert all(step.begun_at and step.begun_at <= step.ended_at for step in store.steps(run.run_id))
        return {"logged": logged, "steps": steps, "weights": (self.folder / f"{name}.sha").read_text()}


@pytest.fixture(scope="module")
def parent() -> Iterator[subprocess.Popen[str]]:
    """The process of which all lives are forks."""
    command = [sys.executable, str(HERE / "program_lives.py")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "QORCH_WORKERS": "1"}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)
    yield process
    process.kill()
    process.communicate(timeout=60)


@pytest.fixture
def lives_of(parent: subprocess.Popen[str], tmp_path: Path) -> Callable[[str], Lives]:
    """The lives of a program, which is given as its text."""

    def write(source: str) -> Lives:
        (tmp_path / "program.py").write_text(source)
        return Lives(parent, tmp_path)

    return write


def campaign(lives: Lives, *, kills: int, seed: int) -> None:
    """Kill trainings at so many random moments in all, finish each, and compare it with the one left alone."""
    lives("whole")  # the first life of a machine compiles kernels
    expected = lives.outcome("whole")
    seconds, moments, number = lives("timed")["seconds"], random.Random(seed), 0
    assert lives.outcome("timed") == expected
    while lives.kills < kills:
        number += 1
        name = f"killed-{number}"
        while lives.kills < kills and lives(name, kill_seconds=moments.uniform(0.1, 0.8) * seconds)["code"]:
            pass
        lives(name)
        assert lives.outcome(name) == expected, (name, lives.kills)


def test_every_number_and_bit_survives_kills(lives_of: Callable[[str], Lives]) -> None:
    """Validation per epoch, early stopping and a final test: as without the kills, and every number has its epoch."""
    lives = lives_of((HERE / "early_stopping.py").read_text())
    campaign(lives, kills=3, seed=1)
    logged = lives.outcome("whole")["logged"]
    assert logged[0][:4] == (-1, 0, None, "val/accuracy")
    assert logged[-1][3] == "best_epoch"
    last_epoch = logged[-1][2]
    assert last_epoch - logged[-1][4] == 2, "it did not stop early"
    assert [item[2] for item in logged if item[3] == "val/loss"] == list(range(last_epoch + 1))
    assert sum(item[3] == "train/loss" for item in logged) == 4 * (last_epoch + 1)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_every_number_and_bit_survives_twenty_kills(lives_of: Callable[[str], Lives]) -> None:
    """The same, with 20 kills."""
    campaign(lives_of((HERE / "early_stopping.py").read_text()), kills=20, seed=2)


def test_the_loop_of_the_readme_is_reproducible(lives_of: Callable[[str], Lives]) -> None:
    """Copied as it stands: run twice, or killed and run again, it logs the same numbers and ends with the same bits."""
    source = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)[0]
    lives = lives_of(source)
    for name in ("first", "second"):
        lives(name)
    assert lives.outcome("first") == lives.outcome("second")
    for kill_log in (4, 11):
        assert lives("killed", kill_log=kill_log)["code"] == -9
    lives("killed")
    assert lives.outcome("killed") == lives.outcome("first")
