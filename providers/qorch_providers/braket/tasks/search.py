"""Finds our own tasks by the keys in their tags, for which Braket's search has no filter."""

import datetime
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from qorch.errors import BusyError, UnknownOutcomeError
from qorch.ports.clock import Clock
from qorch_providers.braket.labels import read_tags
from qorch_providers.braket.tasks.status import filters_of
from qorch_providers.braket.wire.client import BraketClient
from qorch_providers.http import ask_each

MOST_PAGES = 1000
"""Most pages of one search: 100,000 tasks."""
MOST_FAILURES = 4
"""In a row, at one page; then a search begins anew."""
LATEST_KNOWN = 4
"""How many known tasks are asked for the time when they were made: those that ended last need not be the newest."""
SKEW = datetime.timedelta(minutes=6)
"""How far this machine's clock may be from Braket's: AWS accepts no signature beyond five minutes."""
_KEPT_NS = 600_000_000_000
"""How long an interrupted search can be taken up again: what was read of it must not be too old."""


@dataclass
class _Reading:
    """One search, page by page. ``by_key``: the ARNs of tasks, each with the job id of its label.

    ``failures``: how often the page that is next could not be read.
    """

    since: datetime.datetime
    begun_ns: int
    by_key: dict[str, dict[str, str | None]] = field(default_factory=dict)
    tokens: list[str] = field(default_factory=list)
    failures: int = 0
    is_over: bool = False


class TaskSearch:
    """The searches of one client, over the tasks of one device.

    A search that got no answer, or was throttled, goes on at the same page when it is asked for again: else one of many
    pages would hardly ever end on a network that loses every second answer. ``was_moving``: whether the last search
    that failed had read some pages before.
    """

    def __init__(self, client: BraketClient, device_arn: str, *, clock: Clock) -> None:
        """Nothing is asked yet."""
        self._client = client
        self._device_arn = device_arn
        self._clock = clock
        self._halted: _Reading | None = None
        self.was_moving = False

    async def find(self, keys: Collection[str], *, since: datetime.datetime) -> dict[str, str]:
        """The ARNs of the tasks with these keys that were made after ``since``, by key.

        Raises BusyError if the list cannot be read now, UnknownOutcomeError if it is too long or shows two tasks with
        one key.
        """
        by_key = await self._read_all(since, purpose="find")
        found = {key: list(by_key[key]) for key in keys if key in by_key}
        for key, arns in found.items():
            if len(arns) > 1:
                raise UnknownOutcomeError(
                    f"{len(arns)} tasks at Amazon Braket have the key {key[:16]}: {', '.join(arns[:3])}; it is not"
                    " known which of them is the job's"
                )
        return {key: arns[0] for key, arns in found.items()}

    async def list_keys(self, *, since: datetime.datetime, known: Sequence[str]) -> dict[str, str | None]:
        """The keys of all tasks that were made after ``since``, each with the job id of its label; raises as find.

        The list is in no documented order, so that it cannot end at a ``known`` task. The search begins at the time
        when the last of them was made, by Braket's clock, if that is later.
        """
        arns = known[-LATEST_KNOWN:]
        latest = await ask_each(lambda arn: self._client.task(arn, purpose="look"), arns, at_once=LATEST_KNOWN)
        made = [task.created_at for task in latest if task is not None and task.created_at is not None]
        by_key = await self._read_all(max([since, *made]), purpose="look")
        return {key: next(filter(None, tasks.values()), None) for key, tasks in by_key.items()}

    async def _read_all(self, since: datetime.datetime, *, purpose: str) -> dict[str, dict[str, str | None]]:
        reading = self._take_up(since)
        before = len(reading.tokens)
        self.was_moving = False
        try:
            while not reading.is_over:
                await self._read_page(reading, purpose)
        except BusyError:
            reading.failures += 1
            # A page that is refused again and again may have a token that has expired: a new search has others.
            self._halted = reading if reading.failures < MOST_FAILURES else None
            self.was_moving = len(reading.tokens) > before
            raise
        return reading.by_key

    def _take_up(self, since: datetime.datetime) -> _Reading:
        halted, self._halted = self._halted, None
        now_ns = self._clock.monotonic_ns()
        if halted is not None and halted.since == since and now_ns - halted.begun_ns < _KEPT_NS:
            return halted
        return _Reading(since, now_ns)

    async def _read_page(self, reading: _Reading, purpose: str) -> None:
        token = reading.tokens[-1] if reading.tokens else None
        filters = filters_of(self._device_arn, reading.since - SKEW)
        page = await self._client.search(filters, token=token, purpose=purpose)
        for task in page.tasks:
            key, label = read_tags(task.tags)
            if key is not None:
                reading.by_key.setdefault(key, {})[task.arn] = label.job_id
        reading.failures = 0
        reading.is_over = page.token is None
        if page.token is not None:
            self._turn(reading, page.token)

    def _turn(self, reading: _Reading, token: str) -> None:
        if token in reading.tokens:
            reading.failures = MOST_FAILURES
            raise BusyError(
                "Amazon Braket's list of tasks leads back to a page that was read before; it is asked again"
            )
        reading.tokens.append(token)
        if len(reading.tokens) >= MOST_PAGES:
            raise UnknownOutcomeError(f"Amazon Braket's list of tasks has more than {MOST_PAGES} pages that matter")
