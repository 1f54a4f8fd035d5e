"""Whole runs through the 24 fault cells of Braket's CreateQuantumTask: bought once, held only if in doubt."""

from dataclasses import replace
from pathlib import Path

import pytest
from braket_vendor import BRAKET, FREE
from fault_checks import BRIEF, FaultChecks, HeldFaultChecks, some_of


class TestRemembered(FaultChecks):
    """Tokens are remembered: sent again, the same task comes back, and nothing is held."""

    vendor = BRAKET
    options = "garnet,settle=10"
    settings = FREE
    settle_seconds = 0.0

    @pytest.mark.parametrize("cell", some_of((*BRIEF, "503-after", "malformed-after")))
    def test_a_fault_never_makes_a_second_job(self, cell: str, tmp_path: Path) -> None:
        """In every cell."""
        self.check_done(cell, tmp_path)


class TestForgotten(HeldFaultChecks):
    """Tokens are forgotten at once, and not trusted: what no list shows is held, and never sent again."""

    vendor = BRAKET
    options = "garnet,settle=2,tokens=0"
    settings = replace(FREE, token_seconds=0.0)
    settle_seconds = 2.0

    @pytest.mark.parametrize("cell", some_of(BRIEF))
    def test_what_is_in_doubt_is_held(self, cell: str, tmp_path: Path) -> None:
        """In every cell."""
        self.check_held(cell, tmp_path)
