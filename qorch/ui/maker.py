"""Makes the pages of a database, in the one thread that reads it."""

import functools
from collections.abc import Callable, Sequence

from qorch.audit.page.comparison import MOST_RUNS, comparison_figures
from qorch.audit.page.html import render
from qorch.audit.page.pictures import FigureTable
from qorch.audit.page.progress import WHOLE_PAGE, PageView
from qorch.errors import UnknownNameError, UsageError
from qorch.ports.clock import Clock
from qorch.ports.reader import Reader
from qorch.ports.records import RunRecord
from qorch.ui.listing import RunRow, list_rows
from qorch.ui.live import Background, LiveRun, current

LISTING_COST = 40
_MOST_KEPT = 8


class PageMaker:
    """What pages show, with what was read for them. Used from one thread at a time."""

    def __init__(self, reader: Reader, *, clock: Clock, background: Background) -> None:
        """Nothing is read yet."""
        self._reader = reader
        self._clock = clock
        self._live: Callable[[str], LiveRun] = functools.lru_cache(maxsize=_MOST_KEPT)(
            lambda run_id: LiveRun(reader, run_id, clock=clock, background=background)
        )
        self._rows: list[RunRow] = []
        self._due_ns = 0
        self._version = -1
        self._records: dict[str, RunRecord | None] = {}

    def change(self, run_id: str | None) -> tuple[int, str, int]:
        """What differs once a page may look differently: of a run, or of the table."""
        run = None if run_id is None else self._find(run_id)
        if run is None:
            return self._reader.version(), "", 0
        # Nothing is written when a process dies, so that its state is asked for each time.
        return self._version, current(self._reader, run).state, self._live(run.run_id).made

    def runs(self) -> str:
        """The table of all runs."""
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._due_ns:
            self._rows = list_rows(self._reader)
            done_ns = self._clock.monotonic_ns()
            self._due_ns = done_ns + LISTING_COST * (done_ns - now_ns)
        return render("runs.html.j2", rows=self._rows, place=self._reader.location)

    def title(self, run_id: str) -> str:
        """What the browser's tab says of a run. Raises UnknownNameError if there is none."""
        return f"{self._require(run_id).name} · qorch"

    def run(self, run_id: str, *, shown: int | None = None, view: PageView = WHOLE_PAGE) -> str:
        """The page of a run; ``shown``, ``view``: see ``LiveRun.content``. Raises UnknownNameError if there is none."""
        run = self._require(run_id)
        return self._live(run.run_id).content(current(self._reader, run), shown=shown, view=view)

    def comparison(self, run_ids: Sequence[str]) -> str:
        """Runs side by side. Raises UnknownNameError, and UsageError for too few or too many."""
        wanted = list(dict.fromkeys(run_ids))
        if not 2 <= len(wanted) <= MOST_RUNS:
            raise UsageError(f"choose two to {MOST_RUNS} runs; these are {len(wanted)}")
        found = [self._require(run_id) for run_id in wanted]
        courses = [self._live(run.run_id).course(current(self._reader, run)) for run in found]
        rows = {row.run_id: row for row in list_rows(self._reader)}
        columns = ("run", "name", "state", "backend", "loss", "steps", "executions", "spent", "time")
        cells = [
            (row.run_id, row.name, row.state, row.backend, row.loss, row.steps, row.executions, row.spent, row.time)
            for row in (rows[run.run_id] for run in found if run.run_id in rows)
        ]
        return render("compare.html.j2", figures=comparison_figures(courses), totals=FigureTable(columns, tuple(cells)))

    def _find(self, run_id: str) -> RunRecord | None:
        """The run, read anew once something has been written."""
        # In this order: what is written between the two changes the version again.
        version = self._reader.version()
        if version != self._version:
            self._version = version
            self._records.clear()
        if run_id not in self._records:
            self._records[run_id] = self._reader.find_run(run_id)
        return self._records[run_id]

    def _require(self, run_id: str) -> RunRecord:
        found = self._find(run_id)
        if found is None or found.run_id != run_id:
            raise UnknownNameError(f"there is no run '{run_id}' in {self._reader.location}")
        return found
