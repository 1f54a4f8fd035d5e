"""Jobs: one paid submission that carries many rows, where it is, and what came back."""

import datetime
from dataclasses import dataclass
from enum import StrEnum

from qorch.model.arrays import IntArray
from qorch.model.label import JobLabel
from qorch.model.measurement import BlockResult, BlockShape, RowBlock


class JobState(StrEnum):
    """Where a job is. RESERVED is provably unsent; UNKNOWN may have been accepted and billed, and is held.

    UNKNOWN with a provider's id: the job was accepted and billed. Either its answer cannot be read, or its rows are not
    known before the run reaches its step (see ``qorch.engine.remote.adoption``).
    """

    PLANNED = "planned"
    RESERVED = "reserved"
    INTENT = "intent"
    SUBMITTED = "submitted"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


OPEN_STATES = (JobState.INTENT, JobState.SUBMITTED, JobState.UNKNOWN)
"""States of a job that may be at a provider: what recovery has to settle."""
OVER_STATES = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
"""States that a job does not leave any more."""


class RemoteState(StrEnum):
    """Where a job is at its provider, whatever words that provider has for it."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class JobStatus:
    """What a provider says of a job; its times are by its own clock.

    ``is_repeatable``: a failure that another try may not meet, of a job that was not charged. ``wait_seconds``: the
    provider's own forecast of the time that is left. ``key``: the idempotency key with which it was
    submitted, and ``label``: the rest of what qorch had the provider keep; None if the provider does not show it.
    """

    state: RemoteState
    error: str | None = None
    is_repeatable: bool = False
    submitted_at: datetime.datetime | None = None
    started_at: datetime.datetime | None = None
    ended_at: datetime.datetime | None = None
    wait_seconds: float | None = None
    key: str | None = None
    label: JobLabel | None = None


@dataclass(frozen=True)
class Availability:
    """Whether a backend takes jobs now; ``reason`` says why not, or what is to be known of it."""

    is_open: bool
    reason: str = ""
    n_qubits: int | None = None
    queue_seconds: float | None = None


@dataclass(frozen=True, eq=False)
class JobShape:
    """What is needed to read the answer to a job: the shapes of its blocks, in order."""

    job_id: str
    blocks: tuple[BlockShape, ...]

    @property
    def n_rows(self) -> int:
        """The rows of all blocks."""
        return sum(block.n_rows for block in self.blocks)


@dataclass(frozen=True, eq=False)
class JobRequest:
    """The content of one job: blocks of rows, in order. ``label``: kept by the provider with the job."""

    job_id: str
    blocks: tuple[RowBlock, ...]
    label: JobLabel | None = None

    @property
    def n_rows(self) -> int:
        """The rows of all blocks."""
        return sum(block.n_rows for block in self.blocks)

    @property
    def shape(self) -> JobShape:
        """Without gates and angles."""
        return JobShape(self.job_id, tuple(block.shape for block in self.blocks))


@dataclass(frozen=True, eq=False)
class RawResult:
    """A backend's answer, verbatim, and when it executed on the monotonic clock (None where unobserved)."""

    content: bytes
    started_ns: int | None = None
    ended_ns: int | None = None


@dataclass(frozen=True, eq=False)
class JobResult:
    """The decoded and verified answer: one BlockResult per block of the request.

    ``lost[i]`` are the rows of block i, ascending, that failed at the provider and may run again; ``blocks[i]`` then
    has the other rows only, in their order. Empty: all rows are there.
    """

    blocks: tuple[BlockResult, ...]
    lost: tuple[IntArray, ...] = ()
