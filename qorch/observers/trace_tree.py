"""What is known of jobs and phases that cannot be sent as spans yet: of a span, OpenTelemetry must know the parent."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from qorch.model.clock_offset import unix_ns
from qorch.model.job import OVER_STATES, JobState
from qorch.model.ledger import EntryKind, LedgerRecord
from qorch.model.timing import Span
from qorch.ports.records import AttemptRecord, JobRecord

K = TypeVar("K")
V = TypeVar("V")


class RecentMap(OrderedDict[K, V], Generic[K, V]):
    """A dictionary that forgets its oldest keys, so that a long run does not fill the memory."""

    def __init__(self, most: int) -> None:
        """It keeps the ``most`` newest keys."""
        super().__init__()
        self._most = most

    def __setitem__(self, key: K, value: V) -> None:
        """Keep a value, and forget the oldest if there are too many."""
        super().__setitem__(key, value)
        while len(self) > self._most:
            self.popitem(last=False)


@dataclass(eq=False)
class JobTrace:
    """One job as far as it was told; times are nanoseconds since 1970."""

    job: JobRecord
    first_ns: int
    last_ns: int
    attempts: dict[int, AttemptRecord] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    spent_micros: int = 0
    currency: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens to the job."""
        return self.job.state in OVER_STATES

    @property
    def error(self) -> str | None:
        """Why the job is an error; None if it is none. One that is held may have been paid for, and has no results."""
        if self.job.state not in (JobState.FAILED, JobState.UNKNOWN):
            return None
        return self.job.error or str(self.job.state)

    def bounds(self, origin_ns: int) -> tuple[int, int]:
        """Its begin and end: those of its states, attempts and phases, whose times count from ``origin_ns``."""
        tried = [unix_ns(attempt.started_at) for attempt in self.attempts.values()]
        begun = [origin_ns + span.started_ns for span in self.spans]
        ended = [origin_ns + span.ended_ns for span in self.spans]
        return min([self.first_ns, *tried, *begun]), max([self.last_ns, *tried, *ended])


class TraceTree:
    """The jobs that are not sent yet, and the phases that wait for their step."""

    def __init__(self) -> None:
        """Nothing was told yet."""
        self.jobs: dict[str, JobTrace] = {}
        self._early: dict[str, list[AttemptRecord]] = {}
        self.phases: list[Span] = []

    def see_job(self, job: JobRecord) -> bool:
        """Note a job; whether its state is new."""
        at_ns = unix_ns(job.changed_at)
        known = self.jobs.get(job.job_id)
        if known is None:
            known = self.jobs[job.job_id] = JobTrace(job, at_ns, at_ns)
            known.attempts |= {attempt.ordinal: attempt for attempt in self._early.pop(job.job_id, ())}
            return True
        is_new = known.job.state is not job.state
        known.job, known.last_ns = job, max(known.last_ns, at_ns)
        return is_new

    def see_attempt(self, attempt: AttemptRecord) -> bool:
        """Note an attempt; whether it is told for the first time."""
        known = self.jobs.get(attempt.job_id)
        if known is None:
            self._early.setdefault(attempt.job_id, []).append(attempt)
            return True
        is_new = attempt.ordinal not in known.attempts
        known.attempts[attempt.ordinal] = attempt
        return is_new

    def see_money(self, entry: LedgerRecord) -> None:
        """Note what a job costs."""
        known = self.jobs.get(entry.job_id or "")
        if known is not None and entry.kind in (EntryKind.SPENT, EntryKind.ADJUSTED):
            known.spent_micros += entry.micros
            known.currency = entry.currency

    def see_span(self, span: Span) -> None:
        """Note a phase, with its job if it has one that is not sent yet."""
        known = self.jobs.get(span.job_id or "")
        (self.phases if known is None else known.spans).append(span)

    def take_phases(self) -> list[Span]:
        """All phases without a job that is told; they are to be put back if they must wait."""
        phases, self.phases = self.phases, []
        return phases

    def take_jobs(self, *, also_open: bool) -> Iterator[JobTrace]:
        """The jobs that are over, or all; a job that must wait is to be put back into ``jobs``."""
        for job_id in [name for name, job in self.jobs.items() if also_open or job.is_over]:
            yield self.jobs.pop(job_id)
