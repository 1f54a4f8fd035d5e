"""The store that loses what was not synced: what a crash leaves is what some prefix of the calls would have made."""

import heapq
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qorch.errors import RunBusyError, StoreError
from qorch.model.identity import Position
from qorch.model.job import JobState
from qorch.model.ledger import EntryKind, LedgerBalance
from qorch.ports.books import Granted
from qorch.ports.clock import WallClock
from qorch.ports.records import ReleasedRows
from qorch.testing.conformance.store_books import make_entry
from qorch.testing.conformance.store_records import HERE, make_block, make_job, make_plan, make_run
from qorch.testing.conformance.store_sharing import grow, make_claims, read, refuse
from qorch.testing.fakes.fragile_store import FragileStore, SyncAtOnce
from qorch.testing.fakes.store import MemoryStore

Step = Callable[[MemoryStore], Future[Any]]


class Disk:
    """A virtual clock's scheduler, whose delays are drawn."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._started = 0
        self.now = 0.0

    def delay(self) -> float:
        """Up to ten seconds."""
        return float(self._random.uniform(0, 10))

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        """When the time is advanced so far."""
        self._started += 1
        heapq.heappush(self._timers, (self.now + seconds, self._started, function))

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        while self._timers and self._timers[0][0] <= self.now:
            heapq.heappop(self._timers)[2]()


def _open(seed: int) -> tuple[FragileStore, Disk]:
    disk = Disk(np.random.default_rng(seed))
    return FragileStore(WallClock(), disk), disk


def _steps(random: np.random.Generator) -> list[Step]:
    """Some thirty calls of all kinds; the first makes the runs and their jobs."""
    states = list(JobState)
    steps: list[Step] = [
        lambda store: store.write([make_run("r"), make_run("s"), *(make_job(f"r/0.0.{i}") for i in range(4))])
    ]

    def move(job: str, state: JobState) -> Step:
        return lambda store: store.write([replace(make_job(job), state=state), make_block(2)])

    def claim(run_id: str, number: int) -> Step:
        return lambda store: store.claim_rows(run_id, make_claims(number, number + 1))

    def plan(job: str) -> Step:
        return lambda store: store.write([make_plan(job_id=job)])

    def release(run_id: str) -> Step:
        return lambda store: store.write([ReleasedRows(run_id)])

    for _ in range(30):
        job, run_id, number = f"r/0.0.{random.integers(4)}", "rs"[random.integers(2)], int(random.integers(6))
        choices = [
            move(job, states[random.integers(len(states))]),
            plan(job),
            claim(run_id, number),
            release(run_id),
            lambda store: store.update_shared_state("a", grow),
            lambda store: store.reserve(_reserve_more),
            lambda store: store.write([make_job("nobody/0.0.0")]),
        ]
        steps.append(choices[random.integers(len(choices))])
    return steps


def _reserve_more(balances: Sequence[LedgerBalance]) -> Granted[None]:
    """One more than is reserved already, so that the entry tells what it has seen."""
    micros = 1 + sum(balance.reserved_micros for balance in balances)
    return Granted(None, [make_entry(EntryKind.RESERVED, micros)])


def _content(store: MemoryStore) -> object:
    """All that can be read of a store, whose calls are done at once: it changes the store."""
    jobs = store.jobs()
    return (
        store.runs(),
        jobs,
        [job.job_id for job in jobs if store.job_plan(job.job_id)],
        len(store.blocks_at("r", HERE)),
        store.update_shared_state("a", read).result(),
        [(entry.number, entry.record) for entry in store.ledger_entries()],
        store.ledger_anchor().count,
        store.ledger_balances(),
        store.claim_rows("r", make_claims(*range(8))).result() if jobs else None,
    )


def _replayed(steps: Sequence[Step]) -> MemoryStore:
    store = MemoryStore(WallClock())
    for step in steps:
        step(store)
    return store


@pytest.mark.parametrize("seed", range(40))
def test_a_crash_leaves_a_prefix_with_all_that_was_synced(seed: int) -> None:
    """Whole calls, in their order, at least those whose futures were done; and so again after the next crash."""
    random = np.random.default_rng(seed)
    steps = _steps(random)
    store, disk = _open(seed)
    kept: list[Step] = []
    for _ in range(3):
        made = steps[: random.integers(1, len(steps))]
        futures = []
        for step in made:
            futures.append(step(store))
            disk.advance(float(random.exponential(1.0)))
        done = [future.done() for future in futures]
        assert done == sorted(done, reverse=True)
        assert store.unsynced == len(done) - sum(done)
        left = store.crash(random)
        found, store = _content(left.crash(random, sync=SyncAtOnce())), left.crash(random)
        possible = [[*kept, *made[:survived]] for survived in range(sum(done), len(made) + 1)]
        kept = next(calls for calls in possible if _content(_replayed(calls)) == found)


def test_a_future_waits_for_its_sync() -> None:
    """Reads may see a write before it is durable; the future is done after it, and those before it are, too."""
    store, disk = _open(1)
    first, second = store.write([make_run("r")]), store.write([make_job("r/0.0.0")])
    assert not first.done()
    disk.advance(0.0)
    assert store.unsynced == 2
    disk.advance(10.0)
    assert first.done()
    assert second.done()
    assert store.unsynced == 0


def test_a_dead_store_stays_dead() -> None:
    """Its futures never end, it takes no call, and its claims of runs are free for the next process."""
    store, disk = _open(2)
    store.write([make_run("r")])
    disk.advance(10.0)
    claim = store.claim_run("r")
    claim.__enter__()
    lost = store.write([make_job("r/0.0.0")])
    found = store.crash(np.random.default_rng(0))
    disk.advance(100.0)
    assert not lost.done()
    for use in (lambda: store.write([]), lambda: store.update_shared_state("a", grow), store.runs):
        with pytest.raises(StoreError):
            use()
    assert found.store_id == store.store_id
    assert [run.run_id for run in found.runs()] == ["r"]
    with found.claim_run("r"), pytest.raises(RunBusyError), found.claim_run("r"):
        pass


def test_failures_and_refusals_come_with_the_sync() -> None:
    """A call that failed changes nothing, neither before nor after a crash, and a cancelled waiter too late."""
    store, disk = _open(3)
    store.write([make_run("r")])
    bad, refused = store.write([make_job("nobody/0.0.0")]), store.update_shared_state("a", refuse)
    good = store.write([make_job("r/0.0.0")])
    assert not good.cancel()
    assert not bad.done()
    disk.advance(10.0)
    assert isinstance(bad.exception(), StoreError)
    assert refused.exception() is not None
    again = store.crash(np.random.default_rng(0))
    assert [job.job_id for job in again.jobs()] == ["r/0.0.0"]


def test_pruning_and_closing_are_durable_at_once() -> None:
    """As in a store on disk, they wait for all that was written."""
    store, disk = _open(4)
    written = store.write([make_run("r"), make_job("r/0.0.0"), make_block(3)])
    assert store.prune() == 3
    assert written.done()
    store.write([replace(make_block(2), position=Position(1, 0), created_at=None)])
    again = store.crash(np.random.default_rng(5))
    assert again.blocks_at("r", HERE) == []
    last = again.write([make_job("r/0.0.1")])
    again.close()
    assert last.done()
    disk.advance(100.0)


def test_the_same_seed_gives_the_same_store() -> None:
    """Blocks without a time keep the one that they were given, also over a crash."""
    first, disk = _open(6)
    first.write([make_run("r"), make_job("r/0.0.0"), replace(make_block(2), created_at=None)])
    dated = [block.created_at for block in first.blocks_at("r", HERE)]
    disk.advance(10.0)
    again = first.crash(np.random.default_rng(0))
    assert [block.created_at for block in again.blocks_at("r", HERE)] == dated
    assert _open(7)[0].store_id == again.store_id
