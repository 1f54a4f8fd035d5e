"""The other side of a mock: takes jobs, and knows at any time what has become of them. It never waits."""

import datetime
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

from qorch.errors import RejectedError, UnknownOutcomeError
from qorch.model.job import JobStatus, Payload, RemoteState
from qorch.model.label import JobLabel
from qorch.model.profiles.draws import (
    DrawnCall,
    DrawnJob,
    JobWork,
    draw_call,
    draw_job,
    end_of_closure,
    generator_of,
)
from qorch.model.profiles.profile import Profile
from qorch.model.usage import NO_USAGE, PENDING_USAGE, ReportedUsage, UsageUnit, report_usage
from qorch.ports.clock import Clock
from qorch_providers.mock.device import Calendar

MOST_KEPT_BYTES = 1 << 28
"""Of jobs; beyond that, the oldest that are over are forgotten."""
_JOB_BYTES = 2_000
"""What a job takes beside its rows, about."""
_OF_JOBS = ("submit", "poll", "fetch", "cancel", "usage")
"""Calls that are about one job first of all."""
FAILURE = "the mock's profile lets it fail"


@dataclass(eq=False)
class MockJob:
    """One job that was accepted; times are seconds since the epoch. ``cancelled_at``: None if nobody asked for it.

    ``payload``: without its content, of which ``digest`` remains.
    """

    provider_id: str
    payload: Payload
    digest: str
    drawn: DrawnJob
    subject: str
    accepted_at: float
    started_at: float
    cancelled_at: float | None = None

    @property
    def listed_at(self) -> float:
        """From when lists show it."""
        return self.accepted_at + self.drawn.listing_seconds

    @property
    def ended_at(self) -> float:
        """When it is over."""
        end = self.started_at + self.drawn.execution_seconds
        return end if self.cancelled_at is None else min(end, self.cancelled_at)

    @property
    def nbytes(self) -> int:
        """What it takes to keep it."""
        blocks = self.payload.request.blocks
        streams = sum(block.samples.streams.nbytes for block in blocks if block.samples is not None)
        return _JOB_BYTES + sum(block.angles.nbytes for block in blocks) + 2 * streams

    @cached_property
    def label(self) -> JobLabel:
        """The label, and what a provider counts itself."""
        request = self.payload.request
        shots = {block.shots for block in request.blocks}
        label = request.label or JobLabel()
        return JobLabel(
            label.job_id,
            label.rows,
            label.digest,
            label.context,
            n_rows=request.n_rows,
            shots=shots.pop() if len(shots) == 1 else None,
        )

    def has_begun_at(self, now: float) -> bool:
        """Whether it runs, or has run; not if it was cancelled in the queue."""
        return self.started_at <= min(now, self.ended_at)

    def state_at(self, now: float) -> RemoteState:
        """Where it is."""
        if self.cancelled_at is not None and now >= self.cancelled_at:
            return RemoteState.CANCELLED
        if now < self.ended_at:
            return RemoteState.RUNNING if now >= self.started_at else RemoteState.QUEUED
        return RemoteState.FAILED if self.drawn.fails else RemoteState.DONE


@dataclass(eq=False)
class MockProvider:
    """The server's side, which outlives its clients, but not its process.

    What becomes of a job or call is drawn from ``profile`` by ``seed`` and by what it is: the job's place in its run,
    the stream of its first row (which has the run's seed in it), and how often the same was asked before. The order in
    which tasks happen to call changes nothing. ``calls`` counts the requests of all clients by purpose.
    """

    profile: Profile
    clock: Clock
    seed: int
    jobs: dict[str, MockJob] = field(default_factory=dict)
    calls: "Counter[str]" = field(default_factory=Counter)
    _by_key: dict[str, list[MockJob]] = field(default_factory=dict)
    _turns: "Counter[tuple[str, str]]" = field(default_factory=Counter)
    _kept_bytes: int = 0
    _calendar: Calendar = field(init=False)

    def __post_init__(self) -> None:
        """Nothing has run yet."""
        self._calendar = Calendar(self.profile.facts.at_once, self.reopens_at)

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.clock.now().timestamp()

    def reopens_at(self, at: float) -> float:
        """When the closure ends that holds at a time; that time itself if there is none."""
        return end_of_closure(self.profile.closures, self.seed, at)

    def draw_call(self, purpose: str, subject: str) -> DrawnCall:
        """What becomes of the next call of this kind about this subject, which is counted."""
        self.calls[purpose] += 1
        rng = generator_of(self.seed, purpose, subject, self._next_turn(purpose, subject))
        return draw_call(self.profile, rng, is_submission=purpose == "submit")

    def accept(self, payload: Payload) -> MockJob:
        """Take a job that arrives now, or answer with that which has its key, as long as keys are remembered.

        Raises RejectedError if a remembered key comes with other bytes.
        """
        known = self._remembered(payload)
        if known is not None:
            return known
        now, subject = self.now(), subject_of(payload)
        number = self._next_turn("job", subject)
        drawn = draw_job(self.profile, generator_of(self.seed, "job", subject, number), _work_of(payload))
        accepted_at = now + drawn.acceptance_seconds
        ready = accepted_at + drawn.queue_seconds
        started_at = self._calendar.book(ready, drawn.execution_seconds, now=now)
        name, kept = f"mock-{payload.key[:24]}-{number}", replace(payload, content=b"")
        job = MockJob(name, kept, payload.digest, drawn, subject, accepted_at, started_at)
        self.jobs[name] = job
        self._by_key.setdefault(payload.key, []).append(job)
        self._kept_bytes += job.nbytes
        self._forget_oldest(now)
        return job

    def visible(self, since: datetime.datetime) -> list[MockJob]:
        """The jobs that lists show now, accepted since then, from new to old."""
        now, oldest = self.now(), since.timestamp()
        shown = [job for job in self.jobs.values() if oldest <= job.accepted_at and job.listed_at <= now]
        return sorted(shown, key=lambda job: -job.accepted_at)

    def find(self, keys: Iterable[str], since: datetime.datetime) -> dict[str, str]:
        """Ids by key. Raises UnknownOutcomeError if one of them has several jobs."""
        now, oldest, found = self.now(), since.timestamp(), {}
        for key in keys:
            jobs = [job for job in self._by_key.get(key, ()) if oldest <= job.accepted_at and job.listed_at <= now]
            if len(jobs) > 1:
                raise UnknownOutcomeError(f"the mock has {len(jobs)} jobs with the key {key[:16]}…: cancel all but one")
            if jobs:
                found[key] = jobs[0].provider_id
        return found

    def cancel(self, provider_id: str) -> None:
        """End a job that is not over."""
        job = self.jobs.get(provider_id)
        if job is not None and self.now() < job.ended_at:
            job.cancelled_at = self.now()

    def forget(self, provider_id: str) -> None:
        """Delete a job."""
        job = self.jobs.pop(provider_id)
        self._kept_bytes -= job.nbytes
        self._by_key[job.payload.key].remove(job)
        if not self._by_key[job.payload.key]:
            del self._by_key[job.payload.key]
        for purpose in ("job", *_OF_JOBS):
            self._turns.pop((purpose, job.subject), None)

    def status_of(self, job: MockJob, *, at: float | None = None) -> JobStatus:
        """What the provider says of a job now, or said at a time before, in seconds since the epoch."""
        now, facts = self.now() if at is None else at, self.profile.facts
        state = job.state_at(now)
        step = facts.queue_step_seconds
        is_placed = state is RemoteState.QUEUED and step is not None
        return JobStatus(
            state,
            error=FAILURE if state is RemoteState.FAILED else None,
            is_repeatable=state is RemoteState.FAILED and job.drawn.is_repeatable,
            submitted_at=_date(job.accepted_at),
            started_at=_date(job.started_at) if facts.tells_start and job.has_begun_at(now) else None,
            ended_at=_date(job.ended_at) if state.is_over else None,
            key=job.payload.key,
            label=job.label,
            queue_position=1 + int((job.started_at - now) / step) if is_placed and step else None,
            usage=self.usage_of(job, at=now) if state.is_over else None,
        )

    def usage_of(self, job: MockJob, *, at: float | None = None) -> ReportedUsage:
        """What a job was charged for, as told at that time; what failed or was cancelled is not charged."""
        now, units = self.now() if at is None else at, self.profile.facts.usage
        if not units:
            return NO_USAGE
        if not job.state_at(now).is_over or now < job.ended_at + job.drawn.usage_seconds:
            return PENDING_USAGE
        amounts = _charged(job) if job.state_at(now) is RemoteState.DONE else dict.fromkeys(UsageUnit, 0.0)
        return report_usage(**{unit.value: amounts[unit] for unit in units})

    def _remembered(self, payload: Payload) -> MockJob | None:
        jobs = self._by_key.get(payload.key, ())
        remembered = self.profile.facts.remembers_keys_seconds
        known = next((job for job in jobs if self.now() < job.accepted_at + remembered), None)
        if known is not None and known.digest != payload.digest:
            raise RejectedError("the mock has another job under this key; give the job a key of its own")
        return known

    def _next_turn(self, purpose: str, subject: str) -> int:
        turn = self._turns[purpose, subject]
        self._turns[purpose, subject] += 1
        return turn

    def _forget_oldest(self, now: float) -> None:
        """A tenth more than needed, so that this is not done for every job."""
        if self._kept_bytes <= MOST_KEPT_BYTES:
            return
        over = [name for name, job in self.jobs.items() if job.state_at(now).is_over]
        for name in over:
            if self._kept_bytes <= 0.9 * MOST_KEPT_BYTES:
                return
            self.forget(name)


def subject_of(payload: Payload) -> str:
    """Which job it is, in the words of its run: the same in every run of one seed, whatever the run is called."""
    request = payload.request
    samples = request.blocks[0].samples if request.blocks else None
    first = "exact" if samples is None else f"{int(samples.streams[0]):x}.{int(samples.ordinals[0])}.{samples.offset}"
    return f"{request.job_id.rpartition('/')[2]}/{first}"


def _work_of(payload: Payload) -> JobWork:
    request, usage = payload.request, payload.usage
    rows = tuple(block.n_rows for block in request.blocks)
    if usage is not None:
        return JobWork(rows, usage.executions, usage.shots)
    return JobWork(rows, request.n_rows, sum(block.n_rows * (block.shots or 0) for block in request.blocks))


def _charged(job: MockJob) -> dict[UsageUnit, float]:
    """What a job that is done was charged for; its seconds within what was expected of them, as they were reserved."""
    usage, seconds = job.payload.usage, job.drawn.execution_seconds
    if usage is not None and usage.seconds is not None:
        seconds = min(max(seconds, usage.seconds.low), usage.seconds.high)
    return {
        UsageUnit.DEVICE_SECONDS: seconds,
        UsageUnit.COMPUTE_SECONDS: seconds,
        UsageUnit.SIMULATOR_SECONDS: seconds,
        UsageUnit.TASKS: 1.0,
        UsageUnit.SHOTS: float(0 if usage is None else usage.shots),
    }


def _date(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
