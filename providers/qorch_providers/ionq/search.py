"""Find our own jobs in IonQ's list, which can be filtered by neither name nor metadata nor date."""

import datetime
from collections.abc import Mapping, Sequence
from contextlib import aclosing

from qorch.errors import BusyError
from qorch_providers.ionq.bodies import job_name
from qorch_providers.ionq.client import PAGE_ROWS, IonqClient, NoListError, Page, ask_each
from qorch_providers.ionq.documents import IonqJob
from qorch_providers.ionq.families import Family

SKEW = datetime.timedelta(minutes=1)
"""How far IonQ's times may be from its own Date header, and be believed."""


async def find_jobs(client: IonqClient, keys: frozenset[str], *, since: datetime.datetime) -> dict[str, str]:
    """The ids of the jobs with these keys that were submitted after ``since``, by key.

    Reads until all are found or everything further is older: a key that is missing in the answer is in no job. Raises
    BusyError where the list cannot be read so far, NoListError where there is none, and UnknownOutcomeError where
    nothing tells a job from its children, which carry its metadata.
    """
    families: dict[str, Family] = {}
    by_name = {job_name(key): key for key in keys}
    age = _Age(since)
    async with aclosing(client.pages([], purpose="find")) as pages:
        async for page in pages:
            owners = [_key_of(job, by_name, names_parents=client.version != "v0.3") for job in page.jobs]
            await _sort(client, page, owners, keys=keys, families=families)
            is_complete = len(families) == len(keys) and not any(family.goes_on for family in families.values())
            if is_complete or age.is_past(page):
                break
    ids = await ask_each(Family.settle, list(families.values()))
    return dict(zip(families, ids, strict=True))


async def _sort(
    client: IonqClient, page: Page, owners: Sequence[str], *, keys: frozenset[str], families: dict[str, Family]
) -> None:
    """Give every family its jobs of this page."""
    cut = owners[-1] if owners and page.cursor is not None else ""
    for key in keys.intersection(owners):
        families.setdefault(key, Family(client, key))

    async def show(key: str) -> None:
        jobs = [job for job, owner in zip(page.jobs, owners, strict=True) if owner == key]
        await families[key].see(jobs, is_cut=cut == key)

    await ask_each(show, list(families))


def _key_of(job: IonqJob, by_name: Mapping[str, str], *, names_parents: bool) -> str:
    """The key of a job that we sent as a whole, or ""; where parents are not named, children have other names."""
    named = by_name.get(job.name or "", "")
    if job.parent_id is not None or (job.name and not named and not names_parents):
        return ""
    return job.key or named


class _Age:
    """Tells when a list that is read page by page has left the time that matters.

    The order of the list is not promised. Only while it was seen to run from new to old, a whole page of old jobs
    says that all further ones are old too.
    """

    def __init__(self, since: datetime.datetime) -> None:
        self._since = since
        self._first: datetime.datetime | None = None
        self._last: datetime.datetime | None = None
        self._is_descending = True

    def is_past(self, page: Page) -> bool:
        """Whether this page and all further ones are older."""
        times = [job.status.submitted_at for job in page.jobs if job.parent_id is None]
        for time in times:
            self._see(time)
        # The list is dated by the server's clock, ``since`` by ours.
        behind = min((page.server_time or page.received_at) - page.received_at, datetime.timedelta())
        oldest_wanted = self._since + behind - SKEW
        is_old = bool(times) and all(time is not None and time < oldest_wanted for time in times)
        return is_old and self._is_descending and self._first is not None and self._first != self._last

    def _see(self, time: datetime.datetime | None) -> None:
        if time is None:
            return
        self._is_descending = self._is_descending and (self._last is None or time <= self._last)
        self._first = self._first or time
        self._last = time


async def look_up(client: IonqClient, ids: Sequence[str]) -> dict[str, IonqJob]:
    """The jobs with these ids, by id; those that IonQ does not know are missing."""
    unique = list(dict.fromkeys(ids))
    chunks = [unique[start : start + PAGE_ROWS] for start in range(0, len(unique), PAGE_ROWS)]
    found: dict[str, IonqJob] = {}
    for jobs in await ask_each(lambda chunk: _look_up_some(client, chunk), chunks):
        found |= jobs
    rest = [job_id for job_id in unique if job_id not in found]
    for answer in await ask_each(lambda job_id: client.job(job_id, purpose="poll"), rest):
        if answer is not None:
            found[answer[1].job_id] = answer[1]
    return found


async def _look_up_some(client: IonqClient, ids: Sequence[str]) -> dict[str, IonqJob]:
    """What one filtered list has of these; a server may ignore the filter, so only what was asked for is taken."""
    if len(ids) == 1 or not client.has_list:
        return {}
    found: dict[str, IonqJob] = {}
    try:
        async with aclosing(client.pages([("ids", job_id) for job_id in ids], purpose="poll")) as pages:
            async for page in pages:
                asked = {job.job_id: job for job in page.jobs if job.job_id in ids and job.odd_status is None}
                found |= asked
                if len(found) == len(ids) or len(asked) < len(page.jobs) or not asked:
                    break
    except NoListError:
        pass
    except BusyError as error:
        if error.retry_after_seconds is not None:
            raise
        # Ill may be the list alone. One job is asked for by itself: where it can be, so can the others.
        answer = await client.job(next(job_id for job_id in ids if job_id not in found), purpose="poll")
        found |= {answer[1].job_id: answer[1]} if answer is not None else {}
    return found
