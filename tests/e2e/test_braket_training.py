"""The main job on the emulated service of Amazon Braket: what a user types, and the accuracy that Aer reaches."""

from pathlib import Path

import pytest
from accuracy_checks import compare_with_aer
from braket_vendor import BRAKET, FREE

FEW = ("--limit", "20", "--shots", "100", "--batch-size", "8", "--epochs", "1")
"""Of four test images, one is 0.25."""


@pytest.mark.timeout(600)
def test_digits_on_a_machine_reaches_aers_accuracy(tmp_path: Path) -> None:
    """A few images on Garnet, in program sets."""
    compare_with_aer(BRAKET, FREE, tmp_path, *FEW, target="garnet", least=0.5, slack=0.3)


@pytest.mark.soak
@pytest.mark.timeout(3_300)
@pytest.mark.parametrize("target", ["garnet", "sv1"])
def test_digits_reaches_aers_accuracy(target: str, tmp_path: Path) -> None:
    """An epoch of all images, in program sets and as a task for each row: 19 of 20 test images."""
    compare_with_aer(BRAKET, FREE, tmp_path, "--epochs", "1", target=target, least=0.95, slack=0.05)
