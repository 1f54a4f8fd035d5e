"""Processes that buy at once on one database: together they never exceed a budget, and use all of it."""

import json
import os
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from budget_driver import JOB_MICROS
from forked import start_python

from qorch.ports.clock import WallClock
from qorch_jobs_db import open_store

DRIVER = Path(__file__).parents[1] / "support" / "budget_driver.py"


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("processes", "calls", "most_jobs", "rounds"),
    [(3, 6, 7, 1), pytest.param(8, 20, 50, 100, marks=pytest.mark.soak)],
)
def test_processes_never_exceed_a_budget(
    tmp_path: Path, processes: int, calls: int, most_jobs: int, rounds: int
) -> None:
    """As many jobs are accepted as the budget covers, and not one more; other calls are refused; the books agree."""
    environment = os.environ | {"PYTHONPATH": str(DRIVER.parent)}
    buyers = [
        start_python(str(DRIVER), cwd=tmp_path, environment=environment, stdin=subprocess.PIPE)
        for _ in range(processes)
    ]
    overshoots = []
    try:
        for number in range(rounds):
            database = str(tmp_path / f"{number}.db")
            with closing(open_store(database, clock=WallClock())) as store:
                for index, buyer in enumerate(buyers):
                    assert buyer.stdin is not None
                    buyer.stdin.write(json.dumps([database, f"run-{index}", calls, most_jobs]) + "\n")
                    buyer.stdin.flush()
                told = [json.loads(buyer.stdout.readline()) for buyer in buyers if buyer.stdout is not None]
                balances = store.ledger_balances()
            accepted = sum(each["accepted"] for each in told)
            assert sum(each["done"] for each in told) == accepted
            assert sum(each["refused"] for each in told) == processes * calls - accepted
            assert sum(each.spent_micros for each in balances) == accepted * JOB_MICROS
            assert sum(each.reserved_micros for each in balances) == 0
            overshoots.append(accepted - most_jobs)
    finally:
        for buyer in buyers:
            buyer.kill()
            buyer.communicate(timeout=60)
    print(f"{processes} processes × {calls} calls, {rounds} runs: overshoot {max(overshoots)}, {min(overshoots)}")
    assert set(overshoots) == {0}
