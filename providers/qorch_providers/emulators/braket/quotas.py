"""The service's quotas of calls: so many per second, with a burst."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from qorch.errors import UsageError
from qorch_providers.emulators.kit.rates import RateLimiter

_PATTERN = re.compile(r"([a-z]+):([0-9]{1,6}(?:\.[0-9]+)?)/([1-9][0-9]{0,6})")
_NOT_COUNTED = frozenset({"results", "objects", "identity"})
"""Calls of other services than Braket."""


@dataclass
class QuotaBucket:
    """Tokens of one quota: ``burst`` at most, of which ``per_second`` come back each second."""

    route: str
    per_second: float
    burst: int
    tokens: float = field(init=False)
    filled_seconds: float = 0.0

    def __post_init__(self) -> None:
        """Begin full."""
        self.tokens = float(self.burst)

    def wait_seconds(self, now_seconds: float) -> float:
        """0 if a token is there; else the seconds until one is."""
        self.tokens = min(self.burst, self.tokens + (now_seconds - self.filled_seconds) * self.per_second)
        self.filled_seconds = now_seconds
        # What is a rounding error short of a token is one.
        return 0.0 if self.tokens >= 1.0 - 1e-9 else (1.0 - self.tokens) / self.per_second


class CallQuotas:
    """The quotas of one server, and the hard limits that were asked for beside them."""

    def __init__(self, buckets: Sequence[QuotaBucket], limiter: RateLimiter) -> None:
        """A call passes if all of them let it."""
        self._buckets = tuple(buckets)
        self._limiter = limiter

    def admit(self, route: str, *, now_seconds: float) -> float:
        """0 if the call may pass, which counts it; else the seconds until one may."""
        concerned = [] if route in _NOT_COUNTED else [each for each in self._buckets if each.route in (route, "any")]
        wait = max((each.wait_seconds(now_seconds) for each in concerned), default=0.0)
        wait = wait or self._limiter.admit(route, now_seconds=now_seconds)
        if wait == 0.0:
            for each in concerned:
                each.tokens -= 1.0
        return wait


def parse_quotas(text: str, *, routes: Sequence[str]) -> list[QuotaBucket]:
    """Quotas such as ``post:20/40,get:100/500``: calls per second and burst. Raises UsageError."""
    buckets = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = _PATTERN.fullmatch(part)
        if found is None or found[1] not in routes or float(found[2]) <= 0.0:
            raise UsageError(
                f"'{part}' is not a quota; write ROUTE:PER_SECOND/BURST with a route of {', '.join(routes)}"
            )
        buckets.append(QuotaBucket(found[1], float(found[2]), int(found[3])))
    return buckets
