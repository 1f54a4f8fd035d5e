"""Times as IBM's list of jobs takes them in its filters."""

import datetime


def as_query(moment: datetime.datetime) -> str:
    """A time in UTC, with milliseconds: ``2026-01-31T23:59:59.000Z``."""
    return moment.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
