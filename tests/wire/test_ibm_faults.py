"""Whole runs through the 24 fault cells of IBM's POST /jobs: bought once, and held if in doubt."""

from dataclasses import replace
from pathlib import Path

import pytest
from fault_checks import BRIEF, HeldFaultChecks, some_of
from ibm_vendor import DEVICE, IBM, QUICK


class TestHeld(HeldFaultChecks):
    """What no list shows is held, and never sent again."""

    vendor = IBM
    options = f"{DEVICE},settle=2"
    settings = replace(QUICK, accept_delay="0", execute="0")
    settle_seconds = 2.0

    @pytest.mark.parametrize("cell", some_of((*BRIEF, "500-after", "html-after")))
    def test_what_is_in_doubt_is_held(self, cell: str, tmp_path: Path) -> None:
        """In every cell."""
        self.check_held(cell, tmp_path)
