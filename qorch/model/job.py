"""Jobs: one paid submission that carries many rows, where it is, and what came back."""

import datetime
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType

import numpy as np

from qorch.model.arrays import IntArray
from qorch.model.label import JobLabel
from qorch.model.measurement import BlockResult, BlockShape, RowBlock
from qorch.model.usage import ReportedUsage


class JobState(StrEnum):
    """Where a job is. RESERVED is provably unsent; UNKNOWN may have been accepted and billed, and is held.

    A job is PLANNED in memory only. All jobs of a call are RESERVED in one transaction before the first is sent, and
    INTENT is durable before a job's first byte leaves; ``MOVES`` has every allowed move. UNKNOWN with a provider's id:
    the job was accepted and billed. Either its answer cannot be read, or its rows are not known before the run reaches
    its step (see ``qorch.engine.remote.adoption``). Without: a resumed run may send it again under the same key, while
    the provider remembers that; it stays UNKNOWN until an answer comes (see ``qorch.engine.remote.resending``).
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
"""States of a job that may be at a provider: recovery finds out what became of it."""
OVER_STATES = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
"""States that a job does not leave any more, unless a database was restored from a backup (see ``MOVES``)."""


MOVES: Mapping[JobState, frozenset[JobState]] = MappingProxyType(
    {
        # A job of a backend in this process that costs nothing is written down only once it is over.
        # One that was found at the provider after the database was restored from a backup begins as UNKNOWN.
        JobState.PLANNED: frozenset({JobState.RESERVED, JobState.INTENT, JobState.UNKNOWN, *OVER_STATES}),
        # UNKNOWN with a provider's id: a database that was restored from a backup does not know that it was sent.
        JobState.RESERVED: frozenset({JobState.INTENT, JobState.FAILED, JobState.CANCELLED, JobState.UNKNOWN}),
        JobState.INTENT: frozenset(
            {
                JobState.RESERVED,
                JobState.SUBMITTED,
                JobState.UNKNOWN,
                JobState.FAILED,
                JobState.CANCELLED,
                JobState.DONE,
            }
        ),
        JobState.SUBMITTED: frozenset({JobState.UNKNOWN, *OVER_STATES}),
        # Looked for again, released or adopted by a person.
        JobState.UNKNOWN: frozenset({JobState.RESERVED, JobState.SUBMITTED, *OVER_STATES}),
        JobState.DONE: frozenset(),
        JobState.FAILED: frozenset(),
        # As RESERVED: only of a job that was never sent as far as the database knows.
        JobState.CANCELLED: frozenset({JobState.UNKNOWN}),
    }
)
"""To which states a job may move from each; writing a job again in the same state is always allowed."""


class AttemptOutcome(StrEnum):
    """What became of one try at submitting a job.

    INTENT: not known yet. UNANSWERED: no answer came, and the job was sent again under the same key.
    WITHDRAWN: it was not sent after all. FAILED: it failed in this process, and left nothing behind. FOUND: an earlier
    process made it, and a database that was restored from a backup learned of it from the provider's list.
    """

    INTENT = "intent"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNANSWERED = "unanswered"
    WITHDRAWN = "withdrawn"
    FAILED = "failed"
    FOUND = "found"


class RemoteState(StrEnum):
    """Where a job is at its provider, whatever words that provider has for it."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Whether it changes no more."""
        return self not in (RemoteState.QUEUED, RemoteState.RUNNING)


@dataclass(frozen=True)
class JobStatus:
    """What a provider says of a job; its times are by its own clock.

    ``is_repeatable``: a failure that another try may not meet, of a job that was not charged. ``wait_seconds``: the
    provider's own forecast of the time that is left. ``key``: the idempotency key with which it was
    submitted, and ``label``: the rest of what qorch had the provider keep; None if the provider does not show it.
    ``queue_position``: its place in the provider's queue (1 is next), None if it is not queued or the provider does not
    say. ``queue_position_is_least``: the provider says only that the place is at least that ("more than 2000": 2001).
    ``usage``: of a job that is over, what it was charged for; None if this answer does not tell.
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
    queue_position: int | None = None
    queue_position_is_least: bool = False
    usage: ReportedUsage | None = None


@dataclass(frozen=True)
class QueuePlace:
    """A job's place in its provider's queue (1 is next), and when it was first seen there.

    ``is_least``: the provider says only that the place is at least that.
    """

    position: int
    seen_at: datetime.datetime
    is_least: bool = False

    @property
    def order(self) -> tuple[int, bool]:
        """Sorts places by how soon a turn comes; equal for the same place, whenever it was seen."""
        return self.position, self.is_least

    def __str__(self) -> str:
        """Such as ``3rd in the queue``."""
        return f"{_ordinal(self.position)}{' or later' if self.is_least else ''} in the queue"


def _ordinal(number: int) -> str:
    is_teen = number % 100 in (11, 12, 13)
    return f"{number:,}{'th' if is_teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


@dataclass(frozen=True)
class Availability:
    """Whether a backend takes jobs now; ``reason`` says why not, or what is to be known of it."""

    is_open: bool
    reason: str = ""
    n_qubits: int | None = None
    queue_seconds: float | None = None

    def __str__(self) -> str:
        """Such as ``takes jobs; 36 qubits; jobs wait about 120 s``."""
        reason = f" ({self.reason})" if self.reason else ""
        return "; ".join(
            [
                f"takes jobs{reason}" if self.is_open else f"takes no jobs now{reason}",
                *([] if self.n_qubits is None else [f"{self.n_qubits} qubits"]),
                *([] if self.queue_seconds is None else [f"jobs wait about {self.queue_seconds:,.0f} s"]),
            ]
        )


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


@dataclass(frozen=True)
class Interval:
    """A quantity that is not known before: at least ``low``, most likely ``expected``, at most ``high``."""

    low: float
    expected: float
    high: float

    def __post_init__(self) -> None:
        """Raise ValueError unless 0 ≤ low ≤ expected ≤ high, all finite."""
        if not 0.0 <= self.low <= self.expected <= self.high < math.inf:
            raise ValueError(f"{self.low}, {self.expected}, {self.high} are not in order")


@dataclass(frozen=True)
class Usage:
    """How much a job asks of a device, in the quantities that providers bill.

    ``executions``: rows in one basis. ``shots``: of all of them together. ``one_qubit_gate_shots`` and
    ``two_qubit_gate_shots``: gates times shots, of the circuits as they are sent. ``seconds``: of the device's time, as
    far as that can be told before; None if the adapter does not estimate it. ``is_mitigated``: whether the provider
    mitigates errors, for which some ask a minimum of its own.
    """

    executions: int
    shots: int
    one_qubit_gate_shots: int = 0
    two_qubit_gate_shots: int = 0
    seconds: Interval | None = None
    is_mitigated: bool = False


@dataclass(frozen=True, eq=False)
class Payload:
    """A job as it is sent: ``content`` in full, the same at every resend; empty if it is executed in this process.

    ``key``: the idempotency key. ``search_text``: by which a person finds the job in the provider's console.
    ``usage``: None if nothing is billed. ``session_id``: the provider's session into which it is sent; empty: none.
    That is no part of the content: it changes where a job waits and never what is computed, and a resend goes into
    the session that is open then.
    """

    request: JobRequest
    key: str = ""
    content: bytes = b""
    search_text: str = ""
    usage: Usage | None = None
    session_id: str = ""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content, 64 hexadecimal digits: stored with each attempt, and compared before a resend."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, eq=False)
class RawResult:
    """A backend's answer, verbatim, and when it executed on the monotonic clock (None if that was not observed)."""

    content: bytes
    started_ns: int | None = None
    ended_ns: int | None = None


@dataclass(frozen=True, eq=False)
class LostRows:
    """Rows of a block, ascending, that failed at the provider for one ``reason`` and were not charged.

    ``is_repeatable``: running them again may succeed.
    """

    rows: IntArray
    reason: str = ""
    is_repeatable: bool = True


@dataclass(frozen=True, eq=False)
class JobResult:
    """The results in an answer: one BlockResult per block of the request.

    ``lost[i]``: what failed of block i; ``blocks[i]`` then has the other rows only, in their order. Empty: all rows are
    there. ``usage``: what the answer tells that the job was charged for, which holds instead of what its status tells;
    None if it tells nothing.
    """

    blocks: tuple[BlockResult, ...]
    lost: tuple[tuple[LostRows, ...], ...] = ()
    usage: ReportedUsage | None = None

    def lost_in(self, index: int) -> IntArray:
        """The rows of a block that failed, ascending."""
        parts = [part.rows for part in self.lost[index]] if self.lost else []
        return np.sort(np.concatenate([*parts, np.zeros(0, dtype=np.int64)]))
