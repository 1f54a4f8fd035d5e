"""Values of random circuits on Braket: right within statistics, in every basis, in as few tasks as can be."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from braket_vendor import BRAKET, FREE
from random_expectations import ROWS, check_statistics, measure

SHOTS = 2_000
N_STRINGS = 3
MOST_EXECUTABLES = 100


@pytest.mark.parametrize("n_circuits", [40, pytest.param(500, marks=pytest.mark.soak)])
def test_values_of_random_circuits_in_program_sets(n_circuits: int, tmp_path: Path) -> None:
    """Every kind of gate, in Garnet's own gates, and three bases each: no bias, no fat tails, no task too many."""
    settings = replace(FREE, seed=1)
    measured, exact, jobs = measure(BRAKET, settings, n_circuits, options="garnet", folder=tmp_path, shots=SHOTS)
    check_statistics(measured, exact, shots=SHOTS)
    assert sum(int(str(job["rows"])) for job in jobs) == n_circuits * ROWS * N_STRINGS
    # A task is of circuits as a whole, so that the last places of some stay free.
    assert len(jobs) <= 1.1 * -(-n_circuits * ROWS * N_STRINGS // MOST_EXECUTABLES) + 1
    print(f"{len(jobs)} tasks")


@pytest.mark.parametrize("n_circuits", [8, pytest.param(500, marks=pytest.mark.soak)])
def test_values_of_random_circuits_on_a_simulator(n_circuits: int, tmp_path: Path) -> None:
    """The same on SV1: a task for each execution, and no more."""
    settings = replace(FREE, seed=1)
    measured, exact, jobs = measure(BRAKET, settings, n_circuits, options="sv1", folder=tmp_path, shots=SHOTS)
    if n_circuits > 100:
        check_statistics(measured, exact, shots=SHOTS)
    assert (np.abs(measured - exact) <= 6.0 / np.sqrt(SHOTS)).all()
    assert len(jobs) == n_circuits * ROWS * N_STRINGS
