"""The main job on the emulated service of IBM Quantum, five jobs a minute: what a user types, and Aer's accuracy."""

from dataclasses import replace
from pathlib import Path

import pytest
from accuracy_checks import compare_with_aer
from ibm_vendor import DEVICE, IBM, QUICK

PACED = replace(QUICK, posts_per_minute=5)
FEW = ("--limit", "20", "--shots", "100", "--batch-size", "8", "--epochs", "1")
"""Two steps and the test images: few enough to leave within the first minute. Of four test images, one is 0.25."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("options", "least", "slack"),
    [
        pytest.param(FEW, 0.5, 0.3, id="20"),
        pytest.param(("--epochs", "1"), 0.95, 0.05, marks=[pytest.mark.soak, pytest.mark.timeout(1800)], id="all"),
    ],
)
def test_digits_reaches_aers_accuracy(options: tuple[str, ...], least: float, slack: float, tmp_path: Path) -> None:
    """A step is one job, none is refused, and 19 of 20 test images are classified if all are trained on."""
    truth = compare_with_aer(IBM, PACED, tmp_path, *options, target=DEVICE, least=least, slack=slack)
    assert "429" not in truth["calls"]["by_status"]
