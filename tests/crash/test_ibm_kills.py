"""kill -9 against the emulator of IBM Quantum, which remembers no keys: what no list shows is held."""

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import pytest
from campaign import Nursery, open_nursery
from ibm_vendor import IBM
from kill_checks import KillCampaign
from life_driver import Death

TROUBLE = "post:reset-after%0.04,post:502-before%0.02,post:504-during%0.02,post:429-before%0.02,list:503-before%0.02"
CERTAIN = MappingProxyType({"is_certain": True})
"""Samples of IBM have no seed: so each row has one outcome, by which rows that were paired wrongly are seen."""
KILLS = (4, pytest.param(1000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)]))


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """A process in which lives begin within milliseconds."""
    with open_nursery(IBM) as opened:
        yield opened


class TestHeld(KillCampaign):
    """Nothing is bought twice, and nothing is lost; what is held is decided on as the truth says."""

    vendor = IBM
    fields = CERTAIN
    trouble = TROUBLE

    @pytest.mark.parametrize("kills", KILLS)
    def test_random_kills(self, nursery: Nursery, tmp_path: Path, undisturbed: Death, kills: int) -> None:
        """Whenever it is killed: every row is paid once, none is lost, and the values are those of a quiet run."""
        self.kill_at_random(nursery, tmp_path, undisturbed, kills=kills, seed=kills)
