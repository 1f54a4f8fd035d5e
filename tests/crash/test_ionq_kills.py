"""kill -9 against an emulator of IonQ's service: at random moments, and at every named step of a submission."""

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import pytest
from campaign import Nursery, open_nursery
from ionq_vendor import IONQ
from kill_checks import SHORT, KillCampaign, SearchedKillChecks
from life_driver import Death
from submission_steps import STEPS


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """A process in which lives begin within milliseconds."""
    with open_nursery(IONQ) as opened:
        yield opened


class TestIonqKills(KillCampaign):
    """On the ideal simulator, whose samples are seeded: a killed run has the values of a quiet one."""

    vendor = IONQ
    trouble = (
        "post:reset-after%0.04,post:502-before%0.02,post:504-during%0.02,post:429-before%0.02,list:503-before%0.02"
    )

    @pytest.mark.parametrize(("on_unknown", "kills"), [("resubmit", 8), ("hold", 4)])
    def test_random_kills(
        self, nursery: Nursery, tmp_path: Path, undisturbed: Death, on_unknown: str, kills: int
    ) -> None:
        """Whenever it is killed: every row is paid once, none is lost, and the values are those of a quiet run."""
        options = f"{IONQ.options},on_unknown={on_unknown}"
        tally = self.kill_at_random(nursery, tmp_path, undisturbed, kills=kills, seed=4, options=options)
        if on_unknown == "resubmit":
            assert tally.held == 0

    @pytest.mark.soak
    @pytest.mark.timeout(3600)
    @pytest.mark.parametrize(("on_unknown", "kills"), [("resubmit", 1000), ("hold", 200)])
    def test_many_random_kills(
        self, nursery: Nursery, tmp_path: Path, undisturbed: Death, on_unknown: str, kills: int
    ) -> None:
        """The same a thousand times."""
        options = f"{IONQ.options},on_unknown={on_unknown}"
        self.kill_at_random(nursery, tmp_path, undisturbed, kills=kills, seed=40, options=options)


class TestIonqBooks(KillCampaign):
    """On a QPU, whose samples differ: what was reserved, spent and released between kills is what IonQ bills."""

    vendor = IONQ
    trouble = TestIonqKills.trouble
    fields = MappingProxyType({"options": "qpu.forte-1,debiasing=off,settle=0.05,rows=2", "steps": 3})

    def compare(self, death: Death, undisturbed: Death) -> None:
        """The values are not those of another run."""

    @pytest.mark.parametrize("kills", [4, pytest.param(500, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])])
    def test_random_kills(self, nursery: Nursery, tmp_path: Path, undisturbed: Death, kills: int) -> None:
        """Whenever it is killed: after `qorch recover` the books balance, and the ledger is the bill."""
        self.kill_at_random(nursery, tmp_path, undisturbed, kills=kills, seed=12)


class TestIonqSteps(SearchedKillChecks):
    """The same at every named step, and while an answer is looked for."""

    vendor = IONQ
    fields = SHORT
    slow_options = "simulator,settle=0.3,rows=2"
    late_options = "simulator,settle=2"

    @pytest.mark.parametrize("step", STEPS)
    def test_killed_at_a_step_of_a_submission(
        self, nursery: Nursery, tmp_path: Path, undisturbed: Death, step: str
    ) -> None:
        """Twice at the same one."""
        self.check_step(nursery, tmp_path, undisturbed, step=step)
