"""A simulated world: runs on the real engine, a provider with faults, crashes, and a disk that forgets.

One seed is one world. ``python -m simulation.world 1234`` runs one of them and says what happened.
"""

import asyncio
import logging
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np

from qorch.engine.engine import Engine
from qorch.errors import QorchError, UnknownOutcomeError
from qorch.model.budget import Budget
from qorch.model.job import AttemptOutcome, Payload
from qorch.model.prices.card import PriceCard
from qorch.model.result import PubResult
from qorch.planning.budgets import Buyer, applied_budgets
from qorch.ports.backend import account_of
from qorch.ports.policy import PollPolicy, RetryPolicy, RunPolicy
from qorch.ports.records import AttemptRecord, RunRecord, Write
from qorch.ports.store import Store
from qorch.testing.fakes.fragile_store import FragileStore
from qorch.testing.fakes.provider import FakeProvider
from qorch.testing.fakes.remote import FakeRemote
from qorch.testing.virtual_time import (
    ProcessLoop,
    Timeline,
    VirtualClock,
    run_together,
)
from simulation.conditions import DAY, HOUR, Conditions, Dice, draw_conditions, set_up, set_up_remote, spread
from simulation.workload import RUN_SEED, Program, execute

DONE = "done"
KILLED = "killed"
MOST_STEPS = 600_000
MOST_DAYS = 120.0
HOST_SECONDS = 3 * HOUR
"""How far apart the monotonic clocks of processes are that are started one after the other."""
RESTARTS = 5
"""How often the owner of a run starts it again after an error before giving up."""
RARE_POLLS = PollPolicy(share=0.5, shortest_seconds=0.1, longest_seconds=1800.0)


@dataclass
class RunStory:
    """One run over all its lives: how each ended, and what its last one got."""

    run_id: str
    program: Program
    deaths: int
    endings: list[str] = field(default_factory=list)
    results: list[tuple[PubResult, ...]] = field(default_factory=list)
    restarts: int = 0
    is_over: bool = False


@dataclass(frozen=True)
class Stop:
    """A life that ended as a job is held: when it began, what it said, and since when the job was in doubt.

    ``age_seconds``: of the job's first attempt that was not refused, by the wall clock.
    """

    started_at: float
    job_id: str
    error: str
    age_seconds: float


@dataclass
class _Life:
    """One process of a run; everything in it ends with it."""

    run: RunStory
    loop: ProcessLoop
    claim: AbstractContextManager[None]
    started_at: float
    last_step: int | None = None
    task: "asyncio.Task[None] | None" = None
    engine: Engine | None = None


@dataclass(eq=False)
class WatchedRemote(FakeRemote):
    """Sees, when a submission leaves, whether its intent is durable."""

    is_durable: Callable[[str], bool] = lambda _: True
    complain: Callable[[str], None] = lambda _: None

    async def submit(self, payload: Payload) -> str:
        if not self.is_durable(payload.key):
            self.complain(f"job {payload.request.job_id} left before its intent was on disk")
        return await super().submit(payload)


class _WatchedStore:
    """A store that tells which intents have become durable."""

    def __init__(self, store: FragileStore, durable: set[str]) -> None:
        self._store = store
        self._durable = durable

    def write(self, writes: Sequence[Write]) -> "Future[None]":
        future = self._store.write(writes)
        keys = {record.key for record in writes if isinstance(record, AttemptRecord) and record.outcome == "intent"}
        if keys:
            future.add_done_callback(lambda done: self._durable.update(keys) if done.exception() is None else None)
        return future

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class _Disk:
    """Syncs after a while that is drawn, on the loop that no crash ends."""

    def __init__(self, loop: ProcessLoop, random: np.random.Generator, longest_seconds: float) -> None:
        self._loop = loop
        self._random = random
        self._longest_seconds = longest_seconds

    def delay(self) -> float:
        return spread(self._random, 1e-4, self._longest_seconds)

    def call_later(self, seconds: float, function: Callable[[], None]) -> object:
        return self._loop.call_later(seconds, function)


class _Remains:
    """What is left of a process: its tasks are kept as they were, lest the garbage collector cleans up after them."""

    def __init__(self, loop: ProcessLoop) -> None:
        loop.set_exception_handler(lambda _loop, _context: None)
        loop.is_dead = True
        self._loop = loop
        self._kept = asyncio.all_tasks(loop)

    def bury(self) -> None:
        """Let all of it go without a word; whatever it still tries, the world is over."""
        asyncio._set_running_loop(self._loop)
        try:
            for _ in range(2):
                for task in asyncio.all_tasks(self._loop):
                    cast("Any", task)._log_destroy_pending = False
                    with suppress(Exception):
                        cast("Any", task.get_coro()).close()
        finally:
            asyncio._set_running_loop(None)
        self._loop.close()


class World:
    """One simulated world; ``run`` it once, then ask ``simulation.checks`` what was wrong with it.

    ``machine`` is the loop of what outlives every process: the disk, the times of crashes and restarts.
    """

    def __init__(
        self,
        seed: int,
        *,
        conditions: Conditions | None = None,
        change: dict[str, object] | None = None,
        card: PriceCard | None = None,
        budget: Budget | None = None,
    ) -> None:
        """``conditions``: drawn where they are not given; ``change``: fields of them to be set.

        ``card``: the provider's prices, which are unknown without one; ``budget``: of all runs together.
        """
        self.card = card
        self.budget = budget
        self.seed = seed
        self.random = np.random.default_rng(seed)
        drawn = conditions or draw_conditions(self.random)
        self.conditions = replace(drawn, **cast("Any", change or {}))
        self.dice = Dice(self.conditions, self.random)
        self.timeline = Timeline()
        self.machine = ProcessLoop(self.timeline)
        self.provider = FakeProvider(VirtualClock(self.machine))
        set_up(self.provider, self.dice)
        self.disk = _Disk(self.machine, self.random, self.conditions.sync_seconds)
        self.store = FragileStore(VirtualClock(self.machine), self.disk, store_id=f"{seed:032x}")
        self.skew_seconds = 0.0
        self.durable: set[str] = set()
        self.violations: list[str] = []
        self.notes: Counter[str] = Counter()
        self.steps = 0
        self.lost_spans: list[tuple[float, float]] = []
        self.stops: list[Stop] = []
        self.starts: list[float] = []
        self._backup: tuple[float, FragileStore] | None = None
        self._clocks: list[VirtualClock] = []
        self._lives: list[_Life] = []
        self._dead: list[_Remains] = []
        # Two that wait for each other over days would take all the time there is.
        has_company = self.random.random() < 0.3 and self.conditions.most_seconds < HOUR
        self.runs = [self._draw_run(name) for name in ("a", "b")[: 1 + int(has_company)]]

    def _draw_run(self, run_id: str) -> RunStory:
        shapes = [((6,),), ((3, 4),), ((2,), (5,)), ((9,), (4,)), ((1,), (2, 2), (3,)), ((12,),)]
        deaths = int(self.random.choice([0, 1, 2, 3], p=[0.15, 0.4, 0.3, 0.15]))
        return RunStory(run_id, Program(shapes[self.random.integers(len(shapes))]), deaths)

    def run(self) -> "World":
        """Let everything happen; afterwards all that lived is buried."""
        if self.conditions.backup_at is not None and len(self.runs) == 1:
            self.machine.call_at(self.conditions.backup_at, self._back_up)
        for moment, skew_seconds in self.conditions.jumps:
            self.machine.call_at(moment, self._jump, skew_seconds)
        for run in self.runs:
            record = RunRecord(
                run.run_id, run.run_id, "fake:remote", RUN_SEED, "resume", VirtualClock(self.machine).now()
            )
            self.store.write([record])
            self.machine.call_at(spread(self.random, 1.0, 10.0), self._start, run)
        try:
            run_together(self.timeline, self._loops, random=self.random, is_over=self._is_over)
        except RuntimeError as error:
            self.violations.append(f"hang: {error}")
        finally:
            for remains in [*self._dead, *(_Remains(loop) for loop in self._loops())]:
                remains.bury()
        return self

    def _loops(self) -> list[ProcessLoop]:
        return [self.machine, *(life.loop for life in self._lives)]

    def _is_over(self) -> bool:
        self.steps += 1
        for life in tuple(self._lives):
            if life.task is not None and life.task.done():
                self._end(life)
            elif life.last_step is not None and life.loop.steps >= life.last_step:
                self._kill(life)
        if self.steps > MOST_STEPS or self.timeline.seconds > MOST_DAYS * DAY:
            self.violations.append(f"no end after {self.steps} callbacks and {self.timeline.seconds:.0f} s")
            return True
        return all(run.is_over for run in self.runs)

    def _start(self, run: RunStory) -> None:
        loop = ProcessLoop(self.timeline)
        loop.set_exception_handler(lambda _, context: self.violations.append(f"uncaught: {context}"))
        # As on hosts that were started hours apart: what processes share may be dated by the store's clock alone.
        clock = VirtualClock(loop, monotonic_seconds=HOST_SECONDS * len(self._clocks))
        clock.skew_seconds = self.skew_seconds
        self._clocks.append(clock)
        run.results = []
        claim = self.store.claim_run(run.run_id)
        claim.__enter__()
        life = _Life(run, loop, claim, self.timeline.seconds)
        self.starts.append(self.timeline.seconds)
        remote = self.make_remote(clock)
        set_up_remote(remote, self.dice)
        work = execute(
            run.program,
            run.run_id,
            remote,
            cast("Store", _WatchedStore(self.store, self.durable)),
            clock=clock,
            results=run.results.append,
            policy=RunPolicy(
                poll=RARE_POLLS,
                retry=RetryPolicy(patience_seconds=self.conditions.patience_seconds, note_seconds=1e9),
            ),
            seed=int(self.random.integers(2**32)),
            is_replayed=bool(run.endings),
            card=self.card,
            budgets=applied_budgets(
                None,
                () if self.budget is None else (self.budget,),
                Buyer(run.run_id, run.run_id, remote.name, account_of(remote)),
            ),
            opened=lambda engine: setattr(life, "engine", engine),
        )
        life.task = loop.create_task(work)
        self._lives.append(life)
        if len(run.endings) < run.deaths:
            self._doom(life)

    def make_remote(self, clock: VirtualClock) -> FakeRemote:
        """A process's way to the provider."""
        durable = self.durable.__contains__
        return WatchedRemote(self.provider, clock, is_durable=durable, complain=self.violations.append)

    def _doom(self, life: _Life) -> None:
        """Draw how a life ends before its time: at an await, at a moment, or by a polite request."""
        way = self.random.random()
        if way < 0.45:
            life.last_step = int(spread(self.random, 1, 3000))
            return
        moment = self.timeline.seconds + spread(self.random, 1e-3, 2 * self.conditions.most_seconds)
        self.machine.call_at(moment, self._kill if way < 0.8 else self._stop, life)

    def _kill(self, life: _Life) -> None:
        """The process, or the machine with all processes and what was not synced, is gone at once."""
        if life not in self._lives:
            return
        takes_all = len(self.runs) == 1 or self.random.random() < 0.5
        self.notes["machine crashes" if takes_all else "process crashes"] += 1
        victims = tuple(self._lives) if takes_all else (life,)
        for victim in victims:
            self._lives.remove(victim)
            self._dead.append(_Remains(victim.loop))
            victim.run.endings.append(KILLED)
        pause = spread(self.random, *self.conditions.pause_seconds) if self.random.random() < 0.7 else 0.0
        if takes_all:
            self.store = self.store.crash(self.random)
            pause += self._restore()
        else:
            life.claim.__exit__(None, None, None)
        for victim in victims:
            self.machine.call_later(pause, self._start, victim.run)

    def _back_up(self) -> None:
        self._backup = (self.timeline.seconds, self.store.backup())

    def _restore(self) -> float:
        """Replace the store by the backup, if there is one; the seconds that this takes."""
        if self._backup is None:
            return 0.0
        (made_at, self.store), self._backup = self._backup, None
        self.notes["restored from a backup"] += 1
        self.lost_spans.append((made_at, self.timeline.seconds))
        # Within that time the last jobs before the restore may be in no list yet.
        return HOUR + self.conditions.accept_seconds

    def _stop(self, life: _Life) -> None:
        """Ctrl-C, in one of its two forms."""
        if life not in self._lives or life.task is None or life.engine is None:
            return
        self.notes["interruptions"] += 1
        if self.random.random() < 0.5:
            life.loop.call_soon(life.task.cancel)
        else:
            life.loop.create_task(life.engine.stop())

    def _end(self, life: _Life) -> None:
        """A process ended by itself: with its work done, or with an error after which its owner may try again."""
        run, task = life.run, cast("asyncio.Task[None]", life.task)
        self._lives.remove(life)
        life.claim.__exit__(None, None, None)
        error = None if task.cancelled() else task.exception()
        self._check_left(life, task)
        if error is not None and not isinstance(error, QorchError):
            self.violations.append(f"uncaught in run {run.run_id}: {error!r}")
        if isinstance(error, UnknownOutcomeError):
            self._note_stop(life, str(error))
        ending = "CancelledError" if task.cancelled() else DONE if error is None else type(error).__name__
        run.endings.append(ending)
        was_doomed = len(run.endings) <= run.deaths
        run.restarts += not was_doomed
        if ending == DONE or run.restarts > RESTARTS:
            run.is_over = True
            return
        self.machine.call_later(spread(self.random, 1.0, DAY), self._start, run)

    def _note_stop(self, life: _Life, error: str) -> None:
        job_id = error.split()[1]
        sure = (AttemptOutcome.REFUSED, AttemptOutcome.WITHDRAWN)
        times = [attempt.started_at for attempt in self.store.attempts(job_id) if attempt.outcome not in sure]
        if times:
            age = (VirtualClock(self.machine).now() - times[0]).total_seconds()
            self.stops.append(Stop(life.started_at, job_id, error, age))

    def _check_left(self, life: _Life, task: "asyncio.Task[None]") -> None:
        for _ in range(1000):
            if life.loop.next_moment() != self.timeline.seconds:
                break
            life.loop.run_next()
        left = [other for other in asyncio.all_tasks(life.loop) if other is not task]
        if left:
            self.violations.append(f"{len(left)} tasks left by run {life.run.run_id}: {left[0]!r}")
        self._dead.append(_Remains(life.loop))

    def _jump(self, skew_seconds: float) -> None:
        self.notes["clock jumps"] += 1
        self.skew_seconds = skew_seconds
        for clock in self._clocks:
            clock.skew_seconds = skew_seconds


def main(arguments: Sequence[str]) -> int:
    """Run the worlds with these seeds, and say what happened; 1 where something was wrong."""
    from simulation.checks import judge

    logging.basicConfig(level=logging.WARNING)
    n_wrong = 0
    for seed in map(int, arguments):
        world = World(seed).run()
        wrong = judge(world)
        n_wrong += bool(wrong)
        endings = {run.run_id: run.endings for run in world.runs}
        lines = [
            f"seed {seed}: {world.timeline.seconds:.1f} s, {world.steps} callbacks, {endings}",
            str(world.conditions),
        ]
        sys.stdout.write("\n".join([*lines, *(f"  WRONG: {line}" for line in wrong)]) + "\n")
    return min(1, n_wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
