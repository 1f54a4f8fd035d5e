"""Whole runs through the 24 fault cells of a submission, as classes for each vendor: no work is ever accepted twice."""

from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from vendors import Vendor
from watched_runs import check_values, watched_run, work_of

from qorch.cli.exit_codes import HELD_JOBS
from qorch.cli.main import exit_code
from qorch.errors import UnknownOutcomeError
from qorch.model.job import JobState

FAULTS = ("reset", "429", "500", "502", "503", "504", "520", "hang", "drip", "truncated", "malformed", "html")
MOMENTS = ("before", "after")
CELLS = tuple(f"{fault}-{moment}" for fault in FAULTS for moment in MOMENTS)
"""What becomes of the first submission, before or after it was accepted."""
REFUSED = "429-before"
"""The one cell that is a proof: nothing was accepted."""


class Faults:
    """What a subclass says: the ``vendor``, the ``options`` of its backend, and an emulator's ``settings``.

    ``settle_seconds``: for so long a job in doubt is not sent again; 0 if its key is remembered.
    """

    vendor: Vendor
    options: str
    settings: Any
    settle_seconds: float

    def start(self, faults: str) -> AbstractContextManager[Any]:
        """An emulator with these faults."""
        return self.vendor.start(replace(self.settings, faults=faults))


class FaultChecks(Faults):
    """Of what is free, or of a vendor that remembers keys: nothing is held."""

    @pytest.mark.parametrize("cell", CELLS)
    def test_a_fault_never_makes_a_second_job(self, cell: str, tmp_path: Path) -> None:
        """Every cell ends with right values from one accepted job."""
        with (
            self.start(f"post:{cell}@1") as emulator,
            watched_run(self.vendor, emulator, tmp_path, options=self.options) as watched,
        ):
            (result,) = watched.run.execute(work_of(3))
            check_values(result)
            watched.check_submissions(settle_seconds=self.settle_seconds)
            assert list(watched.accepted_by_key().values()) == [1]
            assert [job.state for job in watched.store.jobs()] == [JobState.DONE]


class HeldFaultChecks(Faults):
    """Of what costs money at a vendor that does not remember keys."""

    def check_held(self, cell: str, folder: Path) -> None:
        """A job that no list shows is never sent again: the run stops with exit code 4 and one sentence."""
        is_held = cell.endswith("-before") and cell != REFUSED
        with (
            self.start(f"post:{cell}@1") as emulator,
            watched_run(self.vendor, emulator, folder, options=self.options) as watched,
        ):
            if is_held:
                with pytest.raises(UnknownOutcomeError, match="held and not sent again") as caught:
                    watched.run.execute(work_of(3))
                assert exit_code(caught.value) == HELD_JOBS
            else:
                check_values(watched.run.execute(work_of(3))[0])
            watched.check_submissions(settle_seconds=self.settle_seconds)
            assert len(watched.accepted_by_key()) == (0 if is_held else 1)
            assert [job.state for job in watched.store.jobs()] == [JobState.UNKNOWN if is_held else JobState.DONE]
