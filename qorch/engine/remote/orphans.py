"""Orphaned jobs: a provider has them and the database, after a restore from a backup, does not know them."""

import asyncio
import datetime
import itertools
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from qorch.engine.journal import Journal
from qorch.engine.remote.reconcile import CLOCK_DOUBT
from qorch.engine.remote.retrying import Retrier
from qorch.engine.remote.window import RateWindow
from qorch.errors import BusyError, UnknownOutcomeError
from qorch.model.identity import Position, idempotency_key, job_id_of, position_of
from qorch.model.job import OVER_STATES, AttemptOutcome, JobState, JobStatus
from qorch.model.label import JobLabel
from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import Clock
from qorch.ports.records import AttemptRecord, JobPlan, JobRecord, Write
from qorch.ports.store import RunHistory

T = TypeVar("T")

PROBED_STEPS, PROBED_CALLS, PROBED_JOBS = 500, 8, 16
"""How far beyond the run's last position a job without a label is recognised, by its key alone."""
NEWEST_JOBS = 16
"""How many of a run's jobs that were tried are looked at for its last attempt; they are in the order of their plans."""
REASON = "bought by a part of the run that this database does not know; its rows are taken over when the run comes here"

_log = logging.getLogger("qorch.resume")


@dataclass(frozen=True)
class _Reach:
    """How far back a search goes: to ``since``, or to a job that was over when the run last sent one (``sent_at``)."""

    since: datetime.datetime
    sent_at: datetime.datetime

    def known(self, jobs: Iterable[JobRecord], *, now: datetime.datetime) -> list[str]:
        """The provider's ids at which a search may end, the latest last.

        None if the clock was set back, and says nothing of order.
        """
        if now < self.sent_at:
            return []
        over = [job for job in jobs if job.state in OVER_STATES and job.changed_at <= self.sent_at]
        over.sort(key=lambda job: job.changed_at)
        return [job.provider_id for job in over if job.provider_id is not None]


class Orphans:
    """Searches the provider's list for orphaned jobs of one run, once a session, and keeps them by position.

    A job that is found is recorded at once, as UNKNOWN with the provider's id. The search ends at jobs whose results
    were recorded before the run sent another one: all that a backup does not know was sent later still. Jobs that were
    settled since may be newer than an orphaned one, as in a session after the restore that ended before its search did.
    """

    def __init__(
        self,
        backend: RemoteBackend,
        store: RunHistory,
        journal: Journal,
        *,
        retrier: Retrier,
        polls: RateWindow,
        searches: RateWindow,
        clock: Clock,
        rebuy: bool,
    ) -> None:
        """Nothing is asked before ``start``. ``rebuy``: paid rows may be bought again if the provider cannot be asked.

        ``polls`` and ``searches``: the limits of all such calls of this process.
        """
        self._polls = polls
        self._searches = searches
        self._backend = backend
        self._store = store
        self._journal = journal
        self._retrier = retrier
        self._clock = clock
        self._stops_in_doubt = backend.capabilities.charges and not rebuy
        self._labels: dict[str, JobLabel | None] = {}
        self._open: dict[Position, list[JobRecord]] = defaultdict(list)
        self._task: asyncio.Task[None] | None = None
        self._unsaid: str | None = None

    async def start(self, run_id: str) -> None:
        """Begin to search in the background; a new run has no jobs to search for."""
        reach = await asyncio.to_thread(self._find_reach, run_id)
        if reach is not None:
            self._task = asyncio.create_task(self._work(run_id, reach))

    def _find_reach(self, run_id: str) -> _Reach | None:
        """How far back to search; None for a run that is not stored.

        To the last attempts at submitting, and not to the last change of a job: a later life of the run, after the
        restore, may have settled or cancelled it.
        """
        record = self._store.find_run(run_id)
        if record is None:
            return None
        attempts = [
            attempt
            for job in [job for job in self._store.jobs(run_id) if job.attempts][-NEWEST_JOBS:]
            for attempt in self._store.attempts(job.job_id)
            if attempt.outcome is not AttemptOutcome.FOUND
        ]
        times = [record.created_at, *(attempt.started_at for attempt in attempts)]
        steps = [step.ended_at for step in self._store.steps(run_id)[-1:]]
        return _Reach(max([*times, *steps]) - CLOCK_DOUBT, sent_at=max(times))

    async def wait(self) -> list[JobRecord]:
        """Wait for the search; every orphaned job that it or an earlier session found and that is not adopted yet.

        Raises UnknownOutcomeError if the search failed and jobs cost money, unless ``rebuy``; CredentialsError.
        """
        if self._task is not None:
            # A caller may be cancelled; the search goes on.
            await asyncio.shield(self._task)
        return [job for jobs in self._open.values() for job in jobs]

    async def at(self, position: Position) -> list[JobRecord]:
        """The orphaned jobs of one call, oldest first, after the search. Raises what ``wait`` raises."""
        await self.wait()
        if self._unsaid is not None:
            text, self._unsaid = self._unsaid, None
            _log.warning(text)
        return list(self._open.get(position, ()))

    async def label_of(self, job: JobRecord) -> JobLabel | None:
        """The label that a job has at the provider, None without one. Raises what ``RemoteBackend.poll`` raises."""
        provider_id = job.provider_id or ""
        if provider_id not in self._labels:
            await self._ask([provider_id])
        return self._labels.get(provider_id)

    def forget(self, job: JobRecord) -> None:
        """Forget a job that was adopted, or given up."""
        self._open[job.position] = [other for other in self._open[job.position] if other.job_id != job.job_id]

    async def close(self) -> None:
        """Stop the search."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self, run_id: str, reach: _Reach) -> None:
        try:
            if await self._look(run_id, reach):
                # The last jobs that were sent before the restore may not be in the list yet.
                await self._clock.sleep(self._backend.terms.settle_seconds)
                await self._look(run_id, reach)
        except (BusyError, UnknownOutcomeError) as error:
            self._give_up(run_id, error)
        for job in await asyncio.to_thread(self._find_open, run_id):
            self._open[job.position].append(job)

    def _find_open(self, run_id: str) -> list[JobRecord]:
        jobs = self._store.open_jobs(run_id)
        return [
            job for job in jobs if is_orphan(job, self._store.attempts(job.job_id), self._store.job_plan(job.job_id))
        ]

    def _give_up(self, run_id: str, error: Exception) -> None:
        told = f"whether {self._backend.name} has jobs of run {run_id} that this database does not know cannot be told"
        if self._stops_in_doubt:
            raise UnknownOutcomeError(
                f"{told}: {error}. Nothing is bought before that is known; resume the run again, or, if this database"
                " was never restored from a backup, go on with rebuy=True (--rebuy)"
            ) from error
        reason = "They may be bought again" if self._backend.capabilities.charges else "It is free to run them again"
        self._unsaid = f"{told}: {error}. {reason}, so the run goes on"

    async def _look(self, run_id: str, reach: _Reach) -> int:
        """Search the list once and record the orphaned jobs in it; how many are new."""
        stored = {job.job_id: job for job in await asyncio.to_thread(self._store.jobs, run_id)}
        known = reach.known(stored.values(), now=self._clock.now())
        seen = await self._search(lambda: self._backend.list_keys(since=reach.since, known=known))
        if seen is None:
            self._unsaid = (
                f"{self._backend.name} has no list of jobs: if this database was restored from a backup, what run"
                f" {run_id} bought after the backup is not known here, and is bought again"
            )
            return 0
        own = self._own(run_id, seen, stored)
        unknown = {key: job_id for key, job_id in own.items() if _may_be_orphan(stored.get(job_id))}
        if not unknown:
            return 0
        found = await self._search(lambda: self._backend.find(set(unknown), since=reach.since))
        statuses = await self._ask(list(found.values()))
        await self._journal.flush()
        return await self._write(
            run_id, {unknown[key]: (key, provider_id) for key, provider_id in found.items()}, statuses
        )

    async def _write(self, run_id: str, found: Mapping[str, tuple[str, str]], statuses: Mapping[str, JobStatus]) -> int:
        now = self._clock.now()
        writes: list[Write] = []
        n_rows = 0
        stored = {job.job_id: job for job in await asyncio.to_thread(self._store.jobs, run_id)}
        for job_id, (key, provider_id) in found.items():
            before = stored.get(job_id)
            if not _may_be_orphan(before):
                continue
            status = statuses.get(provider_id)
            label = (status.label if status is not None else None) or JobLabel()
            n_rows += label.n_rows or 0
            job = before or JobRecord(job_id, run_id, position_of(job_id), JobState.PLANNED, 0, None, now)
            job = job.moved(
                JobState.UNKNOWN,
                at=now,
                n_executions=label.n_rows or 0,
                shots=label.shots,
                provider_id=provider_id,
                attempts=job.attempts + 1,
                error=REASON,
            )
            writes += [job, AttemptRecord(job_id, job.attempts, key, now, outcome=AttemptOutcome.FOUND)]
        if writes:
            await self._journal.write_ahead(writes)
            _log.warning(
                "%s has %d jobs (%d circuits) of run %s that this database does not know, as after it was restored from"
                " a backup: their results are taken over, and not bought again",
                self._backend.name, len(writes) // 2, n_rows, run_id,
            )  # fmt: skip
        return len(writes) // 2

    async def _ask(self, provider_ids: list[str]) -> dict[str, JobStatus]:
        if not provider_ids:
            return {}
        statuses = await self._retrier.repeat(lambda: self._polls.call(lambda: self._backend.poll(provider_ids)))
        self._labels |= {provider_id: status.label for provider_id, status in statuses.items()}
        return statuses

    async def _search(self, search: Callable[[], Awaitable[T]]) -> T:
        return await self._retrier.repeat(lambda: self._searches.call(search))

    def _own(self, run_id: str, seen: Mapping[str, str | None], stored: Mapping[str, JobRecord]) -> dict[str, str]:
        """The run's job ids by key. A label alone proves nothing: the key must be that of its job id."""
        store_id = self._journal.store_id
        named = {
            key: job_id
            for key, job_id in seen.items()
            if job_id is not None
            and job_id.startswith(f"{run_id}/")
            and key == idempotency_key(store_id, job_id, epoch=0)
        }
        unnamed = {key for key, job_id in seen.items() if job_id is None}
        return named | (self._probe(run_id, unnamed, stored) if unnamed else {})

    def _probe(self, run_id: str, keys: Collection[str], stored: Mapping[str, JobRecord]) -> dict[str, str]:
        """The same for jobs of an earlier qorch, without labels: tries the keys of all positions near the last one."""
        store_id = self._journal.store_id
        last = max((job.position.step for job in stored.values()), default=-1)
        own = {}
        for job_id in _near(run_id, last):
            key = idempotency_key(store_id, job_id, epoch=0)
            if key in keys:
                own[key] = job_id
        return own


def is_orphan(job: JobRecord, attempts: Sequence[AttemptRecord], plan: JobPlan | None) -> bool:
    """Whether a recorded job was found by a search and is not adopted: its rows are not known yet."""
    is_found = job.provider_id is not None and bool(attempts) and attempts[-1].outcome == AttemptOutcome.FOUND
    return is_found and plan is None


def _may_be_orphan(job: JobRecord | None) -> bool:
    """Whether a job that the provider has is not recorded as sent."""
    return job is None or job.is_unsent


def _near(run_id: str, last_step: int) -> Iterator[str]:
    steps = range(max(-1, last_step - 1), last_step + PROBED_STEPS)
    for step, call, job in itertools.product(steps, range(PROBED_CALLS), range(PROBED_JOBS)):
        yield job_id_of(run_id, Position(step, call), job)
