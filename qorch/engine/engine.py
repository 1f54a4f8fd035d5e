"""From a batch to results: lower, look up, plan, queue, assemble."""

import asyncio
import functools
import itertools
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from qorch.engine.assembly import Assembly, check_room
from qorch.engine.claims import Claims, Share
from qorch.engine.journal import Journal
from qorch.engine.local import LocalSubmitter
from qorch.engine.lookup import Found, Lookup
from qorch.engine.queue import JobQueue
from qorch.engine.recorder import Recorder
from qorch.engine.remote.adoption import Wanted
from qorch.engine.remote.parts import RemoteParts, make_remote_parts
from qorch.engine.remote.submitter import RemoteSubmitter
from qorch.engine.spending import SpendingNotice
from qorch.engine.submission import Submission, kept_rows
from qorch.engine.trimmer import Trimmer
from qorch.errors import RunStoppedError
from qorch.limits import check_shots
from qorch.model.identity import Position, stream_of
from qorch.model.job import OPEN_STATES, JobResult
from qorch.model.money import NOTHING
from qorch.model.pub import Batch
from qorch.model.result import PubResult, Source
from qorch.model.timing import Phase
from qorch.planning.lowering import LoweredBatch, RowGroup, lower
from qorch.planning.packing import Missing, PlannedJob, pack, unexecuted
from qorch.ports.backend import Backend, RemoteBackend
from qorch.ports.clock import Clock
from qorch.ports.policy import CachePolicy, RunPolicy
from qorch.ports.records import Write
from qorch.ports.store import Room, Store

_STOPPED = "the run was stopped; start it again with resume=True to go on"

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """One call of a run: its batch and where it happens. ``is_replayed``: the run may have been here before."""

    run_id: str
    seed: int
    position: Position
    batch: Batch
    default_shots: int | None
    is_replayed: bool = False


@dataclass(frozen=True, eq=False)
class _Plan:
    lowered: LoweredBatch
    contexts: tuple[bytes, ...]
    found: Found
    jobs: tuple[PlannedJob, ...]

    @property
    def n_rows(self) -> int:
        """The rows of all jobs."""
        return sum(job.n_rows for job in self.jobs)

    @property
    def n_missing(self) -> int:
        """The rows that nothing is stored for."""
        return sum(len(part.rows) for part in self.found.missing)


@dataclass
class _Tasks:
    open: set["asyncio.Task[Any]"] = field(default_factory=set)
    stopped_because: str = ""
    """The sentence that stopped tasks raise; empty before ``stop``."""


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
    ) -> None:
        """Nothing is started before ``open``. ``random``: of jitter; None for one of its own."""
        charges = backend.capabilities.charges
        remote = backend if isinstance(backend, RemoteBackend) else None
        self._backend = backend
        self._store = store
        self._recorder = recorder
        self._run_id = run_id
        self._trimmer = _make_trimmer(store, clock, policy, charges=charges)
        self._journal = Journal(
            store,
            clock=clock,
            is_durable=charges or remote is not None,
            # Under OFF no result is ever read again, and free ones need not be kept for an audit.
            keeps_results=charges or policy.cache is not CachePolicy.OFF,
            trimmer=self._trimmer,
        )
        self._lookup = Lookup(
            store, policy=policy.cache, rebuy=policy.rebuy, charges=charges, keeps_jobs=remote is not None
        )
        self._remote: RemoteParts | None = None
        self._claims: Claims | None = None
        if remote is None:
            local = LocalSubmitter(backend, self._journal, recorder, clock=clock, retry=policy.retry)
            self._submitter: LocalSubmitter | RemoteSubmitter = local
            # One job more than the backend has slots waits at its door, so that no slot idles between two jobs.
            self._queue = JobQueue(2 * backend.capabilities.slots)
        else:
            self._remote = make_remote_parts(
                remote,
                store,
                journal=self._journal,
                recorder=recorder,
                clock=clock,
                policy=policy,
                run_id=run_id,
                random=random or np.random.default_rng(),
            )
            self._submitter = self._remote.submitter
            if self._lookup.uses_index(is_exact=False):
                self._claims = Claims(store, run_id=run_id, clock=clock, settle=self._remote.settle_run)
            self._queue = JobQueue(remote.terms.most_jobs)
        self._tasks = _Tasks()
        self._spending = SpendingNotice(backend)

    async def open(self) -> None:
        """Start the queue and the backend, and adopt the jobs that an earlier session of the run left at the provider.

        Raises RunStoppedError if ``stop`` is called meanwhile.
        """
        await self._until_stopped(self._open())

    async def _open(self) -> None:
        await self._queue.__aenter__()
        if self._remote is not None:
            await self._remote.open(self._run_id)
        else:
            await self._backend.open()

    async def close(self, because: str = _STOPPED) -> None:
        """Cancel what is in progress, record it, and release the backend. ``because``: see ``stop``."""
        await self.stop(because)
        await self._queue.__aexit__(None, None, None)
        try:
            if self._remote is not None:
                await self._remote.close()
            await self._journal.settle()
        finally:
            await self._backend.close()
            self._journal.close()
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

    async def settle(self) -> None:
        """Wait until everything that was recorded is durable."""
        await self._journal.settle()

    def settle_blocking(self, writes: Sequence[Write]) -> None:
        """The same, and these writes; blocks a thread that is not the event loop's."""
        self._journal.settle_blocking(writes)

    async def execute(self, call: Call) -> list[PubResult]:
        """One result per pub of the call's batch, in order.

        Raises UsageError before anything is executed, BackendError, StoreError, or RunStoppedError.
        """
        return await self._until_stopped(self._execute(call))

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
        if self._remote is not None and call.is_replayed:
            with self._recorder.span(Phase.REMOTE, call.position):
                await self._remote.recovery.wait_at(call.position)
        plan = await self._adopt(call, await self._look_up(call))
        if self._claims is None or not plan.found.missing:
            return await self._carry_out(call, plan)
        return await self._share_out(call, plan, self._claims)

    async def _adopt(self, call: Call, plan: _Plan) -> _Plan:
        """Adopt orphaned jobs of this call (see ``orphans``) until there are none; the plan of what is left to buy."""
        while self._remote is not None and call.is_replayed and plan.jobs:
            groups = plan.lowered.groups
            stream = stream_of(call.seed, call.position)
            every = [unexecuted(index, group, stream=stream) for index, group in enumerate(groups)]
            wanted = Wanted(
                run_id=call.run_id,
                position=call.position,
                groups=groups,
                contexts=plan.contexts,
                missing=plan.found.missing,
                jobs=plan.jobs,
                whole=functools.partial(self._pack, plan.lowered, every),
            )
            with self._recorder.span(Phase.REMOTE, call.position):
                if not await self._remote.adoption.take(wanted):
                    break
            plan = await self._look_up(call)
        return plan

    async def _look_up(self, call: Call) -> _Plan:
        with self._recorder.span(Phase.PLAN, call.position):
            if self._lookup.uses_index(is_exact=_has_exact(call)):
                # What this run has just recorded must be there to be found.
                await self._journal.settle()
            return await self._journal.compute(call.batch.n_rows, self._plan, call)

    async def _share_out(self, call: Call, plan: _Plan, claims: Claims) -> list[PubResult]:
        """Execute a call some of whose rows other runs may be buying: theirs are waited for, and looked up again."""
        bought = 0
        is_first_time = not call.is_replayed
        while True:
            share = await claims.share(plan.lowered.groups, plan.found.missing, plan.contexts)
            try:
                again = await self._look_up(call)
                if again.n_missing < plan.n_missing:
                    # Another run has stored some of them between the look-up and the claim.
                    plan = again
                    continue
                mine = replace(plan, jobs=self._pack(plan.lowered, share.mine))
                if not len(share.taken):
                    return await self._carry_out(call, mine, bought=bought, is_first_time=is_first_time)
                await self._run_jobs(call, mine, Assembly(plan.lowered, plan.found, charge=None))
            finally:
                await self._give_up(call, claims, share)
            bought += mine.n_rows
            self._recorder.count(executions=mine.n_rows, jobs=len(mine.jobs))
            with self._recorder.span(Phase.WAIT, call.position):
                await claims.wait(share)
            call = replace(call, is_replayed=True)
            plan = await self._look_up(call)
            await claims.release(share.taken)

    async def _give_up(self, call: Call, claims: Claims, share: Share) -> None:
        """Release what was claimed, however the call ended, unless one of its jobs may still bring the rows."""
        await self._journal.settle()
        jobs = self._store.jobs_at(call.run_id, call.position)
        if not any(job.state in OPEN_STATES for job in jobs):
            await asyncio.shield(claims.release(share.claims))

    async def _carry_out(
        self, call: Call, plan: _Plan, *, bought: int = 0, is_first_time: bool = False
    ) -> list[PubResult]:
        """Run a plan's jobs and build the results. ``bought``: executions of this call in an earlier round."""
        charge = None if self._backend.capabilities.charges else NOTHING
        assembly = Assembly(plan.lowered, plan.found, charge=charge)
        if plan.found.hits:
            own = Source.EXECUTED if is_first_time else Source.RESUMED
            await self._journal.compute(call.batch.n_rows, self._place_hits, assembly, plan.found, own)
        await self._run_jobs(call, plan, assembly)
        with self._recorder.span(Phase.DECODE, call.position):
            results = await self._journal.compute(call.batch.n_rows, assembly.finish)
        cached = max(0, sum(group.n_rows for group in plan.lowered.groups) - plan.n_rows - bought)
        self._recorder.count(executions=plan.n_rows, executions_from_cache=cached, jobs=len(plan.jobs))
        timeline = self._recorder.spans_at(call.position)
        return [result.with_timeline(timeline) for result in results]

    def _plan(self, call: Call) -> _Plan:
        lowered = lower(call.batch, default_shots=call.default_shots)
        self._check(lowered)
        contexts = tuple(self._backend.context(group.gates) for group in lowered.groups)
        found = self._lookup.find(
            lowered,
            contexts=list(contexts),
            stream=stream_of(call.seed, call.position),
            replayed=(call.run_id, call.position) if call.is_replayed else None,
        )
        return _Plan(lowered, contexts, found, self._pack(lowered, found.missing))

    def _pack(self, lowered: LoweredBatch, missing: Sequence[Missing]) -> tuple[PlannedJob, ...]:
        return pack(lowered.groups, missing, capabilities=self._backend.capabilities, rows_per_job=self._rows_per_job)

    def _check(self, lowered: LoweredBatch) -> None:
        for group in lowered.groups:
            self._backend.check(group.gates, group.measurement)
            check_shots(self._backend, group.shots)
        check_room(lowered.groups)

    def _rows_per_job(self, group: RowGroup, shots: int | None) -> int:
        return self._backend.rows_per_job(group.gates, group.measurement, shots=shots)

    def _place_hits(self, assembly: Assembly, found: Found, own: Source) -> None:
        """``own``: the Source that is reported for rows which this call itself had stored earlier."""
        for hit in found.hits:
            source = own if hit.source is Source.RESUMED else hit.source
            assembly.add(hit.group, hit.rows, hit.result.take(hit.places), source=source)

    async def _run_jobs(self, call: Call, plan: _Plan, assembly: Assembly) -> None:
        """Run all jobs of a call; the first failure cancels the others and is raised."""
        self._spending.say_once(plan.jobs)
        later = itertools.count(plan.found.first_job + len(plan.jobs))
        if len(plan.jobs) == 1:
            await self._run_job(call, plan, 0, assembly, lambda: next(later))
            return
        tasks = [
            asyncio.create_task(self._run_job(call, plan, ordinal, assembly, lambda: next(later)))
            for ordinal in range(len(plan.jobs))
        ]
        try:
            await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    async def _run_job(
        self, call: Call, plan: _Plan, ordinal: int, assembly: Assembly, next_ordinal: Callable[[], int]
    ) -> None:
        submission = Submission(
            call.run_id,
            call.position,
            plan.found.first_job + ordinal,
            plan.jobs[ordinal],
            plan.lowered.groups,
            plan.contexts,
        )

        def assemble(job: PlannedJob, result: JobResult) -> None:
            for index, (selection, block) in enumerate(zip(job.selections, result.blocks, strict=True)):
                kept = kept_rows(result, index, selection.block.n_rows)
                if len(kept):
                    assembly.add(selection.group, selection.rows[kept], block, source=selection.source)

        await self._queue.run(lambda: self._submitter.carry_out(submission, assemble, next_ordinal=next_ordinal))


def _make_trimmer(store: Room, clock: Clock, policy: RunPolicy, *, charges: bool) -> Trimmer | None:
    """The trimmer of a run that stores free results; None if it stores none, or all are kept."""
    if charges or policy.keep_free_bytes is None:
        return None
    return Trimmer(store, clock=clock, keep_bytes=policy.keep_free_bytes)


def _has_exact(call: Call) -> bool:
    return any((call.default_shots if pub.shots == "run" else pub.shots) is None for pub in call.batch.pubs)


def _is_cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
