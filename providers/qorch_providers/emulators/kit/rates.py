"""Hard rate limits: at most N calls of a kind in any window of a second, minute or hour."""

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from qorch.errors import UsageError

UNITS = MappingProxyType({"sec": 1.0, "min": 60.0, "hour": 3600.0})
_PATTERN = re.compile(r"(?:([a-z]+):)?([1-9][0-9]{0,8})/(sec|min|hour)")


class CallLimiter(Protocol):
    """What decides whether a call passes."""

    def admit(self, route: str, *, now_seconds: float) -> float:
        """0 if the call may pass, which counts it; else the seconds until one may."""
        ...


@dataclass(frozen=True)
class RateLimit:
    """At most ``calls`` of one route in any ``seconds``."""

    route: str
    calls: int
    seconds: float


def parse_rate_limits(text: str, *, default_route: str, routes: Sequence[str]) -> tuple[RateLimit, ...]:
    """Limits such as ``5/min`` or ``get:100/sec,post:5/min``. Raises UsageError for anything else."""
    limits = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = _PATTERN.fullmatch(part)
        route = found[1] or default_route if found else ""
        if found is None or route not in routes:
            raise UsageError(
                f"'{part}' is not a rate limit; write [ROUTE:]N/sec|min|hour with a route of {', '.join(routes)}"
            )
        limits.append(RateLimit(route, int(found[2]), UNITS[found[3]]))
    return tuple(limits)


@dataclass
class RateLimiter:
    """Remembers when calls were admitted; the window slides, so that no window of that length has more calls."""

    limits: tuple[RateLimit, ...]
    _seen: dict[RateLimit, deque[float]] = field(default_factory=dict)

    def admit(self, route: str, *, now_seconds: float) -> float:
        """Admit a call and return 0, or return the seconds until one can be admitted."""
        concerned = [limit for limit in self.limits if limit.route in (route, "any")]
        waits = [self._wait_seconds(limit, now_seconds) for limit in concerned]
        if any(wait > 0.0 for wait in waits):
            return max(waits)
        for limit in concerned:
            self._seen[limit].append(now_seconds)
        return 0.0

    def _wait_seconds(self, limit: RateLimit, now_seconds: float) -> float:
        seen = self._seen.setdefault(limit, deque())
        while seen and seen[0] <= now_seconds - limit.seconds:
            seen.popleft()
        return seen[0] + limit.seconds - now_seconds if len(seen) >= limit.calls else 0.0
