"""Braket's documented quotas of calls over real HTTP: kept by the emulator's own books, and used."""

from dataclasses import replace
from pathlib import Path

import pytest
from braket_vendor import BRAKET, FREE
from watched_runs import check_values, watched_run, work_of

from qorch_providers.emulators.braket.settings import QUOTAS

CREATED_PER_SECOND, CREATED_AT_ONCE = 20, 40


@pytest.mark.parametrize(
    ("tasks", "scale"), [(100, 2), pytest.param(1000, 1, marks=[pytest.mark.soak, pytest.mark.timeout(600)])]
)
def test_quotas_are_kept_and_used(tasks: int, scale: int, tmp_path: Path) -> None:
    """So many tasks on SV1 leave at 20 a second after 40 at once; at most one answer of each kind is a refusal."""
    settings = replace(FREE, quotas=QUOTAS, time_scale=float(scale), execute="0.1..0.3")
    with (
        BRAKET.start(settings) as emulator,
        watched_run(BRAKET, emulator, tmp_path, options="sv1", scale=scale) as watched,
    ):
        check_values(watched.run.execute(work_of(tasks))[0])
        watched.check_submissions(settle_seconds=0.0)
        calls = emulator.truth()["calls"]
        arrivals = sorted(float(str(job["received_at_unix"])) * scale for job in emulator.jobs())
    print(f"{arrivals[-1] - arrivals[0]:.1f} s, {calls}")
    assert calls["by_status"].get("429", 0) <= 2
    assert calls["by_status"].get("402", 0) == 0
    assert calls["by_route"]["POST /quantum-task"] <= tasks + 1
    for first, began in enumerate(arrivals):
        for number, ended in enumerate(arrivals[first + CREATED_AT_ONCE :], CREATED_AT_ONCE + 1):
            # A call counts when it is admitted, and is stamped when it arrives: two may be between.
            assert number <= CREATED_AT_ONCE + CREATED_PER_SECOND * (ended - began) + 2
    if scale == 1:
        assert arrivals[-1] - arrivals[0] < 1.5 * (tasks - CREATED_AT_ONCE) / CREATED_PER_SECOND
