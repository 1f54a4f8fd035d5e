"""Reads the idempotency keys in IonQ's list of jobs, from the newest job back to those already known."""

import datetime
from collections.abc import Collection
from contextlib import aclosing

from qorch_providers.ionq.jobs.search import Age
from qorch_providers.ionq.wire.client import IonqClient, NoListError, Page


async def list_keys(
    client: IonqClient, *, since: datetime.datetime, known: Collection[str]
) -> dict[str, str | None] | None:
    """The keys of all jobs submitted after ``since`` and after those with the ids ``known``, each with its job id.

    A job's children may be listed beside it, with the same key. None if the server has no list of jobs. Raises
    BusyError if the list cannot be read that far, UnknownOutcomeError if it grows faster than it can be read.
    """
    seen: dict[str, str | None] = {}
    age = Age(since)
    try:
        async with aclosing(client.pages([], purpose="look")) as pages:
            async for page in pages:
                for job in page.jobs:
                    if job.key is not None:
                        seen[job.key] = job.job_label.job_id or seen.get(job.key)
                if age.is_past(page) or _shows_known(page, age, known):
                    break
                age.check()
    except NoListError:
        return None
    return seen


def _shows_known(page: Page, age: Age, known: Collection[str]) -> bool:
    """Whether all further pages are older than a known job; one that is newer than the first page says nothing."""
    parents = [job for job in page.jobs if job.parent_id is None]
    times = {job.job_id: job.status.submitted_at for job in parents}
    if not age.is_descending or age.newest is None or None in times.values():
        return False
    return any(time is not None and time <= age.newest for name, time in times.items() if name in known)
