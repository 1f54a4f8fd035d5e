"""A gradient of 2,080 executions on Braket: as few tasks as program sets allow, else one each; its bytes and CPU."""

from collections.abc import Callable
from pathlib import Path

import pytest
from braket_vendor import BRAKET
from packing_checks import EXECUTIONS, measure_gradient, slack

pytestmark = [pytest.mark.serial, pytest.mark.flaky(reruns=2)]

MOST_EXECUTABLES = 100
MOST_CPU_MICROSECONDS = 150.0
"""Per packed execution, its durable row included, without polls, on a machine that is otherwise idle."""


@pytest.mark.parametrize("shots", [100, pytest.param(1024, marks=pytest.mark.soak)])
def test_a_gradient_fills_program_sets(shots: int, tmp_path: Path, slowness: Callable[[], float]) -> None:
    """2,080 executions are 21 tasks on Garnet, each of one program, at a fraction of a millisecond each."""
    measured = measure_gradient(BRAKET, "garnet", tmp_path, shots=shots)
    assert len(measured.jobs) == -(-EXECUTIONS // MOST_EXECUTABLES)
    assert sum(job["rows"] for job in measured.jobs) == EXECUTIONS
    assert max(job["rows"] for job in measured.jobs) <= MOST_EXECUTABLES
    assert measured.microseconds < slowness() * slack() * MOST_CPU_MICROSECONDS


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_gradient_is_one_task_an_execution_on_a_simulator(tmp_path: Path) -> None:
    """2,080 tasks on SV1, at the pace of the quota: 20 a second, and never refused."""
    measured = measure_gradient(BRAKET, "sv1", tmp_path, shots=100)
    assert [job["rows"] for job in measured.jobs] == [1] * EXECUTIONS
    assert measured.calls["by_status"].get("429", 0) <= 1
    arrivals = [job["received_at_unix"] for job in measured.jobs]
    assert arrivals[-1] - arrivals[0] < 1.3 * EXECUTIONS / 20
