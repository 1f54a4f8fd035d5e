"""One job on its way to a provider, and when it was first sent."""

import datetime
from dataclasses import dataclass, field

from qorch.engine.remote.payloads import Encoded
from qorch.engine.remote.waits import Acceptance
from qorch.model.job import JobState
from qorch.ports.clock import Clock
from qorch.ports.records import AttemptRecord, JobPlan, JobRecord, Write


@dataclass(frozen=True)
class SentTime:
    """A time by both clocks: the monotonic one stands still while a laptop sleeps, and the other may be set back."""

    monotonic_ns: int
    at: datetime.datetime

    @classmethod
    def now(cls, clock: Clock) -> "SentTime":
        return cls(clock.monotonic_ns(), clock.now())

    @classmethod
    def of_earlier_process(cls, at: datetime.datetime, clock: Clock) -> "SentTime | None":
        """A time that another process wrote down; None if it is not over yet by the wall clock of this one."""
        now = cls.now(clock)
        age = (now.at - at).total_seconds()
        return None if age < 0 else cls(now.monotonic_ns - round(age * 1e9), at)

    def seconds_since(self, earlier: "SentTime") -> float:
        """The longer of what the two clocks say."""
        return max((self.monotonic_ns - earlier.monotonic_ns) / 1e9, (self.at - earlier.at).total_seconds())


@dataclass(eq=False)
class Sending:
    """One job on its way to the provider. ``begun_at``: before its first submission.

    ``is_in_doubt``: an earlier submission has no answer, so that the provider may have the job. If that was of an
    earlier process, the job is UNKNOWN until an answer comes, and not INTENT. ``unanswered``: what that process tried,
    to be written once the job is sent again.
    """

    encoded: Encoded
    plan: JobPlan
    record: JobRecord
    begun_at: datetime.datetime
    attempt: AttemptRecord
    first_sent: SentTime | None = None
    accepted_ns: int = 0
    unknowns: int = 0
    is_in_doubt: bool = False
    unanswered: list[Write] = field(default_factory=list)

    @property
    def acceptance(self) -> Acceptance:
        """Of a job that is SUBMITTED."""
        return Acceptance(None if self.first_sent is None else self.first_sent.monotonic_ns, self.accepted_ns)

    @property
    def unsent_state(self) -> JobState:
        """The job's state after a try that provably did not reach the provider."""
        return self.intent_state if self.is_in_doubt else JobState.RESERVED

    @property
    def intent_state(self) -> JobState:
        """The job's state while it is sent."""
        return JobState.UNKNOWN if self.record.state is JobState.UNKNOWN else JobState.INTENT
