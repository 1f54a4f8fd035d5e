"""Whole runs through the 24 fault cells of Braket's CreateQuantumTask: bought once, held only if in doubt."""

from dataclasses import replace
from pathlib import Path

import pytest
from braket_vendor import BRAKET, FREE
from fault_checks import CELLS, FaultChecks, HeldFaultChecks

BRIEF = ("reset-before", "reset-after", "429-before", "429-after", "500-before", "hang-after")
SOAK = pytest.mark.soak


class TestRemembered(FaultChecks):
    """Tokens are remembered: sent again, the same task comes back, and nothing is held."""

    vendor = BRAKET
    options = "garnet,settle=0.2,deadline=0.4"
    settings = FREE
    settle_seconds = 0.0


class TestForgotten(HeldFaultChecks):
    """Tokens are forgotten at once, and not trusted: what no list shows is held, and never sent again."""

    vendor = BRAKET
    options = "garnet,settle=0.2,deadline=0.4,tokens=0"
    settings = replace(FREE, token_seconds=0.0)
    settle_seconds = 0.2

    @pytest.mark.parametrize("cell", [pytest.param(cell, marks=SOAK if cell not in BRIEF else ()) for cell in CELLS])
    def test_what_is_in_doubt_is_held(self, cell: str, tmp_path: Path) -> None:
        """In every cell."""
        self.check_held(cell, tmp_path)
