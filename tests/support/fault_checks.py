"""Whole runs through the 24 fault cells of a submission, as classes for each vendor: no work is ever accepted twice."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from vendors import Vendor
from watched_runs import WatchedRun, check_values, watched_run, work_of

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
BRIEF = ("reset-before", "reset-after", REFUSED, "429-after", "500-before", "hang-after")
"""Those that every vendor meets in `make test`; one meets them all, as the engine does not tell vendors apart."""
SILENT = ("hang", "drip")
"""Faults that last until the client's deadline, which is in real time."""


def pace_of(fault: str) -> tuple[str, float]:
    """The option of a deadline, a short one only if the fault is silence, and how fast a run's own waits pass.

    An answer may be late on a busy machine, and the patience with a server that never answered passes as fast.
    """
    return (",deadline=0.4", 4.0) if any(kind in fault for kind in SILENT) else ("", 10.0)


def some_of(cells: Sequence[str]) -> list[Any]:
    """All cells, of which those alone that are named are for `make test`."""
    return [pytest.param(cell, marks=() if cell in cells else pytest.mark.soak) for cell in CELLS]


class Faults:
    """What a subclass says: the ``vendor``, the ``options`` of its backend, and an emulator's ``settings``.

    ``settle_seconds``: a job in doubt is not sent again for so long, by the run's clock; 0 if its key is remembered.
    """

    vendor: Vendor
    options: str
    settings: Any
    settle_seconds: float

    def start(self, faults: str) -> AbstractContextManager[Any]:
        """An emulator with these faults."""
        return self.vendor.start(replace(self.settings, faults=faults))

    def watch(self, emulator: Any, folder: Path, cell: str) -> AbstractContextManager[WatchedRun]:
        """A run on it."""
        deadline, scale = pace_of(cell)
        return watched_run(self.vendor, emulator, folder, options=self.options + deadline, scale=scale)


class FaultChecks(Faults):
    """Of what is free, or of a vendor that remembers keys: nothing is held, in any of the cells."""

    def check_done(self, cell: str, folder: Path) -> None:
        """A run ends with right values from one accepted job."""
        with self.start(f"post:{cell}@1") as emulator, self.watch(emulator, folder, cell) as watched:
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
        with self.start(f"post:{cell}@1") as emulator, self.watch(emulator, folder, cell) as watched:
            if is_held:
                with pytest.raises(UnknownOutcomeError, match="held and not sent again") as caught:
                    watched.run.execute(work_of(3))
                assert exit_code(caught.value) == HELD_JOBS
            else:
                check_values(watched.run.execute(work_of(3))[0])
            watched.check_submissions(settle_seconds=self.settle_seconds)
            assert len(watched.accepted_by_key()) == (0 if is_held else 1)
            assert [job.state for job in watched.store.jobs()] == [JobState.UNKNOWN if is_held else JobState.DONE]
