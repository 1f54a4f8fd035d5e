"""The answer to one HTTP call, and the times in its headers (Retry-After, Date)."""

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

from qorch.model.exchange_times import ExchangeTimes

LONGEST_WAIT_SECONDS = 3600.0
"""The longest Retry-After that is obeyed; longer ones are cut to it."""

_SECONDS = re.compile(r"[0-9]{1,32}(?:\.[0-9]{1,9})?")
_LONGEST_VALUE = 64


@dataclass(frozen=True)
class HttpResponse:
    """An HTTP answer; ``headers`` have names in lower case, ``body`` is decompressed and complete."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    received_at: datetime.datetime
    marks: ExchangeTimes

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


def retry_after_seconds(headers: Mapping[str, str], *, now: datetime.datetime) -> float | None:
    """How long the server asks to be left alone, 0 to 3,600 seconds; None if it does not say, or not readably.

    A date counts from the response's own Date, else from ``now``: the two clocks need not agree. Longer waits are
    cut to an hour, since a wrong clock must not stop a run for ever; a server that means it says so again.
    """
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return min(float(value), LONGEST_WAIT_SECONDS)
    moment = _read_date(value)
    if moment is None:
        return None
    waiting = (moment - (server_time(headers) or now)).total_seconds()
    return min(max(waiting, 0.0), LONGEST_WAIT_SECONDS)


def server_time(headers: Mapping[str, str]) -> datetime.datetime | None:
    """The server's own clock when it answered, None if it does not say, or not readably."""
    return _read_date(headers.get("date", "").strip())


class DateReader:
    """Reads the dates of answers, many of which come within one second."""

    def __init__(self) -> None:
        """Nothing was read yet."""
        self._last: tuple[str, datetime.datetime | None] = "", None

    def read(self, value: str) -> datetime.datetime | None:
        """A Date header's moment, None if there is none, or not a readable one."""
        if value != self._last[0]:
            self._last = value, _read_date(value.strip())
        return self._last[1]


def _read_date(value: str) -> datetime.datetime | None:
    if not value or len(value) > _LONGEST_VALUE:
        return None
    try:
        moment = parsedate_to_datetime(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).astimezone(datetime.UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
