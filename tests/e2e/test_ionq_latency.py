"""cats-vs-dogs at its published latencies: packed, unpacked and as dependent steps, against an emulator process.

Latencies are scaled, the client's own time is not: what it adds to a real round trip of 3.45 s in the mean is bounded
in real seconds. `make soak` shows the long cases in real time.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from forked import start_python

pytestmark = [pytest.mark.serial, pytest.mark.flaky(reruns=2), pytest.mark.timeout(200)]

DRIVER = Path(__file__).parent / "ionq_latency_driver.py"
EXECUTE = "2.7..4.2"
MEAN_SECONDS = 3.45
WORKERS = 10
SCALE = 20
ROWS = 3840
JOBS_PER_STEP = 2
MOST_CPU_MICROSECONDS = 120.0
"""Per circuit, on a machine that is otherwise idle."""


def slack() -> float:
    """By how much the client's own time may exceed what an idle machine needs: more where others use this one, too."""
    return 1.5 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


@dataclass(frozen=True)
class Measured:
    """What the driver printed, and the emulator's books without the job that warmed it up."""

    driver: dict[str, Any]
    jobs: list[dict[str, Any]]

    @property
    def wall_seconds(self) -> float:
        """Of the circuits alone, without start and end of the process."""
        return float(self.driver["wall_seconds"])

    @property
    def busy_seconds(self) -> float:
        """Execution time of all jobs."""
        return sum(float(job["completed_at_unix"] - job["started_at_unix"]) for job in self.jobs)

    @property
    def microseconds_per_row(self) -> float:
        """CPU time of the client's process per circuit."""
        return float(1e6 * self.driver["cpu_seconds"] / self.driver["rows"])

    def trips(self, per_step: int) -> list[float]:
        """Of every step, the seconds from its first POST's arrival until its last job is done."""
        steps = [self.jobs[at : at + per_step] for at in range(0, len(self.jobs), per_step)]
        return [
            max(job["completed_at_unix"] for job in step) - min(job["received_at_unix"] for job in step)
            for step in steps
        ]


@contextmanager
def emulator_process(*options: str) -> Iterator[str]:
    """``qorch emulate ionq`` as a process of its own, so that its CPU time is not the client's; its URL."""
    command = ["emulate", "ionq", "--json", *options]
    process = start_python("qorch.cli.main", command, cwd=Path.cwd(), environment=os.environ)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.kill()
        process.communicate(timeout=30)


def measure(folder: Path, *arguments: str, scale: float, seconds: float = 180.0) -> Measured:
    """Run the driver against an emulator of the published latencies."""
    with emulator_process("--execute", EXECUTE, "--workers", str(WORKERS), "--time-scale", str(scale)) as url:
        kind, count, *options = arguments
        done = subprocess.run(
            [sys.executable, str(DRIVER), kind, count, str(folder / "latency.db"), *options],
            env=os.environ | {"IONQ_API_URL": url, "IONQ_API_KEY": "dummy"},
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        assert done.returncode == 0, done.stderr
        books = httpx.get(url.replace("/v0.4", "/_emulator/jobs")).json()["jobs"]
    driver = json.loads(done.stdout)
    measured = Measured(driver, books[driver["warm_jobs"] :])
    show(measured)
    return measured


def show(measured: Measured) -> None:
    """What `pytest -s` prints."""
    lags, jobs = measured.driver["unseen_seconds"], len(measured.jobs)
    print(
        f"{measured.driver['rows']} rows, {jobs} jobs, wall {measured.wall_seconds:.2f} s, CPU"
        f" {measured.microseconds_per_row:.0f} µs a row, {measured.driver['calls']['poll'] / jobs:.1f} polls a job,"
        f" unseen {sum(lags) / len(lags):.3f} s a job, {measured.driver['calls']}"
    )


def test_packed_rows_take_one_trip(tmp_path: Path, slowness: Callable[[], float]) -> None:
    """3,840 independent circuits leave as three jobs; in real time they would take far less than 60 s."""
    measured = measure(tmp_path, "rows", str(ROWS), scale=SCALE)
    assert len(measured.jobs) == 3
    (trip,) = measured.trips(3)
    assert SCALE * trip + (measured.wall_seconds - trip) < 60.0
    assert measured.microseconds_per_row < slowness() * slack() * MOST_CPU_MICROSECONDS


def test_unpacked_rows_keep_all_workers_busy(tmp_path: Path) -> None:
    """One circuit per job, ten at a time, latencies five times as fast: hardly longer than the jobs themselves."""
    count = 80
    measured = measure(tmp_path, "rows", str(count), "rows=1", f"jobs={WORKERS}", scale=5)
    assert len(measured.jobs) == count
    # At the beginning jobs are sent one by one, and at the end workers run out of jobs: two executions at most.
    ideal = measured.busy_seconds / WORKERS
    assert measured.wall_seconds < (1.0 + 0.1 * slack()) * ideal + 2 * MEAN_SECONDS / 5


def test_dependent_steps_add_little_to_their_trips(tmp_path: Path, slowness: Callable[[], float]) -> None:
    """Eight steps of 2,592 rows, two jobs side by side: what the client adds to each is small beside a real trip."""
    steps = 8
    measured = measure(tmp_path, "steps", str(steps), scale=SCALE)
    assert len(measured.jobs) == JOBS_PER_STEP * steps
    added = (measured.wall_seconds - sum(measured.trips(JOBS_PER_STEP))) / steps
    print(f"{added:.3f} s are added to each trip")
    # What is added is work: 250 µs of CPU a row on a slow machine, beside the emulator's.
    assert added < slowness() * slack() * 0.1 * MEAN_SECONDS
    assert measured.driver["calls"]["poll"] <= 12 * len(measured.jobs)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_real_time(tmp_path: Path) -> None:
    """125 dependent steps take 125 round trips and a tenth; 3,840 packed rows less than a minute."""
    packed = measure(tmp_path, "rows", str(ROWS), scale=1.0)
    steps = measure(tmp_path, "steps", "125", scale=1.0, seconds=700.0)
    assert packed.wall_seconds < 60.0
    assert steps.wall_seconds < 1.1 * sum(steps.trips(JOBS_PER_STEP))
    assert packed.microseconds_per_row < MOST_CPU_MICROSECONDS
