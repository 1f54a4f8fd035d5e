"""Futures of a training: its recorded calls, carried out again by a real engine on mocks that draw by other seeds."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np

from qorch.dry_run.light_store import LightStore
from qorch.dry_run.needed_money import Need, add_up_needs, rising
from qorch.dry_run.recording import RecordedCall, RecordedMoment, RecordedRun
from qorch.engine.engine import Engine
from qorch.engine.recorder import Recorder
from qorch.engine.remote.usage_watch import PendingUsage, ask_usage, find_pending
from qorch.engine.remote.window import RateWindow
from qorch.errors import QorchError
from qorch.model.job import JobState
from qorch.model.ledger import LedgerRecord, balance_job
from qorch.model.prices.card import PriceCard
from qorch.model.timing import Phase, attribute
from qorch.model.usage import ReportedUsage
from qorch.planning.pricing import price_reported
from qorch.ports.backend import Mocks, RemoteBackend
from qorch.ports.clock import Clock
from qorch.ports.policy import CachePolicy, RunPolicy
from qorch.ports.records import RunRecord
from qorch.ports.store import Store
from qorch.virtual_time import LoneLoop, VirtualClock, run_virtually

_SETTLED_SECONDS = 1e7
"""After this long, any provider has told what jobs were charged for."""
_QUESTIONS = 100
"""How often it is asked, if it gives no answer."""
_SAMPLING = (CachePolicy.REUSE.value, CachePolicy.TOP_UP.value)


class MockedBackend(RemoteBackend, Mocks, Protocol):
    """A mock."""


@dataclass(frozen=True, eq=False)
class PricedMock:
    """What the futures of a training have in common: a mock of its backend, and that backend's prices.

    ``mock``: it is never opened, only asked for its ``profile`` and for ``future``.
    """

    mock: MockedBackend
    card: PriceCard


@dataclass(frozen=True)
class Failure:
    """The error that ended a future: its class, its sentence, and the step of the call that raised it (-1: none)."""

    error: str
    message: str
    step: int


@dataclass(frozen=True, eq=False)
class Future:
    """One way that a training could go. All runs of a recording follow upon each other, and are added up.

    ``seed``: of what was drawn. ``spent_micros``: in the card's currency, None if no price is known. ``jobs``: all
    that were sent; ``executions`` and ``shots`` of those that were done; ``retries``: attempts at submitting a job
    beyond its first. ``phases``: the wall time by phase, as reports attribute it; they sum to ``wall_seconds``.
    ``needs``: what a budget must have, call by call, each more than any before. ``failure``: None if all went well.
    """

    seed: int
    wall_seconds: float
    spent_micros: int | None
    jobs: int
    executions: int
    shots: int
    retries: int
    phases: dict[str, float]
    needs: tuple[Need, ...]
    failure: Failure | None = None


def draw_futures(
    runs: Sequence[RecordedRun],
    priced: PricedMock,
    *,
    seeds: Sequence[int],
    show: Callable[[int], None] | None = None,
) -> tuple[Future, ...]:
    """One future for each seed: equal for equal arguments, and with the seed of a recording's mock, that recording.

    ``show``: is told after each how many there are. Log lines of qorch below an error are suppressed meanwhile, in the
    whole process.
    """
    futures: list[Future] = []
    with _quiet():
        for seed in seeds:
            futures.append(_draw(runs, priced, seed=seed))
            if show is not None:
                show(len(futures))
    return tuple(futures)


@contextmanager
def _quiet() -> Iterator[None]:
    """Nobody wants to read of each retry that may happen."""
    log = logging.getLogger("qorch")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


def _draw(runs: Sequence[RecordedRun], priced: PricedMock, *, seed: int) -> Future:
    loop = LoneLoop()
    try:
        clock = VirtualClock(loop)
        backend = priced.mock.future(clock=clock, seed=seed)
        parts = []
        for number, run in enumerate(runs):
            replay = _Replay(run, priced, backend, clock=clock, random=np.random.default_rng([seed, number]))
            parts.append(run_virtually(loop, replay.carry_out()))
            if parts[-1].failure is not None:
                break
    finally:
        loop.close()
    return _add_up(parts, seed=seed)


class _Replay:
    """Carries out one run's calls, each as long after the one before as it was recorded."""

    def __init__(
        self, run: RecordedRun, priced: PricedMock, backend: RemoteBackend, *, clock: Clock, random: np.random.Generator
    ) -> None:
        """``random``: of the jitter of retries."""
        self._run = run
        self._priced = priced
        self._backend = backend
        self._clock = clock
        self._recorder = Recorder(clock)
        self._store = LightStore(clock, keeps_samples=run.cache in _SAMPLING)
        self._run_id = run.calls[0].call.run_id if run.calls else run.run
        self._engine = Engine(
            backend,
            cast("Store", self._store),
            clock=clock,
            policy=RunPolicy(cache=CachePolicy(run.cache)),
            recorder=self._recorder,
            run_id=self._run_id,
            random=random,
            card=priced.card,
        )

    async def carry_out(self) -> Future:
        """The run as a future of its own; its seed is not known here."""
        run, failure = self._run, None
        record = RunRecord(self._run_id, run.run, self._backend.name, run.seed, run.cache, self._clock.now())
        self._store.write([record])
        ended: list[asyncio.Future[None]] = [asyncio.get_running_loop().create_future() for _ in self._run.calls]
        try:
            await self._engine.open()
            failure = await self._follow(ended)
            if failure is None:
                await self._compute(self._run.compute_seconds, Phase.MODEL, self._run.calls[-1:])
        except QorchError as error:
            failure = Failure(type(error).__name__, str(error), -1)
        finally:
            await self._engine.close()
        return await self._conclude(failure)

    async def _follow(self, ended: "list[asyncio.Future[None]]") -> Failure | None:
        """Carry out all calls; the first that fails ends the others."""
        tasks = [asyncio.create_task(self._call(index, ended)) for index in range(len(self._run.calls))]
        try:
            for index, task in enumerate(tasks):
                try:
                    await task
                except QorchError as error:
                    return Failure(type(error).__name__, str(error), self._run.calls[index].call.position.step)
            return None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _call(self, index: int, ended: "list[asyncio.Future[None]]") -> None:
        recorded = self._run.calls[index]
        if recorded.after >= 0:
            await ended[recorded.after]
        await self._compute(recorded.compute_seconds, Phase.PREPARE if recorded.after < 0 else Phase.MODEL, (recorded,))
        await self._compute(recorded.own_seconds, Phase.PLAN, (recorded,))
        await self._execute(recorded, ended)
        ended[index].set_result(None)

    async def _execute(self, recorded: RecordedCall, ended: "list[asyncio.Future[None]]") -> None:
        """To its end, to the error that it has in every course, or until the program takes it back."""
        with suppress(QorchError) if recorded.is_refused else nullcontext():
            if recorded.taken_back is None:
                await self._engine.execute(recorded.call)
                return
            work = asyncio.create_task(self._engine.execute(recorded.call))
            moment = asyncio.create_task(self._wait_until(recorded.taken_back, ended))
            try:
                await asyncio.wait([work, moment], return_when=asyncio.FIRST_COMPLETED)
            finally:
                moment.cancel()
                work.cancel()
                await asyncio.wait([work, moment])
            if not work.cancelled():
                work.result()

    async def _wait_until(self, moment: RecordedMoment, ended: "list[asyncio.Future[None]]") -> None:
        if moment.after >= 0:
            await asyncio.wait([ended[moment.after]])  # which others await, too
        await self._clock.sleep(moment.seconds)

    async def _compute(self, seconds: float, phase: Phase, before: Sequence[RecordedCall]) -> None:
        """Let the training loop compute, or qorch itself."""
        if seconds > 0 and before:
            with self._recorder.span(phase, before[0].call.position):
                await self._clock.sleep(seconds)

    async def _conclude(self, failure: Failure | None) -> Future:
        wall_ns = self._recorder.elapsed_ns()
        jobs = self._store.jobs()
        done = [job for job in jobs if job.state is JobState.DONE]
        charged = await self._charge() if self._priced.card.is_known else None
        return Future(
            seed=0,
            wall_seconds=wall_ns / 1e9,
            spent_micros=None if charged is None else sum(charged.values()),
            jobs=sum(not job.is_unsent for job in jobs),
            executions=sum(job.n_executions for job in done),
            shots=sum(map(self._store.shots_of, done)),
            retries=sum(max(0, job.attempts - 1) for job in jobs),
            phases=attribute(self._recorder.drain(), started_ns=0, ended_ns=wall_ns),
            needs=() if charged is None else add_up_needs(self._store.ledger, jobs, charged),
            failure=failure,
        )

    async def _charge(self) -> dict[str, int]:
        """What each job costs in the end, in micro-units, once its provider has told it; what is in doubt, at most."""
        pending = find_pending(cast("Store", self._store), self._store.jobs_without_usage())
        told = {}
        if pending and self._priced.card.prices is not None and self._priced.card.prices.has_time:
            await self._clock.sleep(_SETTLED_SECONDS)
            told = await self._ask(pending)
        return {job_id: told.get(job_id, _cost_of(entries)) for job_id, entries in self._store.entries_of_jobs.items()}

    async def _ask(self, pending: Sequence[PendingUsage]) -> dict[str, int]:
        """The price of what the provider reports of these jobs, where it reports any."""
        found: dict[str, ReportedUsage] = {}
        for _ in range(_QUESTIONS):
            with suppress(QorchError):
                found = await ask_usage(self._backend, pending, polls=RateWindow(None, clock=self._clock))
                break
        prices = {job_id: price_reported(usage, self._priced.card) for job_id, usage in found.items()}
        return {job_id: micros for job_id, micros in prices.items() if micros is not None}


def _cost_of(entries: Sequence[LedgerRecord]) -> int:
    balance = balance_job(entries)
    return balance.spent_micros + balance.reserved_micros


def _add_up(parts: Sequence[Future], *, seed: int) -> Future:
    """One future of several runs; a budget is that of each run alone."""
    spent = [part.spent_micros for part in parts]
    return Future(
        seed=seed,
        wall_seconds=sum(part.wall_seconds for part in parts),
        spent_micros=None if None in spent else sum(micros or 0 for micros in spent),
        jobs=sum(part.jobs for part in parts),
        executions=sum(part.executions for part in parts),
        shots=sum(part.shots for part in parts),
        retries=sum(part.retries for part in parts),
        phases={phase: sum(part.phases[phase] for part in parts) for phase in parts[0].phases} if parts else {},
        needs=rising(need for part in parts for need in part.needs),
        failure=parts[-1].failure if parts else None,
    )
