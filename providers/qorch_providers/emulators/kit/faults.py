"""Faults to inject: a small language for them, and the plan that decides which calls they affect."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

import numpy as np

from qorch.errors import UsageError


class Moment(StrEnum):
    """When a fault takes effect, relative to the processing of the call.

    ``BEFORE``: the call is never processed. ``AFTER``: it is processed, then the answer is spoilt. ``DURING``: the
    answer is spoilt at once, and the call is processed a little later.
    """

    BEFORE = "before"
    AFTER = "after"
    DURING = "during"


STATUSES = MappingProxyType(
    {str(status): status for status in (400, 402, 403, 404, 409, 410, 424, 429, 500, 502, 503, 504, *range(520, 530))}
    | {"token-expiry": 401}
)
TOKEN_EXPIRY = "token-expiry"  # noqa: S105 -- the name of a fault
"""A refused key. Its status is the dialect's to say."""
CONNECTIONS = ("reset", "hang", "drip", "truncated")
BODIES = ("malformed", "html", "gzip-bomb", "deep-json")
CONTENTS = ("wrong-rows", "wrong-order", "nan")
JOBS = ("child-failure", "child-invalid", "child-missing", "failure", "invalid", "stuck", "unlisted")
OBJECTS = ("child-broken", "object-missing", "object-huge", "object-pickle")
"""What becomes of a job whose results are files in a store; only services that have such a store know these."""
UNAVAILABLE = "unavailable"

_TIMED = (*STATUSES, *CONNECTIONS, *BODIES)
_KINDS = (*_TIMED, *CONTENTS, *JOBS, UNAVAILABLE)
_PATTERN = re.compile(
    r"(?:(?P<route>[a-z]+):)?(?P<kind>[a-z0-9-]+?)(?:-(?P<moment>before|after|during))?"
    r"(?:@(?P<first>[1-9][0-9]*)(?:(?P<open>\+)|x(?P<count>[1-9][0-9]*))?"
    r"|@(?P<start>[0-9.]+)s\.\.(?P<end>[0-9.]+)s"
    r"|%(?P<share>[0-9.]+))?"
)


@dataclass(frozen=True)
class Fault:
    """One fault: its kind, its route, and which calls of the route it affects.

    ``last`` is None if there is no last call; ``window`` is in protocol seconds since the start of the server.
    """

    route: str
    kind: str
    moment: Moment
    first: int = 1
    last: int | None = None
    share: float = 1.0
    window: tuple[float, float] | None = None

    @property
    def concerns_job(self) -> bool:
        """Whether the fault changes the outcome of a job rather than the answer to the call."""
        return self.kind in (*JOBS, *OBJECTS)


def parse_faults(
    text: str, *, routes: Sequence[str], results_route: str, post_route: str, more_kinds: Sequence[str] = ()
) -> tuple[Fault, ...]:
    """Faults separated by commas, each ``[ROUTE:]KIND[-before|-after|-during][@N|@NxM|@N+|@As..Bs|%P]``.

    ``more_kinds``: those of `OBJECTS` that the service knows. Raises UsageError for one that cannot be understood.
    """
    parts = filter(None, (part.strip() for part in text.split(",")))
    kinds = (*_KINDS, *more_kinds)
    return tuple(_parse_one(part, kinds, routes, results_route, post_route) for part in parts)


def _parse_one(part: str, kinds: Sequence[str], routes: Sequence[str], results_route: str, post_route: str) -> Fault:
    found = _PATTERN.fullmatch(part)
    if found is None or found["kind"] not in kinds:
        raise UsageError(
            f"'{part}' is not a fault; write [ROUTE:]KIND[-before|-after|-during][@N|@NxM|@N+|@As..Bs|%P] "
            f"with a kind of {', '.join(kinds)}"
        )
    kind = found["kind"]
    route = found["route"] or _default_route(kind, results_route, post_route)
    if route not in routes:
        raise UsageError(f"'{part}' names no route; choose from {', '.join(routes)}")
    if found["moment"] and kind not in _TIMED:
        raise UsageError(f"'{part}': {kind} has no before or after; leave it out")
    first, last = _read_calls(found)
    return Fault(
        route, kind, _read_moment(found, kind), first, last, _read_share(part, found), _read_window(part, found)
    )


def _default_route(kind: str, results_route: str, post_route: str) -> str:
    if kind in CONTENTS:
        return results_route
    return post_route if kind in (*JOBS, *OBJECTS, UNAVAILABLE) else "any"


def _read_moment(found: re.Match[str], kind: str) -> Moment:
    if found["moment"]:
        return Moment(found["moment"])
    return Moment.BEFORE if kind in STATUSES or kind == "reset" else Moment.AFTER


def _read_calls(found: re.Match[str]) -> tuple[int, int | None]:
    if found["first"] is None:
        return 1, None
    first = int(found["first"])
    return first, None if found["open"] else first + int(found["count"] or 1) - 1


def _read_share(part: str, found: re.Match[str]) -> float:
    share = _read_number(part, found["share"] or "1")
    if share > 1.0:
        raise UsageError(f"'{part}': a probability lies between 0 and 1")
    return share


def _read_window(part: str, found: re.Match[str]) -> tuple[float, float] | None:
    if found["start"] is None:
        return None
    return _read_number(part, found["start"]), _read_number(part, found["end"])


def _read_number(part: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"'{part}': '{text}' is not a number") from None


class FaultPlan:
    """Decides which calls are affected. A fault counts the calls of its route from the moment it was set."""

    def __init__(self, faults: Sequence[Fault], rng: np.random.Generator) -> None:
        """Start counting calls."""
        self._faults = tuple(faults)
        self._seen = [0] * len(self._faults)
        self._rng = rng

    def draw(self, route: str, *, now_seconds: float) -> list[Fault]:
        """The faults that affect this call of a route, in the order in which they were written."""
        return [
            fault
            for index, fault in enumerate(self._faults)
            if fault.route in (route, "any") and self._strikes(index, fault, now_seconds)
        ]

    def is_unavailable(self, *, now_seconds: float) -> bool:
        """Whether an ``unavailable`` fault is active now; only its window counts, since it belongs to no call."""
        return any(fault.kind == UNAVAILABLE and _is_open(fault, now_seconds) for fault in self._faults)

    def _strikes(self, index: int, fault: Fault, now_seconds: float) -> bool:
        self._seen[index] += 1
        number = self._seen[index]
        is_due = fault.first <= number and (fault.last is None or number <= fault.last)
        # Drawn even if the fault is not due, so that one fault's window does not shift another's random numbers.
        is_drawn = fault.share >= 1.0 or self._rng.random() < fault.share
        return is_due and is_drawn and _is_open(fault, now_seconds)


def _is_open(fault: Fault, now_seconds: float) -> bool:
    return fault.window is None or fault.window[0] <= now_seconds < fault.window[1]
