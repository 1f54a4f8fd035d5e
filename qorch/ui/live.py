"""One run as it goes on: its curves are read step by step, its jobs as seldom as that is costly."""

from dataclasses import replace

from qorch.audit.page.html import write_run, write_work
from qorch.audit.page.page import WorkPart, lay_out, make_work
from qorch.audit.page.records import RunCourse, read_work
from qorch.model.ledger import LedgerRecord
from qorch.ports.clock import Clock
from qorch.ports.reader import Reader
from qorch.ports.records import MetricRecord, RunRecord, SessionRecord, StepRecord
from qorch.run.totals import state_now

WORK_COST = 20
"""What jobs and spans show is computed again once this many times as long has passed as it took."""
_LEAST_PAUSE_SECONDS = 2.0
_ENTRIES = 10_000


class LiveRun:
    """Used from one thread at a time."""

    def __init__(self, reader: Reader, run_id: str, *, clock: Clock) -> None:
        """Nothing is read yet."""
        self._reader = reader
        self._run_id = run_id
        self._clock = clock
        self._sessions: list[SessionRecord] = []
        self._steps: dict[int, StepRecord] = {}
        self._metrics: dict[tuple[int, int], MetricRecord] = {}
        self._ledger: list[LedgerRecord] = []
        self._entry = 0
        self._work: WorkPart | None = None
        self._work_html = ""
        self._work_state = ""
        self._due_ns = 0

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

    def content(self, run: RunRecord) -> str:
        """What stands in the page of the run now; ``run``: with its state as it is now."""
        course = self.course(run)
        now_ns = self._clock.monotonic_ns()
        if self._work is None or run.state != self._work_state or now_ns >= self._due_ns:
            self._work = make_work(read_work(self._reader, run))
            self._work_html = write_work(self._work)
            self._work_state = run.state
            done_ns = self._clock.monotonic_ns()
            self._due_ns = done_ns + max(int(_LEAST_PAUSE_SECONDS * 1e9), WORK_COST * (done_ns - now_ns))
        return write_run(lay_out(course, self._work)) + self._work_html

    def _read_ledger(self) -> None:
        while entries := self._reader.ledger_entries(after=self._entry, limit=_ENTRIES):
            self._ledger += [entry.record for entry in entries if entry.record.run_id == self._run_id]
            self._entry = entries[-1].number


def current(reader: Reader, run: RunRecord) -> RunRecord:
    """The run with its state as it is now."""
    return replace(run, state=state_now(reader, run))
