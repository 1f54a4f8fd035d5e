"""Finds our own jobs by the keys in their tags: the list has a filter for them, and without it all pages are read."""

import datetime
from collections.abc import Collection
from dataclasses import dataclass, field

from qorch.errors import BusyError, UnknownOutcomeError
from qorch.ports.clock import Clock
from qorch_providers.ibm.jobs.times import as_query
from qorch_providers.ibm.labels import key_tag, read_tags
from qorch_providers.ibm.wire.client import PAGE_JOBS, IbmClient
from qorch_providers.ibm.wire.documents import IbmPage

MOST_PAGES = 1000
"""Most pages of one search: 200,000 jobs."""
MOST_TAGS = 8
"""Up to so many keys are asked for one by one; more are looked for in the list of all jobs."""
SKEW = datetime.timedelta(minutes=5)
"""Doubt about the server's clock, beyond what its answers show of it."""
_KEPT_NS = 120_000_000_000
"""How long an interrupted search can be taken up again: what was read of it must not be too old."""


@dataclass
class _Reading:
    """One search: for one tag after the other, or for all jobs (the tag "").

    ``by_key``: the ids of the jobs found, each with the job id of its label.
    ``offset``: of the page that is next; ``is_descending``: whether all pages so far ran from new to old.
    """

    tags: tuple[str, ...]
    since: datetime.datetime
    begun_ns: int
    known: frozenset[str] = frozenset()
    by_key: dict[str, dict[str, str | None]] = field(default_factory=dict)
    index: int = 0
    offset: int = 0
    n_pages: int = 0
    last: datetime.datetime | None = None
    is_descending: bool = True

    @property
    def is_over(self) -> bool:
        """Whether everything was read."""
        return self.index == len(self.tags)

    def is_same(self, other: "_Reading") -> bool:
        """Whether it looks for the same."""
        return (self.tags, self.since, self.known) == (other.tags, other.since, other.known)


class JobSearch:
    """The searches of one client.

    A search that lost an answer, or had a server's error for one, goes on at the same page when it is asked for again:
    else one of many pages would hardly ever end on a network that loses every second answer. ``was_moving``: whether
    the last search that failed had read some pages before.
    """

    def __init__(self, client: IbmClient, *, clock: Clock) -> None:
        """Nothing is asked yet."""
        self._client = client
        self._clock = clock
        self._halted: _Reading | None = None
        self.was_moving = False

    async def find(self, keys: Collection[str], *, since: datetime.datetime) -> dict[str, str]:
        """The ids of the jobs with these keys that were made after ``since``, by key.

        Raises BusyError if the list cannot be read now, UnknownOutcomeError if it is too long or shows two jobs with
        one key.
        """
        tags = tuple(key_tag(key) for key in sorted(keys)) if len(keys) <= MOST_TAGS else ("",)
        by_key = await self._read_all(tags, since, purpose="find")
        found = {key: list(by_key[key]) for key in keys if key in by_key}
        for key, job_ids in found.items():
            if len(job_ids) > 1:
                raise UnknownOutcomeError(
                    f"{len(job_ids)} jobs at IBM Quantum have the key {key[:16]}: {', '.join(job_ids[:3])}; it is not"
                    " known which of them is the right one"
                )
        return {key: job_ids[0] for key, job_ids in found.items()}

    async def list_keys(self, *, since: datetime.datetime, known: Collection[str]) -> dict[str, str | None]:
        """The keys of all jobs back to ``since`` or a ``known`` one, each with the job of its label; raises as find."""
        by_key = await self._read_all(("",), since, purpose="look", known=frozenset(known))
        return {key: next(filter(None, jobs.values()), None) for key, jobs in by_key.items()}

    async def _read_all(
        self, tags: tuple[str, ...], since: datetime.datetime, *, purpose: str, known: frozenset[str] = frozenset()
    ) -> dict[str, dict[str, str | None]]:
        reading = self._take_up(_Reading(tags, since, self._clock.monotonic_ns(), known))
        before = reading.n_pages
        self.was_moving = False
        try:
            while not reading.is_over:
                await self._read_page(reading, purpose)
        except BusyError:
            if reading.n_pages or self._halted is None:
                self._halted = reading
            self.was_moving = reading.n_pages > before
            raise
        return reading.by_key

    def _take_up(self, wanted: _Reading) -> _Reading:
        halted = self._halted
        if halted is None or not halted.is_same(wanted):
            return wanted
        self._halted = None
        return halted if wanted.begun_ns - halted.begun_ns < _KEPT_NS else wanted

    async def _read_page(self, reading: _Reading, purpose: str) -> None:
        tag = reading.tags[reading.index]
        # The list is dated by the server's clock, ``since`` by ours.
        since = reading.since + min(self._client.clock_lead, datetime.timedelta()) - SKEW
        query = [("created_after", as_query(since)), *([("tags", tag)] if tag else [])]
        page = await self._client.jobs(query, offset=reading.offset, purpose=purpose)
        for job in page.jobs:
            key, label = read_tags(job.tags)
            if key is not None:
                reading.by_key.setdefault(key, {})[job.job_id] = label.job_id
        reading.n_pages += 1
        if reading.n_pages >= MOST_PAGES:
            raise UnknownOutcomeError(f"IBM Quantum's list of jobs has more than {MOST_PAGES} pages that matter")
        _turn(reading, page)


def _turn(reading: _Reading, page: IbmPage) -> None:
    """Go to the next page, or to the next tag after the last one, which is empty, or not full and ends the count.

    A full page is followed by another question in any case: some lists count the jobs of a page.
    """
    reading.offset += len(page.jobs)
    is_full = len(page.jobs) >= PAGE_JOBS
    is_last = not page.jobs or (not is_full and page.count is not None and reading.offset >= page.count)
    if is_last or _has_reached(reading, page):
        reading.index += 1
        reading.offset, reading.last, reading.is_descending = 0, None, True


def _has_reached(reading: _Reading, page: IbmPage) -> bool:
    """Whether a known job is on this page of a list that runs from new to old, so that older ones are known, too."""
    times = [job.created_at for job in page.jobs if job.created_at is not None]
    known = [*([reading.last] if reading.last is not None else []), *times]
    is_dated = len(times) == len(page.jobs)
    reading.is_descending = reading.is_descending and is_dated and known == sorted(known, reverse=True)
    reading.last = known[-1] if known else None
    return reading.is_descending and any(job.job_id in reading.known for job in page.jobs)
