"""A fake provider, without a network: accepts late, fails on demand, and records what it accepted."""

import datetime
import heapq
import itertools
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from qorch.errors import (
    BusyError,
    CredentialsError,
    JobFailedError,
    RejectedError,
    UnavailableError,
    UnreachableError,
)
from qorch.model.job import (
    JobRequest,
    LostRows,
)
from qorch.ports.clock import Clock
from qorch.ports.policy import Rate


class Fault(StrEnum):
    """What may happen to one call. LOST_BEFORE and LOST_AFTER: no answer, the job not accepted, or accepted."""

    BUSY = "busy"
    LIMITED = "busy until a named time"
    LOST_BEFORE = "lost before"
    LOST_AFTER = "lost after"
    REJECTED = "rejected"


class Outcome(StrEnum):
    """What a client was told of a submission; UNKNOWN if it was told nothing, or had died."""

    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    REFUSED = "refused"


@dataclass(eq=False)
class Letter:
    """One submission as it left a client: what the truth is compared with."""

    key: str
    request: JobRequest
    sent_at: float
    arrives_at: float
    fault: Fault | None
    digest: str
    outcome: Outcome = Outcome.UNKNOWN
    refusal: RejectedError | None = None
    provider_id: str | None = None
    answered_at: float | None = None

    def answer(self, outcome: Outcome, at: float) -> None:
        """Record what its client was told."""
        self.outcome = outcome
        self.answered_at = at

    def outcome_at(self, at: float) -> Outcome:
        """What its client knew at that time."""
        return Outcome.UNKNOWN if self.answered_at is None or self.answered_at > at else self.outcome


@dataclass(eq=False)
class AcceptedJob:
    """One job as the provider knows it; ``seen_at``: from when its lists show it.

    ``spoiled``: so many times its answer cannot be read. ``lost``: the rows of each block that failed.
    """

    provider_id: str
    key: str
    request: JobRequest
    accepted_at: float
    seen_at: float
    done_at: float
    is_cancelled: bool = False
    failure: JobFailedError | None = None
    spoiled: int = 0
    lost: tuple[tuple[LostRows, ...], ...] = ()
    submitted_at: float = 0.0
    digest: str = ""
    fetches: int = 0
    started_at: float | None = None
    charged_seconds: float | None = None
    counted_at: float = 0.0


@dataclass(eq=False)
class FakeProvider:
    """The server's side, which outlives all clients. ``calls`` counts the calls of all clients by name.

    Nothing in it waits: what arrived, was accepted or is done follows from the time alone, also if clients have died.
    ``accept_seconds``: from the arrival of a submission to its acceptance, drawn per job; ``list_seconds``: from there
    until lists show it; ``run_seconds``: to its end. ``rate``: its hard limit. ``outages`` and ``closures``: when it
    cannot be reached, and when it takes no jobs, as seconds from and to; ``lockouts``: when it refuses the key;
    ``lapses``: when it does not find the jobs that are fetched. ``remembers_keys_seconds``: so long after a job's first
    submission another one under its key is answered with that job, and refused if it has other bytes. ``queue_length``:
    so many places of its queue are told apart, and of a later one only that it is later; 0: it tells nothing of it.
    ``queue_seconds``: how much of ``run_seconds`` a job waits until it runs; None: it is called queued until its end.
    ``charge_seconds``: of its device, for a job, whatever becomes of it; None: it reports no usage. ``count_seconds``:
    from a job's end until its usage is complete.
    ``clock_error``: by how many seconds its clock, by which it dates submission and end, is fast at a time; None: it
    dates nothing.
    """

    clock: Clock
    accept_seconds: Callable[[], float] = lambda: 0.0
    list_seconds: Callable[[], float] = lambda: 0.0
    run_seconds: Callable[[], float] = lambda: 1.0
    failures: Callable[[], JobFailedError | None] = lambda: None
    losses: Callable[[JobRequest], tuple[tuple[LostRows, ...], ...]] = lambda _: ()
    spoils: Callable[[], int] = lambda: 0
    wait_seconds: Callable[[], float] = lambda: 30.0
    rate: Rate | None = None
    is_up: bool = True
    outages: Sequence[tuple[float, float]] = ()
    closures: Sequence[tuple[float, float]] = ()
    lockouts: Sequence[tuple[float, float]] = ()
    lapses: Sequence[tuple[float, float]] = ()
    remembers_keys_seconds: float = 0.0
    queue_length: int = 0
    queue_seconds: Callable[[], float] | None = None
    clock_error: Callable[[float], float] | None = None
    charge_seconds: Callable[[], float] | None = None
    count_seconds: Callable[[], float] = lambda: 0.0
    calls: "Counter[str]" = field(default_factory=Counter)
    letters: list[Letter] = field(default_factory=list)
    submitted_at: list[float] = field(default_factory=list)
    refused_at: list[float] = field(default_factory=list)
    waits: list[tuple[float, float]] = field(default_factory=list)
    _taken_at: "deque[float]" = field(default_factory=deque)
    _jobs: dict[str, AcceptedJob] = field(default_factory=dict)
    _under_way: list[tuple[float, int, Letter]] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def now(self) -> float:
        """Seconds by the monotonic clock, which is the provider's, too."""
        return self.clock.monotonic_ns() / 1e9

    @property
    def jobs(self) -> dict[str, AcceptedJob]:
        """All jobs by id that were, or will be, accepted of what has arrived."""
        self._open_letters()
        return self._jobs

    def post(self, letter: Letter) -> None:
        """A submission leaves its client: it cannot be called back."""
        self.letters.append(letter)
        heapq.heappush(self._under_way, (letter.arrives_at, next(self._numbers), letter))

    def is_reachable(self, at: float) -> bool:
        """Whether calls arrive at that time."""
        return self.is_up and not _is_within(self.outages, at)

    def is_open(self, at: float) -> bool:
        """Whether jobs are taken at that time."""
        return not _is_within(self.closures, at)

    def is_forgetful(self, at: float) -> bool:
        """Whether a job that is asked for alone seems not to be there at that time."""
        return _is_within(self.lapses, at)

    def has_key(self, at: float) -> bool:
        """Whether the key is good at that time."""
        return not _is_within(self.lockouts, at)

    def visible(self) -> list[AcceptedJob]:
        """The jobs that lists show now."""
        now = self.now()
        return [job for job in self.jobs.values() if job.seen_at <= now]

    def place_of(self, job: AcceptedJob) -> tuple[int | None, bool]:
        """A job's place among those that are not over, in the order of acceptance; True if it is that or later."""
        if not self.queue_length:
            return None, False
        now = self.now()
        waiting = [other for other in self._jobs.values() if other.done_at > now and not other.is_cancelled]
        place = 1 + sum(other.accepted_at < job.accepted_at for other in waiting)
        return min(place, self.queue_length + 1), place > self.queue_length

    def date(self, at: float) -> datetime.datetime | None:
        """The time by the provider's own clock; None if it dates nothing."""
        if self.clock_error is None:
            return None
        return self.clock.now() + datetime.timedelta(seconds=at - self.now() + self.clock_error(at))

    def accepted_twice(self) -> dict[str, int]:
        """Jobs per key, of the keys that have more than one: which must never happen."""
        counts = Counter(job.key for job in self.jobs.values())
        return {key: count for key, count in counts.items() if count > 1}

    def _open_letters(self) -> None:
        now = self.now()
        while self._under_way and self._under_way[0][0] <= now:
            _, _, letter = heapq.heappop(self._under_way)
            self._open(letter)

    def _open(self, letter: Letter) -> None:
        at = letter.arrives_at
        if letter.fault is Fault.LOST_BEFORE:
            return
        if self.is_reachable(at):
            self.submitted_at.append(at)
        letter.refusal = self._refusal(letter, at)
        if letter.refusal is None:
            letter.provider_id = self._accept(letter, at)

    def _refusal(self, letter: Letter, at: float) -> RejectedError | None:
        if not self.is_reachable(at):
            return UnreachableError("the provider cannot be reached")
        if not self.has_key(at):
            return CredentialsError("the provider refused the key; check FAKE_API_KEY")
        if letter.fault is Fault.BUSY:
            return BusyError("the provider is busy")
        if letter.fault is Fault.LIMITED:
            return BusyError("too many requests", retry_after_seconds=self.wait_seconds())
        if letter.fault is Fault.REJECTED:
            return RejectedError(f"the provider refused job {letter.request.job_id}")
        known = self._remembered(letter, at)
        if known is not None and known.digest != letter.digest:
            return RejectedError(f"the provider has another job under the key of job {letter.request.job_id}")
        if not self.is_open(at):
            return UnavailableError("the provider takes no jobs now")
        return self._limit(at)

    def _limit(self, at: float) -> BusyError | None:
        if self.rate is None:
            return None
        while self._taken_at and self._taken_at[0] <= at - self.rate.seconds:
            self._taken_at.popleft()
        if len(self._taken_at) < self.rate.calls:
            self._taken_at.append(at)
            return None
        self.refused_at.append(at)
        wait = self._taken_at[0] + self.rate.seconds - at
        self.waits.append((at, at + wait))
        return BusyError("too many requests", retry_after_seconds=wait)

    def _remembered(self, letter: Letter, at: float) -> AcceptedJob | None:
        """The job that was accepted under this key not long ago."""
        since = at - self.remembers_keys_seconds
        return next((job for job in self._jobs.values() if job.key == letter.key and job.submitted_at > since), None)

    def _accept(self, letter: Letter, at: float) -> str:
        known = self._remembered(letter, at)
        if known is not None:
            return known.provider_id
        provider_id = f"job-{len(self._jobs) + 1}"
        accepted_at = at + self.accept_seconds()
        done_at = accepted_at + self.run_seconds()
        self._jobs[provider_id] = AcceptedJob(
            provider_id,
            letter.key,
            letter.request,
            accepted_at,
            seen_at=accepted_at + self.list_seconds(),
            done_at=done_at,
            failure=self.failures(),
            spoiled=self.spoils(),
            lost=self.losses(letter.request),
            submitted_at=at,
            digest=letter.digest,
            started_at=None if self.queue_seconds is None else accepted_at + self.queue_seconds(),
            charged_seconds=None if self.charge_seconds is None else self.charge_seconds(),
            counted_at=done_at + self.count_seconds(),
        )
        return provider_id


def _is_within(windows: Sequence[tuple[float, float]], at: float) -> bool:
    return any(start <= at < end for start, end in windows)
