"""Executes the calls of a run: plan, reserve, carry out the jobs, assemble the results."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np

from qorch.engine.accounts import Accounts
from qorch.engine.assembly import Assembly
from qorch.engine.claims import Claims, Share
from qorch.engine.journal import Journal
from qorch.engine.lookup import Found, Lookup
from qorch.engine.parts import make_submitter
from qorch.engine.planner import Call, CallPlan, Planner
from qorch.engine.recorder import Recorder
from qorch.engine.reservation import Purchasing, Reservation
from qorch.engine.run_parts import RunParts, ignore
from qorch.engine.spending import SpendingNotice
from qorch.engine.submission import Submission, kept_rows
from qorch.engine.submitter import HURRY_SECONDS, Returned
from qorch.engine.trimmer import Trimmer
from qorch.engine.worker import Compute, Worker
from qorch.errors import BackendError, RunStoppedError
from qorch.limits import booked_card, require_exact_gradients
from qorch.model.arrays import FloatArray
from qorch.model.identity import Position
from qorch.model.job import OPEN_STATES
from qorch.model.money import NOTHING
from qorch.model.prices.book import PriceBook, decide_price
from qorch.model.prices.card import PriceCard
from qorch.model.pub import Pub
from qorch.model.result import PubResult, Source
from qorch.model.timing import Phase
from qorch.planning.budgets import Buyer, RunBudgets
from qorch.planning.lowering import LoweredBatch
from qorch.planning.quoting import Quote, quote_jobs
from qorch.ports.backend import Backend, ExactGradients, RemoteBackend, account_of, measure_job
from qorch.ports.clock import Clock
from qorch.ports.policy import CachePolicy, RunPolicy
from qorch.ports.records import Write
from qorch.ports.store import Room, Store

_STOPPED = "the run was stopped; start it again with resume=True to go on"

T = TypeVar("T")


@dataclass
class _Tasks:
    open: set["asyncio.Task[Any]"] = field(default_factory=set)
    stopped_because: str = ""
    """The sentence that stopped tasks raise; empty before ``stop``."""

    def check(self) -> None:
        """Raise RunStoppedError after ``stop``."""
        if self.stopped_because:
            raise RunStoppedError(self.stopped_because)


class Engine:
    """Executes calls of one run on one backend, recording in one store. Lives in one event loop."""

    def __init__(
        self,
        backend: Backend,
        store: Store,
        *,
        clock: Clock,
        policy: RunPolicy,
        recorder: Recorder,
        run_id: str,
        random: np.random.Generator | None = None,
        budgets: RunBudgets | None = None,
        card: PriceCard | None = None,
        note: Callable[[str], None] = ignore,
    ) -> None:
        """Nothing is started before ``open``. ``random``: of jitter; None for one of its own.

        ``budgets``: those that must cover the jobs of a call before any of them is sent. ``card``: the backend's
        prices; without one they are those of a backend that has no card. ``note``: see RunParts.
        """
        charges, outlives = backend.capabilities.charges, isinstance(backend, RemoteBackend)
        self._backend = backend
        self._card = card or decide_price(backend.name, charges=charges, book=PriceBook())
        self._store = store
        self._recorder = recorder
        self._run_id = run_id
        self._worker = Worker()
        self._trimmer = _make_trimmer(store, clock, policy, charges=charges)
        accounts = Accounts(booked_card(backend, self._card), account_of(backend), clock=clock)
        self._journal = _make_journal(store, backend, policy, accounts=accounts, trimmer=self._trimmer, clock=clock)
        self._lookup = Lookup(store, policy=policy.cache, rebuy=policy.rebuy, charges=charges, keeps_jobs=outlives)
        self._planner = Planner(backend, self._lookup)
        budgets = budgets or RunBudgets((), Buyer(run_id, run_id, backend.name, accounts.account))
        self._spending = SpendingNotice(backend, budgets)
        purchasing = Purchasing(accounts, partial(measure_job, backend), budgets, note_use=self._spending.note_use)
        parts = RunParts(
            run_id,
            store,
            self._journal,
            accounts,
            reservation=Reservation(self._journal, clock=clock, purchasing=purchasing),
            worker=self._worker,
            recorder=recorder,
            clock=clock,
            policy=policy,
            random=random or np.random.default_rng(),
            note=note,
        )
        self._submitter = make_submitter(backend, parts)
        self._slots = asyncio.Semaphore(self._submitter.most_jobs)
        shares_rows = outlives and self._lookup.uses_index(is_exact=False)
        self._claims = (
            Claims(store, run_id=run_id, clock=clock, recover_run=self._submitter.recover_run, note=note)
            if shares_rows
            else None
        )
        self._tasks = _Tasks()

    async def open(self) -> None:
        """Open the backend, and adopt the jobs that an earlier session of the run left at the provider.

        Raises RunStoppedError if ``stop`` is called meanwhile.
        """
        await self._until_stopped(self._submitter.open())

    async def close(self, because: str = _STOPPED, *, patience_seconds: float = HURRY_SECONDS) -> None:
        """Cancel what is in progress, record it, and release the backend. ``because``: see ``stop``.

        ``patience_seconds``: how long it may take to close sessions at the provider.
        """
        await self.stop(because)
        try:
            await self._submitter.close(patience_seconds=patience_seconds)
        finally:
            self._worker.close()
            self._lookup.tell_changes(self._run_id)

    def trim(self) -> None:
        """Delete free results beyond the bound, now that the run is over and needs its own no longer."""
        if self._trimmer is not None:
            self._trimmer.finish()

    async def stop(self, because: str = _STOPPED) -> None:
        """Submit nothing more: calls in progress are cancelled, and their jobs recorded as such.

        They, and later calls, raise RunStoppedError with the sentence ``because`` of the first ``stop``.
        """
        self._tasks.stopped_because = self._tasks.stopped_because or because
        for task in tuple(self._tasks.open):
            task.cancel()
        await asyncio.gather(*self._tasks.open, return_exceptions=True)

    async def flush(self) -> None:
        """Wait until everything that was recorded is durable."""
        await self._journal.flush()

    def flush_blocking(self, writes: Sequence[Write]) -> None:
        """The same, and these writes; blocks a thread that is not the event loop's."""
        self._journal.flush_blocking(writes)

    async def execute(self, call: Call) -> list[PubResult]:
        """One result per pub of the call's batch, in order.

        Raises UsageError before anything is executed, BackendError, StoreError, or RunStoppedError.
        """
        return await self._until_stopped(self._execute(call))

    async def quote(self, call: Call) -> Quote:
        """What a call would buy now, after what is stored; nothing of it is bought, claimed or written.

        Raises UsageError for what the backend does not take, and StoreError.
        """
        return await self._until_stopped(self._quote(call))

    async def _quote(self, call: Call) -> Quote:
        compute = self._worker.for_call(call.batch.n_rows)
        lowered = await compute(self._planner.lower, call)
        await self._planner.prepare(lowered)
        return await compute(self._price, await self._look_up(call, lowered))

    def _price(self, plan: CallPlan) -> Quote:
        quote = quote_jobs(plan.jobs, self._card, measure=partial(measure_job, self._backend))
        n_rows = sum(group.n_rows for group in plan.lowered.groups)
        return replace(quote, from_cache=n_rows - plan.n_rows)

    def vjp_blocking(self, pub: Pub, cotangents: FloatArray, *, position: Position) -> FloatArray:
        """``(N, P)``: cotangents ``(N, K)`` times the exact Jacobian of a pub, computed by the backend.

        Blocks a thread that is not the event loop's: the way through the loop would take a third of the time. Raises
        UsageError if the backend has no exact gradients, ParameterError for cotangents of another shape, and
        RunStoppedError, at the next piece of the work, once ``stop`` is called.
        """
        differentiable = self._differentiable
        with self._recorder.span(Phase.EXECUTE, position):
            self._tasks.check()
            try:
                return differentiable.vjp(pub, cotangents, check=self._tasks.check)
            except BackendError:
                self._tasks.check()  # a run that is stopped closes its backend
                raise

    @cached_property
    def _differentiable(self) -> ExactGradients:
        return require_exact_gradients(self._backend)

    async def _until_stopped(self, work: Coroutine[Any, Any, T]) -> T:
        """Do work that ``stop`` ends with RunStoppedError."""
        if self._tasks.stopped_because:
            work.close()
            raise RunStoppedError(self._tasks.stopped_because)
        task = asyncio.create_task(work)
        self._tasks.open.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            if self._tasks.stopped_because and not _is_cancelling():
                raise RunStoppedError(self._tasks.stopped_because) from None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise
        finally:
            self._tasks.open.discard(task)

    async def _execute(self, call: Call) -> list[PubResult]:
        compute = self._worker.for_call(call.batch.n_rows)
        if call.is_replayed:
            with self._recorder.span(Phase.REMOTE, call.position):
                await self._submitter.wait_at(call.position)
        with self._recorder.span(Phase.PLAN, call.position):
            lowered = await compute(self._planner.lower, call)
        if not self._planner.is_prepared(lowered):
            with self._recorder.span(Phase.TRANSPILE, call.position):
                await self._planner.prepare(lowered)
        plan = await self._adopt(await self._look_up(call, lowered))
        if self._claims is None or not plan.found.missing:
            return await self._carry_out(plan, compute)
        return await self._share_out(plan, compute, self._claims)

    async def _adopt(self, plan: CallPlan) -> CallPlan:
        """Settle what earlier sessions left of this call (see ``Submitter.adopt``); the plan of what is left to buy."""
        while plan.call.is_replayed:
            with self._recorder.span(Phase.REMOTE, plan.call.position):
                if not await self._submitter.adopt(self._planner.wanted(plan)):
                    break
            plan = await self._look_up(plan.call, plan.lowered)
        return plan

    async def _look_up(self, call: Call, lowered: LoweredBatch) -> CallPlan:
        uses_index = self._lookup.uses_index(is_exact=call.has_exact)
        if not uses_index and not call.is_replayed:
            # Nothing is read from the store.
            with self._recorder.span(Phase.PLAN, call.position):
                return await self._worker.for_call(call.batch.n_rows)(self._planner.plan, call, lowered)
        with self._recorder.span(Phase.LOOK_UP, call.position):
            if uses_index:
                # What this run has just recorded must be there to be found.
                await self._journal.flush()
            return await self._worker.compute(self._planner.plan, call, lowered)

    async def _share_out(self, plan: CallPlan, compute: Compute, claims: Claims) -> list[PubResult]:
        """Execute a call some of whose rows other runs may be buying: theirs are waited for, and looked up again."""
        bought = 0
        call, lowered = plan.call, plan.lowered
        is_first_time = not call.is_replayed
        while True:
            share = await claims.share(lowered.groups, plan.found.missing, plan.contexts)
            try:
                again = await self._look_up(call, lowered)
                if again.n_missing < plan.n_missing:
                    # Another run has stored some of them between the look-up and the claim.
                    plan = again
                    continue
                mine = self._planner.keep(plan, share.mine)
                if not len(share.taken):
                    return await self._carry_out(mine, compute, bought=bought, is_first_time=is_first_time)
                await self._run_jobs(mine, compute, Assembly(lowered, plan.found, charge=None))
            finally:
                await self._give_up(call, claims, share)
            bought += mine.n_rows
            self._recorder.count(executions=mine.n_rows, jobs=len(mine.jobs))
            with self._recorder.span(Phase.WAIT, call.position):
                await claims.wait(share)
            call = replace(call, is_replayed=True)
            plan = await self._look_up(call, lowered)
            await claims.release(share.taken)

    async def _give_up(self, call: Call, claims: Claims, share: Share) -> None:
        """Release what was claimed, however the call ended, unless one of its jobs may still bring the rows."""
        await self._journal.flush()
        jobs = await asyncio.to_thread(self._store.jobs_at, call.run_id, call.position)
        if not any(job.state in OPEN_STATES for job in jobs):
            await asyncio.shield(claims.release(share.claims))

    async def _carry_out(
        self, plan: CallPlan, compute: Compute, *, bought: int = 0, is_first_time: bool = False
    ) -> list[PubResult]:
        """Run a plan's jobs and build the results. ``bought``: executions of this call in an earlier round."""
        position = plan.call.position
        charge = None if self._backend.capabilities.charges else NOTHING
        assembly = Assembly(plan.lowered, plan.found, charge=charge)
        if plan.found.hits:
            own = Source.EXECUTED if is_first_time else Source.RESUMED
            await compute(_place_hits, assembly, plan.found, own)
        await self._run_jobs(plan, compute, assembly)
        with self._recorder.span(Phase.DECODE, position):
            results = await compute(assembly.finish)
        cached = max(0, sum(group.n_rows for group in plan.lowered.groups) - plan.n_rows - bought)
        self._recorder.count(executions=plan.n_rows, executions_from_cache=cached, jobs=len(plan.jobs))
        timeline = self._recorder.spans_at(position)
        return [result.with_timeline(timeline) for result in results]

    async def _run_jobs(self, plan: CallPlan, compute: Compute, assembly: Assembly) -> None:
        """Run all jobs of a plan; the first failure cancels the others and is raised."""
        if not plan.jobs:
            return
        submissions = plan.submissions
        later = itertools.count(plan.found.first_job + len(submissions))

        async def run_job(submission: Submission) -> None:
            async with self._slots:
                returned = await self._submitter.carry_out(
                    submission, compute=compute, next_ordinal=lambda: next(later)
                )
            with self._recorder.span(Phase.DECODE, submission.position, job_id=submission.job_id):
                await compute(_assemble, assembly, returned)

        async with self._submitter.reserved(submissions, compute=compute):
            if self._spending.is_due:
                self._spending.say(await compute(self._price, plan))
            await _run_all(run_job, submissions)


async def _run_all(run_job: Callable[[Submission], Coroutine[Any, Any, None]], submissions: list[Submission]) -> None:
    """Run jobs side by side; one alone in the task of its caller."""
    if len(submissions) == 1:
        await run_job(submissions[0])
        return
    tasks = [asyncio.create_task(run_job(submission)) for submission in submissions]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _place_hits(assembly: Assembly, found: Found, own: Source) -> None:
    """``own``: the Source that is reported for rows which this call itself had stored earlier."""
    for hit in found.hits:
        source = own if hit.source is Source.RESUMED else hit.source
        assembly.add(hit.group, hit.rows, hit.result.take(hit.places), source=source)


def _assemble(assembly: Assembly, returned: Sequence[Returned]) -> None:
    for part in returned:
        for index, (selection, block) in enumerate(zip(part.job.selections, part.result.blocks, strict=True)):
            kept = kept_rows(part.result, index, selection.block.n_rows)
            if len(kept):
                assembly.add(selection.group, selection.rows[kept], block, source=selection.source)


def _make_journal(
    store: Store, backend: Backend, policy: RunPolicy, *, accounts: Accounts, trimmer: Trimmer | None, clock: Clock
) -> Journal:
    charges = backend.capabilities.charges
    return Journal(
        store,
        clock=clock,
        is_durable=charges or isinstance(backend, RemoteBackend),
        # Under OFF no result is ever read again, and free ones need not be kept for an audit.
        keeps_results=charges or policy.cache is not CachePolicy.OFF,
        trimmer=trimmer,
        # By another card, an earlier session may have reserved what is settled now.
        accounts=accounts if charges or accounts.is_kept else None,
    )


def _make_trimmer(store: Room, clock: Clock, policy: RunPolicy, *, charges: bool) -> Trimmer | None:
    """The trimmer of a run that stores free results; None if it stores none, or all are kept."""
    if charges or policy.keep_free_bytes is None:
        return None
    return Trimmer(store, clock=clock, keep_bytes=policy.keep_free_bytes)


def _is_cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
