"""Worlds of faults and crashes in which jobs run in sessions: none is open after the last `recover`."""

import asyncio
from dataclasses import dataclass, field

import numpy as np
import pytest
from simulation.checks import judge
from simulation.world import WatchedRemote, World

from qorch.engine.journal import Journal
from qorch.engine.remote.retrying import Retrier
from qorch.engine.remote.session_recovery import SessionRecovery
from qorch.ports.policy import RetryPolicy
from qorch.ports.provider_sessions import ProviderSessionState
from qorch.testing.fakes.sessions import FakeSessionDesk, FakeSessionRemote
from qorch.testing.fakes.store import MemoryStore
from qorch.testing.virtual_time import VirtualClock, VirtualLoop, run_virtually

SEEDS = (range(12), *(pytest.param(range(first, first + 100), marks=pytest.mark.soak) for first in range(0, 1000, 100)))
NO_BACKUP = {"backup_at": None}
"""A restored database does not know the sessions that were opened after its backup."""


@dataclass(eq=False)
class WatchedSessionRemote(FakeSessionRemote, WatchedRemote):
    """Jobs run in sessions, and submissions are watched."""


@dataclass(eq=False)
class Met:
    """What the worlds met."""

    opened: int = 0
    left: int = 0
    endings: list[str] = field(default_factory=list)


class SessionsWorld(World):
    """A world whose provider has sessions, some of which end by themselves."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, change=NO_BACKUP)
        random = np.random.default_rng([seed, 1])
        lasts = float(random.choice([60.0, 3600.0, 1e9]))
        slack = self.conditions.settle_seconds
        self.desk = FakeSessionDesk(
            list_seconds=lambda: float(random.uniform(0.0, 0.5 * slack)), live_seconds=lambda: lasts
        )

    def make_remote(self, clock: VirtualClock) -> WatchedSessionRemote:
        """See World."""
        return WatchedSessionRemote(
            self.provider,
            clock,
            desk=self.desk,
            is_durable=self.durable.__contains__,
            complain=self.violations.append,
        )


def recover(world: SessionsWorld) -> MemoryStore:
    """End what the last lives have left, with a provider that has no more troubles; the store afterwards."""
    loop = VirtualLoop()
    clock = VirtualClock(loop)
    store = MemoryStore(clock)
    store.write([*world.store.runs(), *world.store.provider_sessions()])
    for session in world.desk.sessions.values():
        session.seen_at = 0.0
    world.provider.outages = world.provider.lockouts = ()
    remote = FakeSessionRemote(world.provider, clock, desk=world.desk, terms=world.conditions.terms)
    retrier = Retrier(RetryPolicy(), clock=clock, random=np.random.default_rng(1))
    recovery = SessionRecovery(
        remote, store, Journal(store, clock=clock, is_durable=True), retrier=retrier, clock=clock
    )

    async def end_all() -> None:
        await asyncio.gather(*map(recovery.end, store.open_provider_sessions()))

    run_virtually(loop, end_all())
    loop.close()
    return store


@pytest.mark.parametrize("seeds", SEEDS)
def test_no_session_stays_open(seeds: range) -> None:
    """Whatever fails and whenever a process dies; and all that is promised of jobs holds in sessions, too."""
    met, wrong = Met(), list[str]()
    for seed in seeds:
        world = SessionsWorld(seed)
        world.run()
        wrong += [f"seed {seed}: {line}" for line in judge(world)]
        met.opened += len(world.desk.sessions)
        met.left += len(world.store.open_provider_sessions())
        store = recover(world)
        wrong += [f"seed {seed}: {name} is open" for name in world.desk.open_ids()]
        over = (ProviderSessionState.CLOSED, ProviderSessionState.ABSENT)
        wrong += [f"seed {seed}: {item}" for item in store.provider_sessions() if item.state not in over]
    assert wrong == []
    print(f"\n{len(seeds)} worlds, {met.opened} sessions, {met.left} of them left to the last recover")
    assert met.opened > len(seeds)
    assert met.left > 0
