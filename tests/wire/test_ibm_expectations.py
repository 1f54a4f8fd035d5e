"""Values of random circuits on IBM Quantum: right within statistics, in every basis, on any layout, in few jobs."""

from dataclasses import replace
from pathlib import Path

import pytest
from ibm_vendor import DEVICE, IBM, QUICK
from random_expectations import ROWS, check_statistics, measure

SHOTS = 2_000
N_STRINGS = 3
APART = f"{DEVICE},program=sampler,layout=14-3-9-0-7,seed=4"
"""The older program, with qubits far apart and out of order."""
MANY = 200
SOAK = (pytest.mark.soak, pytest.mark.timeout(1200))


@pytest.mark.parametrize(
    ("options", "n_circuits"),
    [
        pytest.param(APART, 10, id="sampler"),
        pytest.param(APART, MANY, marks=SOAK, id="sampler-all"),
        pytest.param(DEVICE, MANY, marks=SOAK, id="executor-all"),
        pytest.param("ibm_fez,fractional=on,layout=5-3-16-7-4", MANY, marks=SOAK, id="fractional-all"),
    ],
)
def test_values_of_random_circuits(options: str, n_circuits: int, tmp_path: Path) -> None:
    """Every kind of gate, three bases each, on any layout and in any gates: no bias, no fat tails. All are one POST."""
    settings = replace(QUICK, devices=f"{DEVICE},ibm_fez", seed=1, accept_delay="0", execute="0")
    measured, exact, jobs = measure(IBM, settings, n_circuits, options=options, folder=tmp_path, shots=SHOTS)
    assert [job["rows"] for job in jobs] == [n_circuits * ROWS * N_STRINGS]
    check_statistics(measured, exact, shots=SHOTS)
