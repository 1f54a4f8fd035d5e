"""The main job on the emulated service of IBM Quantum, five jobs a minute: what a user types, and Aer's accuracy."""

from dataclasses import replace
from pathlib import Path

import pytest
from accuracy_checks import compare_with_aer
from ibm_vendor import DEVICE, IBM, QUICK

PACED = replace(QUICK, posts_per_minute=5)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_digits_reaches_aers_accuracy(tmp_path: Path) -> None:
    """An epoch of all images: a step is one job, none is refused, and 19 of 20 test images are classified."""
    truth = compare_with_aer(IBM, PACED, tmp_path, "--epochs", "1", target=DEVICE, least=0.95, slack=0.05)
    assert "429" not in truth["calls"]["by_status"]
