"""Finds our own jobs in IonQ's list, which has no filter for name, metadata or date."""

import datetime
from collections.abc import Mapping, Sequence
from contextlib import aclosing

from qorch.errors import BusyError, UnknownOutcomeError, UnreachableError
from qorch_providers.http import ask_each
from qorch_providers.ionq.jobs.parents import JobsWithKey
from qorch_providers.ionq.labels import job_name
from qorch_providers.ionq.wire.client import AT_ONCE, PAGE_ROWS, IonqClient, NoListError, Page
from qorch_providers.ionq.wire.documents import IonqJob

SKEW = datetime.timedelta(minutes=1)
"""How far times in IonQ's list may differ from the server's Date header."""
MOST_PAGES = 1000
"""Most pages of one search: 25,000 jobs."""
MOST_VAIN_PAGES = 20
"""Most pages of one search with nothing but jobs made since it began, or seen before."""


class Searches:
    """The searches of one client. A search that was interrupted continues at the same page when it is asked for again.

    Otherwise a search of ten pages would hardly ever finish on a network that loses every second answer.
    ``was_moving``: whether the last search that failed had read some pages before it was interrupted.
    """

    def __init__(self, client: IonqClient) -> None:
        """Makes no request before ``find``."""
        self.was_moving = False
        self._client = client
        self._halted: dict[tuple[frozenset[str], datetime.datetime], _Search] = {}

    async def find(self, keys: frozenset[str], *, since: datetime.datetime) -> dict[str, str]:
        """The ids of the jobs with these keys that were submitted after ``since``, by key.

        Reads until all are found or everything further is older: a key that is missing in the answer was in no job
        when the search began. Raises BusyError if the list cannot be read that far, NoListError if there is none, and
        UnknownOutcomeError if a job cannot be told from its children, which carry its metadata, or if the list is too
        long, or grows faster than it can be read.
        """
        search = self._halted.pop((keys, since), None) or _Search(self._client, keys, since)
        before = search.n_pages
        try:
            return await search.go_on()
        except BusyError as error:
            is_lost = isinstance(error, UnreachableError)
            self.was_moving = is_lost and search.n_pages > before
            # If the server refused the request, the cursor of this page may be the reason: the search starts again.
            if is_lost or error.retry_after_seconds is not None:
                self._halted = {(keys, since): search}
            raise


class _Search:
    """One search, page by page; a page counts as read once all of its jobs are assigned to keys."""

    def __init__(self, client: IonqClient, keys: frozenset[str], since: datetime.datetime) -> None:
        self._client = client
        self._keys = keys
        self._jobs_by_key: dict[str, JobsWithKey] = {}
        self._by_name = {job_name(key): key for key in keys}
        self._age = Age(since)
        self._cursors: list[str] = []
        self._is_read = False

    @property
    def n_pages(self) -> int:
        """How many pages were read that have a next page."""
        return len(self._cursors)

    async def go_on(self) -> dict[str, str]:
        """See ``Searches.find``."""
        while not self._is_read:
            await self._read_page()
        ids = await ask_each(JobsWithKey.find_sent, list(self._jobs_by_key.values()), at_once=AT_ONCE)
        return dict(zip(self._jobs_by_key, ids, strict=True))

    async def _read_page(self) -> None:
        page = await self._client.page([], cursor=self._cursors[-1] if self._cursors else None, purpose="find")
        names_parents = self._client.version != "v0.3"
        owners = [_key_of(job, self._by_name, names_parents=names_parents) for job in page.jobs]
        await _sort(self._client, page, owners, keys=self._keys, jobs_by_key=self._jobs_by_key)
        is_complete = len(self._jobs_by_key) == len(self._keys) and not any(
            jobs.goes_on for jobs in self._jobs_by_key.values()
        )
        is_past = self._age.is_past(page)
        self._is_read = is_complete or is_past or page.cursor is None
        if not self._is_read and page.cursor is not None:
            self._turn(page.cursor)

    def _turn(self, cursor: str) -> None:
        """Go to the next page. Raises BusyError if it was read before, UnknownOutcomeError after too many pages."""
        if cursor in self._cursors:
            raise BusyError("IonQ's list of jobs leads back to a page that was read before; it is asked again")
        self._cursors.append(cursor)
        self._age.check()
        if len(self._cursors) >= MOST_PAGES:
            raise UnknownOutcomeError(f"IonQ's list of jobs has more than {MOST_PAGES} pages that matter")


async def _sort(
    client: IonqClient, page: Page, owners: Sequence[str], *, keys: frozenset[str], jobs_by_key: dict[str, JobsWithKey]
) -> None:
    """Assign the jobs of this page to their keys."""
    cut = owners[-1] if owners and page.cursor is not None else ""
    for key in keys.intersection(owners):
        jobs_by_key.setdefault(key, JobsWithKey(client, key))

    async def show(key: str) -> None:
        jobs = [job for job, owner in zip(page.jobs, owners, strict=True) if owner == key]
        await jobs_by_key[key].see(jobs, is_cut=cut == key)

    await ask_each(show, list(jobs_by_key), at_once=AT_ONCE)


def _key_of(job: IonqJob, by_name: Mapping[str, str], *, names_parents: bool) -> str:
    """The key of a parent job of ours, or ""; if the list names no parents, children are told by their names."""
    named = by_name.get(job.name or "", "")
    if job.parent_id is not None or (job.name and not named and not names_parents):
        return ""
    return job.key or named


class Age:
    """Detects when a list that is read page by page has passed all jobs newer than a given time.

    IonQ does not promise an order of the list. Only if all pages so far run from new to old does a whole page of old
    jobs show that all further ones are old too. A list that grows at its head while it is read shifts: jobs that were
    seen before, and jobs newer than the whole first page, show nothing about its order or its end.

    ``vain_pages``: how many pages had only such jobs. ``newest``: the time of the newest job on the first page.
    """

    def __init__(self, since: datetime.datetime) -> None:
        """``since``: older jobs are not searched for; by this machine's clock."""
        self.vain_pages = 0
        self._since = since
        self._seen: set[str] = set()
        self.newest: datetime.datetime | None = None
        self._first: datetime.datetime | None = None
        self._last: datetime.datetime | None = None
        self.is_descending = True

    def check(self) -> None:
        """Raise UnknownOutcomeError if the list grows as fast as it is read."""
        if self.vain_pages >= MOST_VAIN_PAGES:
            raise UnknownOutcomeError(
                f"IonQ's list of jobs grows as fast as it is read: {MOST_VAIN_PAGES} pages of it had only jobs"
                " that were made since the search began"
            )

    def is_past(self, page: Page) -> bool:
        """Whether this page and all further ones are older."""
        times = self._choose_times([job for job in page.jobs if job.parent_id is None])
        for time in times:
            self._see(time)
        # The list is dated by the server's clock, ``since`` by ours.
        behind = min((page.server_time or page.received_at) - page.received_at, datetime.timedelta())
        oldest_wanted = self._since + behind - SKEW
        is_old = bool(times) and all(time is not None and time < oldest_wanted for time in times)
        return is_old and self.is_descending and self._first is not None and self._first != self._last

    def _choose_times(self, jobs: Sequence[IonqJob]) -> list[datetime.datetime | None]:
        """The times of the page's jobs that show the list's order: not of jobs seen before or made since it began."""
        known = [job.status.submitted_at for job in jobs if job.status.submitted_at is not None]
        # Within one page the order cannot shift.
        self.is_descending = self.is_descending and known == sorted(known, reverse=True)
        times = [job.status.submitted_at for job in jobs if job.job_id not in self._seen]
        self._seen.update(job.job_id for job in jobs)
        newest = self.newest
        if newest is None:
            self.newest = max(known, default=None)
        elif self.is_descending:
            times = [time for time in times if time is None or time <= newest]
            self.vain_pages += bool(jobs) and not times
        return times

    def _see(self, time: datetime.datetime | None) -> None:
        if time is None:
            return
        self.is_descending = self.is_descending and (self._last is None or time <= self._last)
        self._first = self._first or time
        self._last = time


async def look_up(client: IonqClient, ids: Sequence[str], *, purpose: str = "poll") -> dict[str, IonqJob]:
    """The jobs with these ids, by id; those that IonQ does not know are missing."""
    unique = list(dict.fromkeys(ids))
    chunks = [unique[start : start + PAGE_ROWS] for start in range(0, len(unique), PAGE_ROWS)]
    found: dict[str, IonqJob] = {}
    for jobs in await ask_each(lambda chunk: _look_up_some(client, chunk, purpose=purpose), chunks, at_once=AT_ONCE):
        found |= jobs
    rest = [job_id for job_id in unique if job_id not in found]
    for answer in await ask_each(lambda job_id: client.job(job_id, purpose=purpose), rest, at_once=AT_ONCE):
        if answer is not None:
            found[answer[1].job_id] = answer[1]
    return found


async def _look_up_some(client: IonqClient, ids: Sequence[str], *, purpose: str) -> dict[str, IonqJob]:
    """Those jobs that one filtered list has; a server may ignore the filter, so other jobs are left out."""
    if len(ids) == 1 or not client.has_list:
        return {}
    found: dict[str, IonqJob] = {}
    try:
        async with aclosing(client.pages([("ids", job_id) for job_id in ids], purpose=purpose)) as pages:
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
        # Perhaps only the list fails. One job is asked for by itself: if that works, so do the others.
        answer = await client.job(next(job_id for job_id in ids if job_id not in found), purpose=purpose)
        found |= {answer[1].job_id: answer[1]} if answer is not None else {}
    return found
