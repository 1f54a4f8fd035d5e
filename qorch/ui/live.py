"""One run as it goes on: its curves are read step by step, its jobs as seldom as that is costly."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from qorch.audit.page.html import write_run, write_work
from qorch.audit.page.page import WorkPart, lay_out, make_work
from qorch.audit.page.progress import WHOLE_PAGE, PageView
from qorch.audit.page.records import RunCourse, read_work
from qorch.model.ledger import LedgerRecord
from qorch.ports.clock import Clock
from qorch.ports.reader import Reader
from qorch.ports.records import MetricRecord, RunRecord, SessionRecord, StepRecord
from qorch.run.totals import state_now

WORK_COST = 100
"""What jobs and spans show is computed again once this many times as long has passed as it took."""
_LEAST_PAUSE_SECONDS = 2.0
_ENTRIES = 10_000


Background = Callable[[Callable[[], None]], object]
"""Has something done some time, in a thread of its own."""


@dataclass(frozen=True)
class _MadeWork:
    """What jobs and spans showed in a ``state`` of the run, made at ``made_ns``; it is made anew after ``due_ns``."""

    part: WorkPart
    html: str
    state: str
    due_ns: int
    made_ns: int


class LiveRun:
    """Used from one thread at a time. A step must not wait for what thousands of jobs show: that has a thread."""

    def __init__(self, reader: Reader, run_id: str, *, clock: Clock, background: Background) -> None:
        """Nothing is read yet."""
        self._reader = reader
        self._run_id = run_id
        self._clock = clock
        self._background = background
        self._sessions: list[SessionRecord] = []
        self._steps: dict[int, StepRecord] = {}
        self._metrics: dict[tuple[int, int], MetricRecord] = {}
        self._ledger: list[LedgerRecord] = []
        self._currencies: set[str] = set()
        self._entry = 0
        self._work: _MadeWork | None = None
        self._is_busy = False
        self._n_made = 0

    def course(self, run: RunRecord) -> RunCourse:
        """The run's course, of which only what is new was read."""
        sessions = self._reader.sessions(self._run_id)
        if len(sessions) != len(self._sessions):
            # A resumed run repeats the steps after its checkpoint.
            self._steps, self._metrics = {}, {}
        self._sessions = sessions
        # What is logged after a step belongs to it.
        after = max(self._steps, default=-1) - 1
        self._steps |= {step.step: step for step in self._reader.steps_after(self._run_id, after)}
        found = self._reader.metrics_after(self._run_id, after if self._steps else -2)
        self._metrics |= {(metric.step, metric.ordinal): metric for metric in found}
        self._read_ledger()
        metrics = [self._metrics[key] for key in sorted(self._metrics)]
        return RunCourse(run, sessions, [self._steps[key] for key in sorted(self._steps)], metrics, self._ledger)

    @property
    def made(self) -> int:
        """How often what jobs and spans show was made."""
        return self._n_made

    def content(self, run: RunRecord, *, shown: int | None = None, view: PageView = WHOLE_PAGE) -> str:
        """What stands in the page of the run now; ``run``: with its state as it is now.

        ``shown``: the ``made_ns`` of what the page has already of jobs and spans: it is left out if that is the newest.
        ``view``: which of the curves are drawn.
        """
        course = self.course(run)
        if self._work is None:
            self._make_work(run)
        elif not self._is_busy and (run.state != self._work.state or self._clock.monotonic_ns() >= self._work.due_ns):
            self._is_busy = True
            self._background(lambda: self._make_work(run))
        work = self._work
        if work is None:
            return ""
        now = f'<section id="run-now">{write_run(lay_out(course, work.part, view=view))}</section>'
        return now if shown == work.made_ns else f'{now}<section data-made="{work.made_ns}">{work.html}</section>'

    def _make_work(self, run: RunRecord) -> None:
        """In any thread: what was made before is shown until then."""
        try:
            begun_ns = self._clock.monotonic_ns()
            part = make_work(read_work(self._reader, run))
            html, ended_ns = write_work(part), self._clock.monotonic_ns()
            pause_ns = max(int(_LEAST_PAUSE_SECONDS * 1e9), WORK_COST * (ended_ns - begun_ns))
            self._n_made += 1
            self._work = _MadeWork(part, html, run.state, ended_ns + pause_ns, ended_ns)
        finally:
            self._is_busy = False

    def _read_ledger(self) -> None:
        while entries := self._reader.ledger_entries(after=self._entry, limit=_ENTRIES):
            for entry in entries:
                if entry.record.run_id == self._run_id:
                    self._keep(entry.record)
            self._entry = entries[-1].number

    def _keep(self, entry: LedgerRecord) -> None:
        """Curves show what was spent, and in which currencies there are entries."""
        if entry.kind.debit == "spent" or entry.currency not in self._currencies:
            self._currencies.add(entry.currency)
            self._ledger.append(entry)


def current(reader: Reader, run: RunRecord) -> RunRecord:
    """The run with its state as it is now."""
    return replace(run, state=state_now(reader, run))
