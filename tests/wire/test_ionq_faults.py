"""Whole runs through the faults of a server: a piece of work is accepted at most once, and every run ends rightly."""

from pathlib import Path

import pytest
from fault_checks import BRIEF, CELLS, FaultChecks, HeldFaultChecks, some_of
from ionq_vendor import IONQ

from qorch_providers.emulators.ionq import Settings

OPTIONS = "simulator,settle=2"


class TestFree(FaultChecks):
    """The ideal simulator: what is in doubt is looked for, and sent again after the settle time."""

    vendor = IONQ
    options = OPTIONS
    settings = Settings()
    settle_seconds = 2.0

    @pytest.mark.parametrize("cell", CELLS)
    def test_a_fault_never_makes_a_second_job(self, cell: str, tmp_path: Path) -> None:
        """In every cell."""
        self.check_done(cell, tmp_path)


class TestHeld(HeldFaultChecks):
    """The same as if it cost money."""

    vendor = IONQ
    options = f"{OPTIONS},on_unknown=hold"
    settings = Settings()
    settle_seconds = 2.0

    @pytest.mark.parametrize("cell", some_of((*BRIEF, "503-before", "malformed-before", "drip-after", "html-after")))
    def test_what_is_in_doubt_is_held_if_money_is_at_stake(self, cell: str, tmp_path: Path) -> None:
        """In every cell."""
        self.check_held(cell, tmp_path)
