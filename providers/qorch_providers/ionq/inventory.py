"""Reads the idempotency keys in IonQ's list of jobs, from the newest job back to those that are known already."""

import datetime
from collections.abc import Collection
from contextlib import aclosing

from qorch_providers.ionq.client import IonqClient, NoListError, Page

SKEW = datetime.timedelta(minutes=1)


async def list_keys(
    client: IonqClient, *, since: datetime.datetime, known: Collection[str]
) -> dict[str, str | None] | None:
    """The keys of all jobs submitted after ``since`` and after those with the ids ``known``, each with its job id.

    A job's children may be listed beside it, with the same key. None if the server has no list of jobs. Raises
    BusyError if the list cannot be read that far.
    """
    seen: dict[str, str | None] = {}
    edge = _Edge(since, known)
    try:
        async with aclosing(client.pages([], purpose="look")) as pages:
            async for page in pages:
                for job in page.jobs:
                    if job.key is not None:
                        seen[job.key] = job.job_label.job_id or seen.get(job.key)
                if edge.is_reached(page):
                    break
    except NoListError:
        return None
    return seen


class _Edge:
    """Finds the page after which no further one is needed, as long as the list runs from new to old."""

    def __init__(self, since: datetime.datetime, known: Collection[str]) -> None:
        self._since = since
        self._known = known
        self._last: datetime.datetime | None = None
        self._is_descending = True

    def is_reached(self, page: Page) -> bool:
        """Whether all further pages are older."""
        times = [job.status.submitted_at for job in page.jobs if job.parent_id is None]
        for time in times:
            if time is not None:
                self._is_descending = self._is_descending and (self._last is None or time <= self._last)
                self._last = time
        # The list is dated by the server's clock, ``since`` by ours.
        behind = min((page.server_time or page.received_at) - page.received_at, datetime.timedelta())
        oldest_wanted = self._since + behind - SKEW
        is_old = bool(times) and all(time is not None and time < oldest_wanted for time in times)
        is_known = any(job.job_id in self._known for job in page.jobs) and None not in times
        return self._is_descending and (is_old or is_known)
