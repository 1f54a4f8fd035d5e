"""kill -9 against the emulator of Amazon Braket: with tokens that it remembers, and with tokens that it forgot."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from braket_vendor import BRAKET, QUICK
from campaign import Nursery, open_nursery
from kill_checks import SHORT, KillCampaign, KillChecks, SearchedKillChecks
from life_driver import Death
from submission_steps import STEPS

TROUBLE = "post:reset-after%0.04,post:502-before%0.02,post:504-during%0.02,post:429-before%0.02,list:503-before%0.02"
CERTAIN = MappingProxyType({"is_certain": True})
"""Samples of Braket have no seed: so each row has one outcome, by which rows that were paired wrongly are seen."""
CERTAIN_SHORT = MappingProxyType({**CERTAIN, **SHORT})
BRIEF = ("after write intent", "during submit", "after submit", "after fetch")
SOME_STEPS = [pytest.param(step, marks=() if step in BRIEF else pytest.mark.soak) for step in STEPS]
KILLS = (6, pytest.param(1000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)]))
FEWER_KILLS = (4, pytest.param(200, marks=[pytest.mark.soak, pytest.mark.timeout(3600)]))


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """A process in which lives begin within milliseconds."""
    with open_nursery(BRAKET) as opened:
        yield opened


class TestRemembered(KillCampaign):
    """A token settles every doubt: nothing is bought twice, nothing is lost, and nothing is held."""

    vendor = BRAKET
    fields = CERTAIN
    trouble = TROUBLE

    @pytest.mark.parametrize("kills", KILLS)
    def test_random_kills(self, nursery: Nursery, tmp_path: Path, undisturbed: Death, kills: int) -> None:
        """Whenever it is killed: every row is paid once, none is lost, and the values are those of a quiet run."""
        tally = self.kill_at_random(nursery, tmp_path, undisturbed, kills=kills, seed=kills)
        assert tally.held == 0


class TestStepsRemembered(KillChecks):
    """The same at every named step."""

    vendor = BRAKET
    fields = CERTAIN_SHORT
    slow_options = "garnet,settle=0.3,rows=2"

    @pytest.mark.parametrize("step", SOME_STEPS)
    def test_killed_at_a_step_of_a_submission(
        self, nursery: Nursery, tmp_path: Path, undisturbed: Death, step: str
    ) -> None:
        """Twice at the same one."""
        self.check_step(nursery, tmp_path, undisturbed, step=step)


class TestForgotten(KillCampaign):
    """Tokens are forgotten at once, and not trusted: what no list shows is held, and never sent again."""

    vendor = BRAKET
    fields = CERTAIN
    settings = replace(QUICK, token_seconds=0.0)
    trouble = TROUBLE

    @pytest.mark.parametrize("kills", FEWER_KILLS)
    def test_random_kills(self, nursery: Nursery, tmp_path: Path, undisturbed: Death, kills: int) -> None:
        """Every row is paid once, none is lost; what is held is decided on as the truth says."""
        options = f"{BRAKET.options},tokens=0"
        self.kill_at_random(nursery, tmp_path, undisturbed, kills=kills, seed=kills, options=options)


@pytest.mark.soak
class TestStepsForgotten(SearchedKillChecks):
    """The same at every named step, and while an answer is looked for; what is free to resend is sent again."""

    vendor = BRAKET
    fields = CERTAIN_SHORT
    settings = replace(QUICK, token_seconds=0.0)
    slow_options = "garnet,settle=0.3,rows=2,tokens=0,on_unknown=resubmit"
    late_options = "garnet,settle=2,tokens=0"

    @pytest.mark.parametrize("step", STEPS)
    def test_killed_at_a_step_of_a_submission(
        self, nursery: Nursery, tmp_path: Path, undisturbed: Death, step: str
    ) -> None:
        """Twice at the same one."""
        self.check_step(nursery, tmp_path, undisturbed, step=step)
