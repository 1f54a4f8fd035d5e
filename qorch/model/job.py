"""Jobs and attempts: one paid submission that carries many rows, and each try at submitting it."""

from dataclasses import dataclass
from enum import StrEnum

from qorch.model.measurement import BlockResult, RowBlock


class JobState(StrEnum):
    """Where a job is. RESERVED is provably unsent; UNKNOWN may have been accepted, and may be billed."""

    PLANNED = "planned"
    RESERVED = "reserved"
    INTENT = "intent"
    SUBMITTED = "submitted"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


@dataclass(frozen=True, eq=False)
class JobRequest:
    """What a backend is asked to run as one job: blocks of rows, in order."""

    job_id: str
    blocks: tuple[RowBlock, ...]

    @property
    def n_rows(self) -> int:
        """The rows of all blocks."""
        return sum(block.n_rows for block in self.blocks)


@dataclass(frozen=True, eq=False)
class RawResult:
    """A backend's answer, verbatim, and when it executed on the monotonic clock (None where unobserved)."""

    content: bytes
    started_ns: int | None = None
    ended_ns: int | None = None


@dataclass(frozen=True, eq=False)
class JobResult:
    """The decoded and verified answer: one BlockResult per block of the request."""

    blocks: tuple[BlockResult, ...]
