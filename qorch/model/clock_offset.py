"""By how much a server's clock differs from this machine's: bounds that many observations narrow."""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

from qorch.model.exchange_times import ExchangeTimes

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_DATE_NS = 1_000_000_000
"""A Date header leaves out the fraction of a second."""


@dataclass(frozen=True)
class ClockOffset:
    """The server's time since 1970 less this process's monotonic time: at least ``least_ns``, at most ``most_ns``."""

    least_ns: int
    most_ns: int

    @property
    def middle_ns(self) -> int:
        """The estimate, which is wrong by at most ``doubt_ns``."""
        return (self.least_ns + self.most_ns) // 2

    @property
    def doubt_ns(self) -> int:
        """Half of the distance of the bounds, rounded up."""
        return -((self.least_ns - self.most_ns) // 2)

    def narrow(self, other: "ClockOffset") -> "ClockOffset | None":
        """What both allow; None if they contradict each other."""
        least_ns, most_ns = max(self.least_ns, other.least_ns), min(self.most_ns, other.most_ns)
        return None if least_ns > most_ns else ClockOffset(least_ns, most_ns)


def unix_ns(moment: datetime.datetime) -> int:
    """Nanoseconds from 1970 to an aware time, exact to its microseconds."""
    return (moment - _EPOCH) // datetime.timedelta(microseconds=1) * 1000


def offset_between(server_ns: int, earliest_ns: int, latest_ns: int, *, resolution_ns: int = 0) -> ClockOffset:
    """The bounds from an event that happened between two moments of this process, and at ``server_ns`` by the server.

    ``resolution_ns``: by how much later it may have been, as the server's time was cut off.
    """
    return ClockOffset(server_ns - latest_ns, server_ns + resolution_ns - earliest_ns)


class ServerClock:
    """The offset of one server's clock, from the dates of its answers (each exact to a second: the bounds intersect).

    A date that contradicts those before, as after a clock was set, or drifted, begins anew.
    """

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.offset: ClockOffset | None = None

    def note(self, exchanges: Iterable[ExchangeTimes]) -> None:
        """Take in exchanges; one whose answer has no date, or came before the request had left, tells nothing."""
        dated = (_offset_of(exchange) for exchange in exchanges)
        self.offset = reduce(_follow, (offset for offset in dated if offset is not None), self.offset)


def _offset_of(exchange: ExchangeTimes) -> ClockOffset | None:
    if exchange.server_at is None or exchange.sent_ns is None:
        return None
    return offset_between(unix_ns(exchange.server_at), exchange.sent_ns, exchange.first_byte_ns, resolution_ns=_DATE_NS)


def _follow(before: ClockOffset | None, newer: ClockOffset) -> ClockOffset:
    return newer if before is None else before.narrow(newer) or newer
