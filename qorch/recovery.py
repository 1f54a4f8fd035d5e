"""Finishes what ended runs left at their providers: fetches results, holds what stays unknown, asks for usage."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from qorch.backends import open_backend
from qorch.config import Config
from qorch.engine.accounts import Accounts, give_up
from qorch.engine.journal import Journal
from qorch.engine.recorder import Recorder
from qorch.engine.remote.parts import make_remote_submitter
from qorch.engine.remote.reconcile import CLOCK_DOUBT
from qorch.engine.remote.recovery import Recovered, RecoveryOutcome
from qorch.engine.remote.retrying import Retrier
from qorch.engine.remote.session_recovery import SessionRecovery
from qorch.engine.remote.usage_watch import PendingUsage, ask_usage, find_pending, usage_records
from qorch.engine.remote.window import RateWindow
from qorch.engine.reservation import Reservation
from qorch.engine.run_parts import RunParts
from qorch.engine.worker import Worker
from qorch.errors import QorchError, RunBusyError, UsageError
from qorch.limits import booked_card
from qorch.model.job import JobState
from qorch.model.prices.book import decide_price
from qorch.model.usage import ReportedUsage, UsageTotals, sum_usage
from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import Clock
from qorch.ports.policy import RetryPolicy, RunPolicy
from qorch.ports.provider_sessions import MAYBE_OPEN, ProviderSessionRecord
from qorch.ports.records import JobRecord, RunMove, RunRecord, RunState
from qorch.ports.store import Store
from qorch.prices import load_prices

MOST_ASKED = 200
"""Asked about together; what came of them is written down before the next."""
BRIEF = RetryPolicy(patience_seconds=20.0, first_patience_seconds=20.0)
"""A question that fails may as well be asked tomorrow."""


@dataclass(frozen=True)
class RunRecovery:
    """What became of one run's open jobs, and of its sessions at the provider; ``problem``: why nothing could be done.

    ``is_at_work``: another process works on the run, and recovers its jobs itself.
    """

    run_id: str
    backend: str
    jobs: tuple[Recovered, ...] = ()
    problem: str | None = None
    is_at_work: bool = False
    sessions: tuple[ProviderSessionRecord, ...] = ()


def recover_runs(store: Store, run_ids: Sequence[str], *, config: Config, clock: Clock) -> list[RunRecovery]:
    """Settle the open jobs of these runs, side by side; a run that another process works on is left to it."""
    found = [record for record in map(store.find_run, run_ids) if record is not None]

    async def settle_all() -> list[RunRecovery]:
        return await asyncio.gather(*(_recover_run(store, record, config=config, clock=clock) for record in found))

    return asyncio.run(settle_all())


async def _recover_run(store: Store, record: RunRecord, *, config: Config, clock: Clock) -> RunRecovery:
    try:
        with store.claim_run(record.run_id):
            # First, as it needs no provider: until then the money of these jobs counts in every budget that covers it.
            unsent = drop_unsent(store, record.run_id, clock=clock)
            if not (store.open_jobs(record.run_id) or store.open_provider_sessions(record.run_id)):
                return RunRecovery(record.run_id, record.backend, tuple(unsent))
            backend = open_backend(record.backend, config=config, clock=clock)
            if not isinstance(backend, RemoteBackend):
                # Jobs of this machine ended with the process that ran them.
                return _drop_all(store, record, clock=clock)
            jobs, sessions = await _settle(backend, store, record, config=config, clock=clock)
    except RunBusyError:
        problem = "another process works on it, and recovers it itself"
        return RunRecovery(record.run_id, record.backend, problem=problem, is_at_work=True)
    except QorchError as error:
        return RunRecovery(record.run_id, record.backend, problem=str(error))
    return RunRecovery(record.run_id, record.backend, (*unsent, *jobs), sessions=tuple(sessions))


def drop_unsent(store: Store, run_id: str, *, clock: Clock) -> list[Recovered]:
    """Cancel the jobs that an ended process had reserved and provably not sent, and release what it reserved for them.

    The caller has claimed the run.
    """
    reason = "it was reserved, and never sent"
    now = clock.now()
    ended = [job.moved(JobState.CANCELLED, at=now, error=reason) for job in store.jobs(run_id, state=JobState.RESERVED)]
    _end_all(store, ended)
    return [Recovered(job, RecoveryOutcome.NOT_SENT, reason) for job in ended]


def cancel_ended(store: Store, record: RunRecord, *, config: Config, clock: Clock) -> None:
    """Cancel a run on which no process works, for good, and its jobs at the provider. Raises RunBusyError."""
    with store.claim_run(record.run_id):
        mark_cancelled(store, record.run_id, clock=clock)
        if store.open_jobs(record.run_id) or store.open_provider_sessions(record.run_id):
            cancel_jobs(store, record, config=config, clock=clock)


def mark_cancelled(store: Store, run_id: str, *, clock: Clock) -> None:
    """Write down that a run is cancelled, and give back what it reserved. The caller has claimed the run."""
    store.write([RunMove(run_id, RunState.CANCELLED)]).result()
    drop_unsent(store, run_id, clock=clock)


def _end_all(store: Store, ended: Sequence[JobRecord]) -> None:
    """Write jobs that are over, and release or spend what is reserved for them."""
    if ended:
        store.settle(
            [job.job_id for job in ended],
            lambda stored: [*ended, *(entry for job in ended for entry in give_up(stored[job.job_id], job))],
        ).result()


async def _settle(
    backend: RemoteBackend, store: Store, record: RunRecord, *, config: Config, clock: Clock
) -> tuple[Sequence[Recovered], Sequence[ProviderSessionRecord]]:
    accounts = _keep_accounts(backend, config=config, clock=clock)
    journal = Journal(store, clock=clock, is_durable=True, accounts=accounts)
    with closing(Worker()) as worker:
        parts = RunParts(
            record.run_id,
            store,
            journal,
            accounts,
            reservation=Reservation(journal, clock=clock),
            worker=worker,
            recorder=Recorder(clock),
            clock=clock,
            policy=RunPolicy(),
            random=np.random.default_rng(),
        )
        # What jobs were charged for is asked later, of all together.
        submitter = make_remote_submitter(backend, parts, most_earlier=0)
        try:
            await submitter.open()
            return await submitter.recovered(), await submitter.ended_sessions()
        finally:
            await submitter.close()


def _keep_accounts(backend: RemoteBackend, *, config: Config, clock: Clock) -> Accounts:
    """The accounts of work outside of a run, kept as a run keeps its own."""
    card = decide_price(backend.name, charges=backend.capabilities.charges, book=load_prices(config))
    return Accounts(booked_card(backend, card), backend.terms.account, clock=clock)


def _drop_all(store: Store, record: RunRecord, *, clock: Clock) -> RunRecovery:
    jobs = store.open_jobs(record.run_id)
    reason = "it ended with the process that ran it"
    now = clock.now()
    ended = [job.moved(JobState.CANCELLED, at=now, error=reason) for job in jobs]
    _end_all(store, ended)
    return RunRecovery(
        record.run_id, record.backend, tuple(Recovered(job, RecoveryOutcome.NOT_SENT, reason) for job in jobs)
    )


@dataclass(frozen=True)
class Cancellation:
    """Of a run's open jobs: how many the provider was told to cancel, how many were over there already, and of how
    many it shows nothing, though it may have them.

    ``sessions_closed``: sessions of the run that were closed there; ``sessions_left``: those that may still be open.
    """

    told: int = 0
    over: int = 0
    unseen: int = 0
    sessions_closed: int = 0
    sessions_left: int = 0


def cancel_jobs(store: Store, record: RunRecord, *, config: Config, clock: Clock) -> Cancellation:
    """Ask the provider to cancel what it has of a run, also what it accepted without an answer.

    The jobs stay open: a provider may still finish, and charge, what it was told to cancel. Raises BackendError.
    """
    backend = open_backend(record.backend, config=config, clock=clock)
    if isinstance(backend, RemoteBackend):
        return asyncio.run(_cancel(backend, store, record.run_id, clock=clock))
    _drop_all(store, record, clock=clock)
    return Cancellation()


async def _cancel(backend: RemoteBackend, store: Store, run_id: str, *, clock: Clock) -> Cancellation:
    jobs = store.open_jobs(run_id)
    unanswered = [job for job in jobs if job.provider_id is None]
    try:
        await backend.open()
        # First what is known: the provider may not be able to look for the others.
        known = await _tell(backend, [job.provider_id for job in jobs if job.provider_id is not None])
        found = await _find_unanswered(backend, store, unanswered, clock=clock)
        late = await _tell(backend, found)
        sessions = await _close_sessions(backend, store, run_id, clock=clock)
    finally:
        await backend.close()
    unseen = known.unseen + late.unseen + len(unanswered) - len(found)
    left = sum(session.state in MAYBE_OPEN for session in sessions)
    return Cancellation(known.told + late.told, known.over + late.over, unseen, len(sessions) - left, left)


async def _close_sessions(
    backend: RemoteBackend, store: Store, run_id: str, *, clock: Clock
) -> Sequence[ProviderSessionRecord]:
    """Let the run's sessions take no more jobs; one whose opening has no answer is looked for once."""
    journal = Journal(store, clock=clock, is_durable=True)
    retrier = Retrier(RetryPolicy(patience_seconds=0.0), clock=clock, random=np.random.default_rng())
    recovery = SessionRecovery(backend, store, journal, retrier=retrier, clock=clock)
    account, records = backend.terms.account, store.open_provider_sessions(run_id)
    return [await recovery.end_soon(record) if record.account == account else record for record in records]


async def _tell(backend: RemoteBackend, provider_ids: Sequence[str]) -> Cancellation:
    """Ask the provider to cancel those of these jobs that are not over."""
    statuses = await backend.poll(provider_ids) if provider_ids else {}
    told = [provider_id for provider_id, status in statuses.items() if not status.state.is_over]
    await asyncio.gather(*(backend.cancel(provider_id) for provider_id in told))
    return Cancellation(len(told), len(statuses) - len(told), len(provider_ids) - len(statuses))


async def _find_unanswered(
    backend: RemoteBackend, store: Store, jobs: Sequence[JobRecord], *, clock: Clock
) -> Sequence[str]:
    """The ids of those jobs, whose submission has no answer, that the provider's lists show; they are written down."""
    attempts = {job.job_id: store.attempts(job.job_id) for job in jobs}
    keys = {job.job_id: attempts[job.job_id][-1].key for job in jobs if attempts[job.job_id]}
    if not keys:
        return []
    since = min(attempts[job_id][0].started_at for job_id in keys) - CLOCK_DOUBT
    found = await backend.find(set(keys.values()), since=since)
    by_job = {job_id: found[key] for job_id, key in keys.items() if key in found}
    # As they are now: a process that still works on the run may have had its answer meanwhile.
    submitted = [
        job.moved(JobState.SUBMITTED, at=clock.now(), provider_id=by_job[job.job_id], error=None)
        for job in store.open_jobs(jobs[0].run_id)
        if job.job_id in by_job and job.provider_id is None
    ]
    store.write(submitted).result()
    return list(by_job.values())


def release_job(store: Store, job_id: str, *, clock: Clock) -> JobRecord:
    """Note that a person gave a held job up, for it was never accepted or cannot be read: its rows may be bought again.

    A provider's id that is known stays with it: the job was accepted there, and may be billed.

    Raises UsageError if it is not held, RunBusyError if its run is being worked on.
    """
    reason = "released by a person"
    return _decide(store, job_id, state=JobState.CANCELLED, provider_id=None, error=reason, clock=clock)


def adopt_job(store: Store, job_id: str, provider_id: str, *, clock: Clock) -> JobRecord:
    """Note that a person looked, and found this held job at the provider under that id.

    Raises UsageError if it is not held, or that id is another job's, RunBusyError if its run is being worked on.
    """
    others = [job.job_id for job in store.jobs() if job.provider_id == provider_id and job.job_id != job_id]
    if others:
        raise UsageError(f"{provider_id} is the provider's id of job {others[0]}; look again for that of {job_id}")
    return _decide(store, job_id, state=JobState.SUBMITTED, provider_id=provider_id, error=None, clock=clock)


def _decide(
    store: Store, job_id: str, *, state: JobState, provider_id: str | None, error: str | None, clock: Clock
) -> JobRecord:
    with store.claim_run(_find_held(store, job_id).run_id):
        job = _find_held(store, job_id)  # as it is now: another process may have settled it before the claim
        known = provider_id or job.provider_id
        decided = job.moved(state, at=clock.now(), provider_id=known, error=error)
        if state is JobState.CANCELLED:
            store.settle([job_id], lambda stored: [decided, *give_up(stored[job_id], decided)]).result()
        else:
            store.write([decided]).result()
    return decided


def _find_held(store: Store, job_id: str) -> JobRecord:
    """Raises UsageError if it is not held."""
    held = {job.job_id: job for job in store.jobs(state=JobState.UNKNOWN)}
    if job_id not in held:
        raise UsageError(f"there is no held job '{job_id}'; see `qorch jobs --state unknown`")
    return held[job_id]


@dataclass(frozen=True)
class UsageRecovery:
    """What became of the jobs of one backend: ``totals`` of those whose usage has become known, and of the others.

    ``problem`` says why some of them could not be asked about.
    """

    backend: str
    totals: UsageTotals
    problem: str | None = None


def recover_usage(store: Store, run_id: str | None = None, *, config: Config, clock: Clock) -> list[UsageRecovery]:
    """Ask about the jobs of one run or all whose usage is not known, each backend by itself and all side by side.

    No device needs to be there any more, and nothing waits for what a provider has not counted yet.
    """
    unknown = store.jobs_without_usage(run_id)
    runs = {owner: store.find_run(owner) for owner in {job.run_id for job in unknown}}
    by_backend: dict[str, list[JobRecord]] = defaultdict(list)
    for job in unknown:
        run = runs[job.run_id]
        by_backend["" if run is None else run.backend].append(job)

    async def ask_all() -> list[UsageRecovery]:
        asked = (_ask_backend(store, name, jobs, config=config, clock=clock) for name, jobs in by_backend.items())
        return await asyncio.gather(*asked)

    return asyncio.run(ask_all())


async def _ask_backend(
    store: Store, name: str, jobs: Sequence[JobRecord], *, config: Config, clock: Clock
) -> UsageRecovery:
    known = {job.job_id: job.usage for job in jobs}
    problem = None
    try:
        backend = open_backend(name, config=config, clock=clock)
        if isinstance(backend, RemoteBackend):
            try:
                accounts = _keep_accounts(backend, config=config, clock=clock)
                journal = Journal(store, clock=clock, is_durable=True, accounts=accounts)
                await _ask(backend, journal, find_pending(store, jobs), known, clock=clock)
            finally:
                await backend.close()
    except QorchError as error:
        problem = str(error)
    return UsageRecovery(name, sum_usage(known.values()), problem)


async def _ask(
    backend: RemoteBackend,
    journal: Journal,
    pending: Sequence[PendingUsage],
    known: dict[str, ReportedUsage | None],
    *,
    clock: Clock,
) -> None:
    """Ask chunk by chunk; what is final is stored, and put into ``known``."""
    polls = RateWindow(backend.terms.poll_rate, clock=clock)
    retrier = Retrier(BRIEF, clock=clock, random=np.random.default_rng())
    for start in range(0, len(pending), MOST_ASKED):
        chunk = pending[start : start + MOST_ASKED]
        found = await retrier.repeat(lambda items=chunk: ask_usage(backend, items, polls=polls))  # type: ignore[misc]
        records = usage_records(chunk, found)
        await journal.record(records)
        known.update({record.job_id: record.usage for record in records})
