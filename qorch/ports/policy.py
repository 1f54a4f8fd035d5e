"""How a run should behave, as frozen values."""

from dataclasses import dataclass
from enum import StrEnum

from qorch.errors import UsageError


class CachePolicy(StrEnum):
    """Which stored results may stand in for executing a row.

    ``RESUME``: those that this run itself stored at the same position. ``REUSE``: also an earlier sample of the
    same row, context and shots, the k-th occurrence of a row in a call taking the k-th stored sample.
    ``TOP_UP``: also earlier samples with fewer shots, of which only the missing ones are taken. ``OFF``: none.
    Exact results are reused under all but OFF.
    """

    RESUME = "resume"
    REUSE = "reuse"
    TOP_UP = "top_up"
    OFF = "off"


def as_cache_policy(policy: "CachePolicy | str | None") -> CachePolicy:
    """The policy of that name; None is RESUME. Raises UsageError for another name."""
    if policy is None:
        return CachePolicy.RESUME
    try:
        return CachePolicy(policy)
    except ValueError:
        names = ", ".join(item.value for item in CachePolicy)
        raise UsageError(f"there is no cache policy '{policy}'; choose one of {names}") from None


@dataclass(frozen=True)
class RetryPolicy:
    """How often, and how long, what was provably without effect is tried again.

    ``max_attempts`` of a job that failed; ``patience_seconds`` with a server that answered before,
    ``first_patience_seconds`` with one that never did, and ``unreached_patience_seconds`` with an address at which
    there was no server yet; ``tokens`` and ``tokens_per_call``: the budget of retries;
    ``fetches`` of an answer that fails verification; ``max_unknowns``: submissions of one job without an answer;
    ``note_seconds`` between two lines about trouble.
    """

    max_attempts: int = 3
    patience_seconds: float = 86_400.0
    first_patience_seconds: float = 60.0
    unreached_patience_seconds: float = 6.0
    first_seconds: float = 0.25
    longest_seconds: float = 60.0
    tokens: float = 100.0
    tokens_per_call: float = 0.1
    fetches: int = 3
    max_unknowns: int = 10
    note_seconds: float = 30.0


@dataclass(frozen=True)
class PollPolicy:
    """How often a job at a provider is asked after: after ``share`` of its age, within the two bounds."""

    share: float = 0.03
    shortest_seconds: float = 0.05
    longest_seconds: float = 120.0


class OnUnknown(StrEnum):
    """What happens to a job if it is unknown whether it was accepted, and no list shows it after the settle time.

    ``HOLD``: it stays as it is until a person decides. ``RESUBMIT``: it is sent again under the same key.
    """

    HOLD = "hold"
    RESUBMIT = "resubmit"


@dataclass(frozen=True)
class Rate:
    """At most ``calls`` calls of one kind in any window of ``seconds``."""

    calls: int
    seconds: float


@dataclass(frozen=True)
class Terms:
    """How a provider's account may be used.

    ``account``: a name that all who see the same jobs have in common, and that tells nothing secret. ``paced_with``:
    the same of all who share its limits, if these are more; else empty.
    ``settle_seconds``: after this time whatever was accepted is in the provider's lists. ``remembers_keys_seconds``: so
    long after its first submission the same payload under the same key is the same job, so that sending it again is
    the look-up, also for a run that is resumed; 0 if a provider makes two jobs of it. ``most_jobs``: at once in
    progress; what is really used adapts below it. ``rate``, ``poll_rate`` and ``find_rate``: hard limits of submissions
    (shared by all processes of the account), and of polls and searches (kept by each process), None if none is known.
    ``console``: the page on which the provider shows, and limits, what the account spends; empty if there is none.
    ``limit_option``: an example of what, in the backend's name, has the provider itself limit what is spent; empty if
    nothing does. ``most_repeats``: how often rows run again that failed while the rest of their job did not; None: as
    often as the run's retry policy says.
    ``bills_sessions``: jobs are sent into provider sessions that are billed by their own time, and not by their jobs.
    """

    account: str
    on_unknown: OnUnknown
    settle_seconds: float
    most_jobs: int
    rate: Rate | None = None
    console: str = ""
    remembers_keys_seconds: float = 0.0
    poll_rate: Rate | None = None
    find_rate: Rate | None = None
    most_repeats: int | None = None
    paced_with: str = ""
    bills_sessions: bool = False
    limit_option: str = ""


@dataclass(frozen=True)
class RunPolicy:
    """All policies of one run. ``keep_free_bytes``: of free results in the database, None for all of them."""

    cache: CachePolicy = CachePolicy.RESUME
    retry: RetryPolicy = RetryPolicy()
    poll: PollPolicy = PollPolicy()
    rebuy: bool = False
    checkpoint_seconds: float = 1.0
    keep_free_bytes: int | None = None
