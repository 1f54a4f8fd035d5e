"""Whole runs through the faults of a server: a piece of work is accepted at most once, and every run ends rightly."""

from pathlib import Path

import pytest
from ionq_runs import check_values, watched_run, work_of

from qorch.cli.exit_codes import HELD_JOBS
from qorch.cli.main import exit_code
from qorch.errors import UnknownOutcomeError
from qorch.model.job import JobState
from qorch_providers.emulators.ionq import Settings, start

FAULTS = ("reset", "429", "500", "502", "503", "504", "520", "hang", "drip", "truncated", "malformed", "html")
SETTLE_SECONDS = 0.2
OPTIONS = f"simulator,settle={SETTLE_SECONDS},deadline=0.4"


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_never_makes_a_second_job(fault: str, moment: str, tmp_path: Path) -> None:
    """On the free simulator every cell ends with right values from one accepted job."""
    with (
        start(Settings(faults=f"post:{fault}-{moment}@1")) as emulator,
        watched_run(emulator, tmp_path, options=OPTIONS) as watched,
    ):
        (result,) = watched.run.execute(work_of(3))
        check_values(result)
        watched.check_submissions(settle_seconds=SETTLE_SECONDS)
        assert list(watched.accepted_by_key().values()) == [1]
        assert [job.state for job in watched.store.jobs()] == [JobState.DONE]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_in_doubt_is_held_where_money_is_at_stake(fault: str, moment: str, tmp_path: Path) -> None:
    """Under ``hold`` a job that no list shows is never sent again: the run stops with exit code 4 and one sentence."""
    is_held = moment == "before" and fault != "429"
    with (
        start(Settings(faults=f"post:{fault}-{moment}@1")) as emulator,
        watched_run(emulator, tmp_path, options=f"{OPTIONS},on_unknown=hold") as watched,
    ):
        if is_held:
            with pytest.raises(UnknownOutcomeError, match="held and not sent again") as caught:
                watched.run.execute(work_of(3))
            assert exit_code(caught.value) == HELD_JOBS
        else:
            check_values(watched.run.execute(work_of(3))[0])
        watched.check_submissions(settle_seconds=SETTLE_SECONDS)
        assert len(watched.accepted_by_key()) == (0 if is_held else 1)
        assert [job.state for job in watched.store.jobs()] == [JobState.UNKNOWN if is_held else JobState.DONE]
