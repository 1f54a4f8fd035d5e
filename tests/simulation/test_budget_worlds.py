"""Runs that share budgets on a provider where jobs fail, are lost, refused and cancelled: no limit is ever exceeded."""

import asyncio
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from simulation.harness import CENT_A_SHOT, Sandbox

from qorch.engine.engine import Engine
from qorch.errors import BudgetError, JobFailedError, QorchError
from qorch.model.budget import Budget, BudgetPeriod
from qorch.model.ledger import EntryKind
from qorch.model.money import Money
from qorch.planning.budgets import Buyer, applied_budgets
from qorch.testing.fakes.provider import Fault
from qorch.testing.fakes.remote import HOLD, PAID
from qorch.testing.fakes.store import MemoryStore
from qorch.testing.virtual_time import VirtualClock, VirtualLoop

ROW_MICROS = 20 * 10_000
"""Of 20 shots."""
RUNS = ("a-1", "a-2", "b-1")


class StrictStore(MemoryStore):
    """Looks after every write whether what is reserved and spent keeps within the limits."""

    limits: tuple[Budget, ...] = ()

    def write(self, writes: Any) -> "Future[None]":
        """See Store."""
        return self._look(super().write(writes))

    def reserve(self, check: Any, *, since: Any) -> "Future[Any]":
        """See Store."""
        return self._look(super().reserve(check, since=since))

    def _look(self, future: "Future[Any]") -> "Future[Any]":
        balances = self.ledger_balances()
        for limit in self.limits:
            used = sum(
                each.reserved_micros + each.spent_micros
                for each in balances
                if limit.covers(run_id=each.run_id, run_name=each.run_name, backend=each.backend, account=each.account)
            )
            assert used <= limit.limit.micros, (limit, balances)
        assert all(each.reserved_micros >= 0 for each in balances)
        return future


class World:
    """One provider and one store, three runs, and dice."""

    def __init__(self, seed: int) -> None:
        """Roll the limits."""
        self.random = np.random.default_rng(seed)
        loop = VirtualLoop()
        self.store = StrictStore(VirtualClock(loop), store_id="5a" * 16)
        self.sandbox = Sandbox(self.store, loop=loop)
        rows = self.random.integers(0, 40, size=5)
        limits = [Money("USD", int(count) * ROW_MICROS) for count in rows]
        self.scopes = (
            Budget(limit=limits[0], name="all", per=BudgetPeriod.MONTH),
            Budget(limit=limits[1], name="sweep", runs="a-*"),
        )
        self.own = dict(zip(RUNS, limits[2:], strict=True))
        self.store.limits = (*self.scopes, *(Budget(limit=self.own[run], run_id=run) for run in RUNS))
        provider = self.sandbox.provider
        provider.failures = lambda: self._pick(
            [None, None, None, JobFailedError("x", is_repeatable=True), JobFailedError("y")]
        )
        provider.run_seconds = lambda: float(self.random.exponential(5.0))
        self.refused = 0

    @property
    def accepted(self) -> int:
        """How many jobs the provider took."""
        return len(self.sandbox.provider.jobs)

    def _pick(self, choices: list[Any]) -> Any:
        return choices[self.random.integers(len(choices))]

    def engine(self, run_id: str) -> Engine:
        """One of a run."""
        faults = [None] * 6 + list(Fault)
        remote = self.sandbox.remote(
            capabilities=PAID,
            rows_in_job=2,
            terms=replace(HOLD, settle_seconds=3.0),
            faults=lambda call: self._pick(faults) if call == "submit" else None,
        )
        budgets = applied_budgets(self.own[run_id], self.scopes, Buyer(run_id, run_id, remote.name, "fake-account"))
        return self.sandbox.engine(remote, run_id=run_id, card=CENT_A_SHOT, budgets=budgets)

    async def call(self, engine: Engine, run_id: str, number: int) -> None:
        """One call that may be cancelled at any time."""
        await asyncio.sleep(float(self.random.exponential(5.0)))
        rows = int(self.random.integers(1, 9))
        task = asyncio.create_task(self.sandbox.execute(engine, rows, call=number, run_id=run_id))
        if self.random.random() < 0.2:
            await asyncio.sleep(float(self.random.exponential(3.0)))
            task.cancel()
        try:
            await task
        except BudgetError:
            self.refused += 1
        except (QorchError, asyncio.CancelledError):
            return

    async def live(self) -> None:
        """All runs work side by side; each is then resumed, which settles what was left."""
        for life in range(2):
            engines = {run_id: self.engine(run_id) for run_id in RUNS}
            await asyncio.gather(*(engine.open() for engine in engines.values()))
            calls = [self.call(engines[run], run, 10 * life + number) for run in RUNS for number in range(5)]
            await asyncio.gather(*calls)
            await asyncio.gather(*(engine.close() for engine in engines.values()))

    def check(self) -> None:
        """What the provider accepted was reserved before; nothing is reserved but for jobs that may be there."""
        accepted = sum(job.request.n_rows for job in self.sandbox.provider.jobs.values()) * ROW_MICROS
        entries = self.store.ledger()
        assert accepted <= sum(entry.micros for entry in entries if entry.kind is EntryKind.RESERVED)
        open_jobs = {job.job_id for job in self.store.open_jobs()}
        for job in self.store.jobs():
            mine = self.store.job_ledger(job.job_id)
            reserved = sum(e.micros * ((e.kind.debit == "reserved") - (e.kind.credit == "reserved")) for e in mine)
            may_hold = job.job_id in open_jobs or (job.usage is not None and not job.usage.is_final)
            assert reserved == 0 or may_hold or job.usage is None, (job, mine)


def live(seed: int) -> World:
    """One world from its beginning to its end."""
    world = World(seed)
    world.sandbox.run(world.live())
    world.check()
    world.sandbox.close()
    return world


@pytest.mark.parametrize("seeds", [5, pytest.param(500, marks=pytest.mark.soak)])
@pytest.mark.timeout(3600)
def test_no_world_exceeds_a_limit(seeds: int) -> None:
    """Budgets refuse calls in them, and grant others."""
    worlds = [live(seed) for seed in range(seeds)]
    refused, accepted = (sum(getattr(world, name) for world in worlds) for name in ("refused", "accepted"))
    print(f"{seeds} worlds: {accepted} jobs were accepted, {refused} calls refused, and no limit was exceeded")
    assert refused > 5 * seeds
    assert accepted > 5 * seeds
