"""Asks what jobs were charged for, as long as their provider has not counted it; only a budget's end waits for that."""

import asyncio
import datetime
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from qorch.engine.journal import Journal
from qorch.engine.remote.idle import sleep_until_changed
from qorch.engine.remote.window import RateWindow
from qorch.errors import QorchError
from qorch.model.backend_name import stem_of
from qorch.model.job import JobStatus
from qorch.model.usage import NO_USAGE, PENDING_USAGE, ReportedUsage
from qorch.ports.backend import RemoteBackend, ReportsUsage
from qorch.ports.clock import Clock
from qorch.ports.records import AttemptRecord, JobRecord, UsageRecord
from qorch.ports.store import Jobs, Runs

FIRST_SECONDS = 2.0
GROWTH = 2.0
LONGEST_SECONDS = 600.0
"""A job is asked about so long after its end, then after intervals that grow by this factor, up to the longest."""
TOGETHER = 0.5
"""A job whose turn comes within this share of its interval is asked about with those that are due."""
MOST_EARLIER = 100
EARLIER_DAYS = 30
"""So many jobs of earlier sessions, the newest and none that is older, are asked about when a run starts.

`qorch recover` asks about all.
"""
END_SECONDS = 2.0
"""How long the end of a run waits, at most, for the answer to its last question."""
SETTLE_SECONDS = 15.0
"""How long a call that a budget refuses waits, at most, until the provider has counted one of the jobs before it."""
SETTLE_INTERVAL_SECONDS = 1.0


class UsageSource(Runs, Jobs, Protocol):
    """Reads the jobs whose usage is not known, and what they belong to."""


@dataclass(frozen=True)
class PendingUsage:
    """A job whose usage is not final; ``since``: when it was submitted, or a little earlier."""

    job: JobRecord
    since: datetime.datetime

    @property
    def provider_id(self) -> str:
        """The provider's id of the job."""
        return self.job.provider_id or ""


def find_pending(store: UsageSource, jobs: Sequence[JobRecord]) -> list[PendingUsage]:
    """The jobs, each with the time from which the provider can have it: that of its first attempt."""
    firsts = {job.job_id: store.attempts(job.job_id)[:1] for job in jobs}
    return [
        PendingUsage(job, min([job.changed_at, *(first.started_at for first in firsts[job.job_id])])) for job in jobs
    ]


async def ask_usage(
    backend: RemoteBackend, pending: Sequence[PendingUsage], *, polls: RateWindow
) -> dict[str, ReportedUsage]:
    """By job id, what jobs were charged for; NO_USAGE of all if the backend never tells it.

    Jobs that the provider does not know are missing. Raises what ``RemoteBackend.poll`` raises.
    """
    if not isinstance(backend, ReportsUsage):
        return {item.job.job_id: NO_USAGE for item in pending}
    since = min(item.since for item in pending)
    ids = [item.provider_id for item in pending]
    found = await polls.call(lambda: backend.fetch_usage(ids, since=since))
    return {item.job.job_id: found[item.provider_id] for item in pending if item.provider_id in found}


def usage_records(pending: Sequence[PendingUsage], found: Mapping[str, ReportedUsage]) -> list[UsageRecord]:
    """What is to be written of an answer: usage that is final now."""
    return [
        UsageRecord(item.job.job_id, item.job.run_id, found[item.job.job_id])
        for item in pending
        if item.job.job_id in found and found[item.job.job_id].is_final
    ]


@dataclass(eq=False)
class _Turn:
    """When a job is asked about next."""

    item: PendingUsage
    due_ns: int
    interval_ns: int


class UsageWatch:
    """One task for all jobs of an engine whose backend charges; it ends by itself when nothing is pending."""

    def __init__(
        self,
        backend: RemoteBackend,
        store: UsageSource,
        journal: Journal,
        *,
        polls: RateWindow,
        clock: Clock,
        most_earlier: int = MOST_EARLIER,
    ) -> None:
        """Nothing is asked before ``note`` or ``start``. ``polls``: the limit of all polls of this process."""
        self._most_earlier = most_earlier
        self._backend = backend
        self._store = store
        self._journal = journal
        self._polls = polls
        self._clock = clock
        self._turns: dict[str, _Turn] = {}
        self._own: set[str] = set()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._start: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Ask, in the background, about the newest jobs that earlier sessions of any run left on this device."""
        if self._most_earlier and self._backend.capabilities.charges and isinstance(self._backend, ReportsUsage):
            self._start = asyncio.create_task(self._take_up_earlier())

    def note(
        self,
        record: JobRecord,
        status: JobStatus,
        *,
        attempt: AttemptRecord,
        of_result: ReportedUsage | None = None,
    ) -> list[UsageRecord]:
        """What is to be written now of the usage of a job that is over; it is asked about again if it is pending.

        ``of_result``: what its result tells of it, instead of the status; None if that tells nothing, or there is none.
        """
        if not self._backend.capabilities.charges:
            return []
        is_told = isinstance(self._backend, ReportsUsage)
        usage = of_result or ((status.usage or PENDING_USAGE) if is_told else NO_USAGE)
        if not usage.is_final:
            self._own.add(record.job_id)
            self._add([PendingUsage(record, attempt.started_at)], wait_seconds=FIRST_SECONDS)
        return [UsageRecord(record.job_id, record.run_id, usage)]

    async def settle(self) -> bool:
        """Ask until more is known of the jobs that are over, at most for SETTLE_SECONDS; whether it is."""
        if self._start is not None:
            await asyncio.wait([self._start])
        pending = set(self._turns)
        deadline_ns = self._clock.monotonic_ns() + round(SETTLE_SECONDS * 1e9)
        while pending and pending <= self._turns.keys():
            await self._ask([turn.item for turn in self._turns.values()])
            if self._clock.monotonic_ns() >= deadline_ns:
                break
            if pending <= self._turns.keys():
                await self._clock.sleep(SETTLE_INTERVAL_SECONDS)
        return not pending <= self._turns.keys()

    async def close(self) -> None:
        """Ask once more about the jobs of this session, for a moment, and stop: what is left stays pending."""
        tasks = [task for task in (self._start, self._task) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        left = [turn.item for job_id, turn in self._turns.items() if job_id in self._own]
        self._turns.clear()
        if left:
            last = asyncio.ensure_future(self._ask(left))
            try:
                await asyncio.wait([last], timeout=END_SECONDS)
            finally:
                last.cancel()
                await asyncio.gather(last, return_exceptions=True)

    async def _take_up_earlier(self) -> None:
        with suppress(QorchError):
            self._add(await asyncio.to_thread(self._find_earlier), wait_seconds=0.0)

    def _find_earlier(self) -> list[PendingUsage]:
        # Of this device, as another one's prices are not known here. Some may belong to another account at the same
        # provider, which then does not know them.
        stem = stem_of(self._backend.name)
        jobs = self._store.jobs_without_usage()
        runs = {run_id: self._store.find_run(run_id) for run_id in {job.run_id for job in jobs}}
        stems = {run_id: stem_of(run.backend) for run_id, run in runs.items() if run is not None}
        oldest = self._clock.now() - datetime.timedelta(days=EARLIER_DAYS)
        own = [job for job in jobs if stems.get(job.run_id) == stem and job.changed_at > oldest]
        return find_pending(self._store, own[-self._most_earlier :])

    def _add(self, items: Sequence[PendingUsage], *, wait_seconds: float) -> None:
        now_ns = self._clock.monotonic_ns()
        interval_ns = round(FIRST_SECONDS * 1e9)
        for item in items:
            self._turns.setdefault(item.job.job_id, _Turn(item, now_ns + round(wait_seconds * 1e9), interval_ns))
        self._changed.set()
        if self._turns and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        while self._turns:
            self._changed.clear()
            now_ns = self._clock.monotonic_ns()
            next_ns = min(turn.due_ns for turn in self._turns.values())
            if next_ns > now_ns:
                seconds = (next_ns - now_ns) / 1e9
                await sleep_until_changed(self._changed, clock=self._clock, seconds=seconds)
                continue
            due = [turn for turn in self._turns.values() if turn.due_ns - TOGETHER * turn.interval_ns <= now_ns]
            await self._ask([turn.item for turn in due])
            self._postpone(due)

    async def _ask(self, items: Sequence[PendingUsage]) -> None:
        """Ask once, and write down what is new; trouble of any kind only means that the question comes again."""
        with suppress(QorchError):
            found = await ask_usage(self._backend, items, polls=self._polls)
            records = usage_records(items, found)
            if records:
                await self._journal.record(records)
            # An earlier job that is not known here is most likely another account's.
            strange = [item.job.job_id for item in items if item.job.job_id not in self._own | found.keys()]
            for job_id in [*(record.job_id for record in records), *strange]:
                self._turns.pop(job_id, None)

    def _postpone(self, asked: Sequence[_Turn]) -> None:
        now_ns = self._clock.monotonic_ns()
        for turn in asked:
            turn.interval_ns = min(round(GROWTH * turn.interval_ns), round(LONGEST_SECONDS * 1e9))
            turn.due_ns = now_ns + turn.interval_ns
