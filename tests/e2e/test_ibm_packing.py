"""A gradient of 2,080 executions on IBM Quantum: one job, whatever the shots; its bytes and CPU time."""

from collections.abc import Callable
from pathlib import Path

import pytest
from ibm_vendor import DEVICE, IBM
from packing_checks import EXECUTIONS, measure_gradient, slack

pytestmark = [pytest.mark.serial, pytest.mark.flaky(reruns=2)]

MOST_BYTES = 40
"""Per execution: its parameters in a compressed array, of which most are those of the row before."""
MOST_CPU_MICROSECONDS = 100.0
"""Per packed execution, its durable row included, without polls, on a machine that is otherwise idle."""


@pytest.mark.parametrize("shots", [100, pytest.param(1024, marks=pytest.mark.soak)])
def test_a_gradient_is_one_job(shots: int, tmp_path: Path, slowness: Callable[[], float]) -> None:
    """2,080 executions are one POST, at a fraction of a millisecond each."""
    measured = measure_gradient(IBM, DEVICE, tmp_path, shots=shots, devices=DEVICE)
    assert [job["rows"] for job in measured.jobs] == [EXECUTIONS]
    assert measured.calls["by_route"]["POST /{base}/jobs"] == 2
    assert sum(measured.sent_bytes) < MOST_BYTES * EXECUTIONS
    assert measured.microseconds < slowness() * slack() * MOST_CPU_MICROSECONDS
