"""kill -9 against the emulator of Amazon Braket: with tokens that it remembers, and with tokens that it forgot."""

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from braket_vendor import BRAKET, QUICK
from campaign import Nursery, Tally
from kill_checks import KillChecks, SearchedKillChecks
from life_driver import Death

TROUBLE = "post:reset-after%0.04,post:502-before%0.02,post:504-during%0.02,post:429-before%0.02,list:503-before%0.02"
CERTAIN = MappingProxyType({"is_certain": True})
"""Samples of Braket have no seed: so each row has one outcome, by which rows that were paired wrongly are seen."""


class TestRemembered(KillChecks):
    """Nothing is bought twice, nothing is lost, and nothing is held: a token settles every doubt."""

    vendor = BRAKET
    fields = CERTAIN
    slow_options = "garnet,settle=0.3,rows=2"
    trouble = TROUBLE

    def check(self, nursery: Nursery, folder: Path, undisturbed: Death, *, kills: int, seed: int) -> Tally:
        """No job is held."""
        tally = self.kill_at_random(nursery, folder, undisturbed, kills=kills, seed=seed)
        assert tally.held == 0
        return tally

    def test_random_kills(self, nursery: Nursery, tmp_path: Path, undisturbed: Death) -> None:
        """Whenever it is killed: every row is paid once, none is lost, and the values are those of a quiet run."""
        self.check(nursery, tmp_path, undisturbed, kills=12, seed=4)

    @pytest.mark.soak
    @pytest.mark.timeout(3600)
    def test_many_random_kills(self, nursery: Nursery, tmp_path: Path, undisturbed: Death) -> None:
        """The same a thousand times."""
        self.check(nursery, tmp_path, undisturbed, kills=1000, seed=40)


class TestForgotten(SearchedKillChecks):
    """Tokens are forgotten at once, and not trusted: as with a vendor that knows none, doubts are held."""

    vendor = BRAKET
    fields = CERTAIN
    settings = replace(QUICK, token_seconds=0.0)
    slow_options = "garnet,settle=0.3,rows=2,tokens=0,on_unknown=resubmit"
    late_options = "garnet,settle=2,tokens=0"
    trouble = TROUBLE

    def test_random_kills(self, nursery: Nursery, tmp_path: Path, undisturbed: Death) -> None:
        """What no list shows is held, and never sent again until a person has decided."""
        options = f"{BRAKET.options},tokens=0"
        self.kill_at_random(nursery, tmp_path, undisturbed, kills=6, seed=4, options=options)

    @pytest.mark.soak
    @pytest.mark.timeout(3600)
    def test_many_random_kills(self, nursery: Nursery, tmp_path: Path, undisturbed: Death) -> None:
        """The same two hundred times."""
        options = f"{BRAKET.options},tokens=0"
        self.kill_at_random(nursery, tmp_path, undisturbed, kills=200, seed=40, options=options)
