"""Whole runs through the 24 fault cells of IBM's POST /jobs: bought once, and held if in doubt."""

from dataclasses import replace
from pathlib import Path

import pytest
from fault_checks import CELLS, HeldFaultChecks
from ibm_vendor import DEVICE, IBM, QUICK

BRIEF = (
    "reset-before",
    "reset-after",
    "429-before",
    "429-after",
    "500-before",
    "500-after",
    "hang-after",
    "html-after",
)


class TestHeld(HeldFaultChecks):
    """What no list shows is held, and never sent again."""

    vendor = IBM
    options = f"{DEVICE},settle=0.2,deadline=0.4"
    settings = replace(QUICK, accept_delay="0", execute="0")
    settle_seconds = 0.2

    @pytest.mark.parametrize(
        "cell", [pytest.param(cell, marks=() if cell in BRIEF else pytest.mark.soak) for cell in CELLS]
    )
    def test_what_is_in_doubt_is_held(self, cell: str, tmp_path: Path) -> None:
        """In every cell."""
        self.check_held(cell, tmp_path)
