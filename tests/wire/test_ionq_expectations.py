"""Expectation values of random circuits over HTTP: right within statistics, in every basis."""

from pathlib import Path

import numpy as np
import pytest
from ionq_vendor import IONQ
from random_expectations import check_statistics, measure

from qorch.model.arrays import FloatArray
from qorch_providers.emulators.ionq import Settings

SHOTS = 4096
SIZES = (50, pytest.param(500, marks=pytest.mark.soak))


def measure_ionq(n_circuits: int, options: str, folder: Path) -> tuple[FloatArray, FloatArray]:
    """Measured and exact values of so many random circuits."""
    settings = Settings(seed=1)
    measured, exact, jobs = measure(IONQ, settings, n_circuits, options=options, folder=folder, shots=SHOTS)
    assert len(jobs) <= 1 + n_circuits // 100, "hundreds of circuits are one POST"
    return measured, exact


@pytest.mark.parametrize("n_circuits", SIZES)
@pytest.mark.parametrize(
    "options", ["simulator", "simulator,gateset=native,two_qubit=ms", "simulator,gateset=native,two_qubit=zz"]
)
def test_values_of_random_circuits_are_exact_within_statistics(options: str, n_circuits: int, tmp_path: Path) -> None:
    """QIS and both native gate sets, every kind of gate, three bases each: no bias, no fat tails."""
    measured, exact = measure_ionq(n_circuits, options, tmp_path)
    check_statistics(measured, exact, shots=SHOTS)


@pytest.mark.parametrize("n_circuits", SIZES)
@pytest.mark.parametrize("options", ["simulator,noise=aria-1", "simulator,noise=forte-1,gateset=native"])
def test_noise_only_shrinks_the_values(options: str, n_circuits: int, tmp_path: Path) -> None:
    """The emulated noise pulls every Pauli string towards 0, by some percent and never past it."""
    measured, exact = measure_ionq(n_circuits, options, tmp_path)
    slack = 5.0 / np.sqrt(SHOTS)
    assert (np.abs(measured) <= np.abs(exact) + slack).all()
    shrinkage = float((measured @ exact) / (exact @ exact))
    print(f"{len(exact)} values shrink to {shrinkage:.3f}")
    assert 0.5 < shrinkage < 0.99
    assert (measured * np.sign(exact) >= 0.2 * np.abs(exact) - slack).all()
