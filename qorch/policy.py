"""How a run should behave, as frozen values."""

from dataclasses import dataclass
from enum import StrEnum

from qorch.errors import UsageError
from qorch.model.money import Money


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
    """How often a job that was provably not executed may be tried again."""

    max_attempts: int = 3


@dataclass(frozen=True)
class RunPolicy:
    """All policies of one run."""

    cache: CachePolicy = CachePolicy.RESUME
    retry: RetryPolicy = RetryPolicy()
    budget: Money | None = None
    rebuy: bool = False
    checkpoint_seconds: float = 1.0
