"""A fake provider, a store and engines on one virtual clock: what a test of the engine needs, and nothing more."""

import asyncio
from collections.abc import Coroutine, Sequence
from decimal import Decimal
from typing import Any, TypeVar

import numpy as np

from qorch.engine.engine import Engine
from qorch.engine.planner import Call
from qorch.engine.recorder import Recorder
from qorch.engine.worker import INLINE_EXECUTIONS
from qorch.model.circuit import build_gate_list, free_circuit
from qorch.model.gates import GATES_BY_NAME
from qorch.model.identity import Position
from qorch.model.prices.card import Certainty, PriceCard, UnitPrices
from qorch.model.pub import Pub, as_batch
from qorch.model.result import PubResult
from qorch.planning.budgets import RunBudgets
from qorch.ports.policy import RunPolicy
from qorch.ports.records import RunRecord
from qorch.ports.store import Store
from qorch.testing.fakes.provider import FakeProvider
from qorch.testing.fakes.remote import FakeRemote
from qorch.testing.fakes.store import MemoryStore
from qorch.testing.virtual_time import VirtualClock, VirtualLoop, run_virtually

T = TypeVar("T")

CENT_A_SHOT = PriceCard(
    backends=("fake:remote",),
    currency="USD",
    certainty=Certainty.EXACT,
    source="a contract",
    date=None,
    prices=UnitPrices(shot=Decimal("0.01")),
)
DAYS = 30 * 86_400.0
"""Longer than anything that is tested here takes."""


class Sandbox:
    """Holds all of it; ``close`` it at the end."""

    def __init__(self, store: Store | None = None, *, loop: VirtualLoop | None = None) -> None:
        """``store``: in memory where none is given. ``loop``: on whose clock a given store is."""
        self.loop = loop or VirtualLoop()
        self.clock = VirtualClock(self.loop)
        self.provider = FakeProvider(self.clock)
        self.store: Store = store or MemoryStore(self.clock, store_id="5a" * 16)
        self._engines: list[Engine] = []

    def remote(self, **settings: Any) -> FakeRemote:
        """A client's way to the provider."""
        return FakeRemote(self.provider, self.clock, **settings)

    def engine(
        self,
        remote: FakeRemote,
        *,
        run_id: str = "r",
        policy: RunPolicy | None = None,
        budgets: RunBudgets | None = None,
        card: PriceCard | None = None,
        clock: VirtualClock | None = None,
    ) -> Engine:
        """The engine of a run, which is stored if it is new; ``clock``: of its process, if it is not the sandbox's."""
        clock = clock or self.clock
        if self.store.find_run(run_id) is None:
            self.store.write([RunRecord(run_id, run_id, remote.name, 1, "resume", self.clock.now())])
        engine = Engine(
            remote,
            self.store,
            clock=clock,
            policy=policy or RunPolicy(),
            recorder=Recorder(clock),
            run_id=run_id,
            random=np.random.default_rng(1),
            budgets=budgets,
            card=card,
        )
        self._engines.append(engine)
        return engine

    async def execute(
        self, engine: Engine, rows: int, *, step: int = 0, call: int = 0, run_id: str = "r", is_replayed: bool = False
    ) -> PubResult:
        """One call with so many rows."""
        batch = as_batch(pub_of(rows))
        results = await engine.execute(Call(run_id, 1, Position(step, call), batch, None, is_replayed))
        return results[0]

    async def execute_many(self, engine: Engine, rows: int, *, step: int = 0) -> list[PubResult]:
        """So many rows in calls that are small enough to be computed without a thread, all at once."""
        sizes = [min(INLINE_EXECUTIONS, rows - start) for start in range(0, rows, INLINE_EXECUTIONS)]
        return await asyncio.gather(
            *(self.execute(engine, size, step=step, call=call) for call, size in enumerate(sizes))
        )

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run work to its end, and close whatever was opened."""

        async def whole() -> T:
            try:
                return await asyncio.wait_for(work, DAYS)
            finally:
                await asyncio.gather(*(engine.close() for engine in self._engines), return_exceptions=True)
                self._engines.clear()

        return run_virtually(self.loop, whole())

    def close(self) -> None:
        """Let the loop go. Raises RuntimeError where a task was left in it."""
        left = asyncio.all_tasks(self.loop)
        self.loop.close()
        if left:
            raise RuntimeError(f"{len(left)} tasks were left, such as {next(iter(left))!r}")


def pub_of(rows: int, *, shots: int | None = 20) -> Pub:
    """Rows of one qubit."""
    circuit = free_circuit(build_gate_list(1, [(GATES_BY_NAME["ry"].opcode, (0,), (None,))]))
    return Pub(circuit, np.linspace(0.1, 3.0, rows)[:, None], observables=["Z0"], shots=shots)


def most_within(times: Sequence[float], *, seconds: float) -> int:
    """The largest number of the times that fall into one window of so many seconds, open at its end."""
    ordered = np.sort(np.asarray(times, dtype=np.float64))
    return int(max(np.searchsorted(ordered, ordered + seconds - 1e-6) - np.arange(len(ordered)), default=0))
