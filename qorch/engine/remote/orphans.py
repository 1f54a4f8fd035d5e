"""Orphaned jobs: a provider has them and the database, after a restore from a backup, does not know them."""

import asyncio
import datetime
import itertools
import logging
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from qorch.engine.journal import Journal
from qorch.engine.remote.reconcile import CLOCK_DOUBT
from qorch.engine.remote.retrying import Retrier
from qorch.errors import BusyError, UnknownOutcomeError
from qorch.model.identity import Position, idempotency_key, job_id_of, position_of
from qorch.model.job import JobState, JobStatus
from qorch.model.label import JobLabel
from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import Clock
from qorch.ports.records import AttemptRecord, JobRecord, Write
from qorch.ports.store import Jobs, RunHistory

FOUND = "found"
"""The outcome of the attempt that is recorded for an orphaned job."""
PROBED_STEPS, PROBED_CALLS, PROBED_JOBS = 500, 8, 16
"""How far beyond the run's last position a job without a label is recognised, by its key alone."""
REASON = "bought by a part of the run that this database does not know; its rows are taken over when the run comes here"

_log = logging.getLogger("qorch.resume")


class Orphans:
    """Searches the provider's list for orphaned jobs of one run, once a session, and keeps them by position.

    A job that is found is recorded at once, as UNKNOWN with the provider's id, so that the next search ends at what is
    recorded: every orphaned job was accepted after all jobs that the backup knew.
    """

    def __init__(
        self,
        backend: RemoteBackend,
        store: RunHistory,
        journal: Journal,
        *,
        retrier: Retrier,
        clock: Clock,
        rebuy: bool,
    ) -> None:
        """Nothing is asked before ``start``. ``rebuy``: paid rows may be bought again if nobody can tell."""
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

    def start(self, run_id: str) -> None:
        """Begin to search in the background; a new run has no jobs to search for."""
        record = self._store.find_run(run_id)
        if record is not None:
            times = [job.changed_at for job in self._store.jobs(run_id)]
            times += [step.ended_at for step in self._store.steps(run_id)[-1:]]
            since = max([record.created_at, *times]) - CLOCK_DOUBT
            self._task = asyncio.create_task(self._work(run_id, since))

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

    async def _work(self, run_id: str, since: datetime.datetime) -> None:
        try:
            if await self._look(run_id, since):
                # The last jobs that were sent before the restore may not be in the list yet.
                await self._clock.sleep(self._backend.terms.settle_seconds)
                await self._look(run_id, since)
        except (BusyError, UnknownOutcomeError) as error:
            self._give_up(run_id, error)
        for job in self._store.open_jobs(run_id):
            if is_orphan(self._store, job):
                self._open[job.position].append(job)

    def _give_up(self, run_id: str, error: Exception) -> None:
        told = f"whether {self._backend.name} has jobs of run {run_id} that this database does not know cannot be told"
        if self._stops_in_doubt:
            raise UnknownOutcomeError(
                f"{told}: {error}. Nothing is bought before that is known; resume the run again, or, if this database"
                " was never restored from a backup, go on with rebuy=True (--rebuy)"
            ) from error
        reason = "They may be bought again" if self._backend.capabilities.charges else "It is free to run them again"
        self._unsaid = f"{told}: {error}. {reason}, so the run goes on"

    async def _look(self, run_id: str, since: datetime.datetime) -> int:
        """Search the list once and record the orphaned jobs in it; how many are new."""
        known = {job.provider_id for job in self._store.jobs(run_id) if job.provider_id is not None}
        seen = await self._retrier.repeat(lambda: self._backend.list_keys(since=since, known=known))
        if seen is None:
            self._unsaid = (
                f"{self._backend.name} has no list of jobs: if this database was restored from a backup, what run"
                f" {run_id} bought after the backup is not known here, and is bought again"
            )
            return 0
        own = self._own(run_id, seen)
        unknown = self._unknown(run_id, own)
        if not unknown:
            return 0
        found = await self._retrier.repeat(lambda: self._backend.find(set(unknown), since=since))
        statuses = await self._ask(list(found.values()))
        await self._journal.settle()
        return await self._write(
            run_id, {unknown[key]: (key, provider_id) for key, provider_id in found.items()}, statuses
        )

    async def _write(self, run_id: str, found: Mapping[str, tuple[str, str]], statuses: Mapping[str, JobStatus]) -> int:
        now = self._clock.now()
        writes: list[Write] = []
        n_rows = 0
        stored = {job.job_id: job for job in self._store.jobs(run_id)}
        for job_id, (key, provider_id) in found.items():
            before = stored.get(job_id)
            if not _may_be_orphan(before):
                continue
            attempts = 1 + (0 if before is None else before.attempts)
            status = statuses.get(provider_id)
            label = (status.label if status is not None else None) or JobLabel()
            n_rows += label.n_rows or 0
            writes.append(
                JobRecord(
                    job_id=job_id,
                    run_id=run_id,
                    position=position_of(job_id),
                    state=JobState.UNKNOWN,
                    n_executions=label.n_rows or 0,
                    shots=label.shots,
                    changed_at=now,
                    provider_id=provider_id,
                    attempts=attempts,
                    error=REASON,
                )
            )
            name = f"qorch {key[:16]}"  # as in Submitter
            writes.append(AttemptRecord(job_id, attempts, key, now, outcome=FOUND, search_text=name))
        if writes:
            await self._journal.write_ahead(writes)
            _log.warning(
                "%s has %d jobs (%d circuits) of run %s that this database does not know, as after it was restored from"
                " a backup: their results are taken over, and not bought again",
                self._backend.name, len(writes) // 2, n_rows, run_id,
            )  # fmt: skip
        return len(writes) // 2

    async def _ask(self, provider_ids: list[str]) -> dict[str, JobStatus]:
        statuses = await self._retrier.repeat(lambda: self._backend.poll(provider_ids)) if provider_ids else {}
        self._labels |= {provider_id: status.label for provider_id, status in statuses.items()}
        return statuses

    def _own(self, run_id: str, seen: Mapping[str, str | None]) -> dict[str, str]:
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
        return named | (self._probe(run_id, unnamed) if unnamed else {})

    def _probe(self, run_id: str, keys: Collection[str]) -> dict[str, str]:
        """The same for jobs of an earlier qorch, without labels: tries the keys of all positions near the last one."""
        store_id = self._journal.store_id
        last = max((job.position.step for job in self._store.jobs(run_id)), default=-1)
        own = {}
        for job_id in _near(run_id, last):
            key = idempotency_key(store_id, job_id, epoch=0)
            if key in keys:
                own[key] = job_id
        return own

    def _unknown(self, run_id: str, own: Mapping[str, str]) -> dict[str, str]:
        stored = {job.job_id: job for job in self._store.jobs(run_id)}
        return {key: job_id for key, job_id in own.items() if _may_be_orphan(stored.get(job_id))}


def is_orphan(store: Jobs, job: JobRecord) -> bool:
    """Whether a recorded job was found by a search and is not adopted: its rows are not known yet."""
    attempts = store.attempts(job.job_id)
    is_found = job.provider_id is not None and bool(attempts) and attempts[-1].outcome == FOUND
    return is_found and store.job_plan(job.job_id) is None


def _may_be_orphan(job: JobRecord | None) -> bool:
    """Whether a job that the provider has is not recorded as sent."""
    return job is None or job.is_unsent


def _near(run_id: str, last_step: int) -> Iterator[str]:
    steps = range(max(-1, last_step - 1), last_step + PROBED_STEPS)
    for step, call, job in itertools.product(steps, range(PROBED_CALLS), range(PROBED_JOBS)):
        yield job_id_of(run_id, Position(step, call), job)
