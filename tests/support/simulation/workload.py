"""What the runs of a simulated world execute, and what it comes to where nothing goes wrong."""

import asyncio
import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qorch.engine.engine import Engine
from qorch.engine.planner import Call
from qorch.engine.recorder import Recorder
from qorch.model.circuit import Circuit, build_gate_list, free_circuit
from qorch.model.gates import GATES_BY_NAME
from qorch.model.identity import Position
from qorch.model.prices.card import PriceCard
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

SHOTS = 20
RUN_SEED = 7


@dataclass(frozen=True)
class Program:
    """What a run executes: ``steps[s]`` are the rows of the calls that step s makes at once."""

    steps: tuple[tuple[int, ...], ...]

    def pub(self, step: int, call: int) -> Pub:
        """The rows of one call."""
        rows = self.steps[step][call]
        return Pub(_circuit(), np.linspace(0.1, 3.0, rows)[:, None] + step, observables=["Z0"], shots=SHOTS)


@functools.cache
def _circuit() -> Circuit:
    return free_circuit(build_gate_list(1, [(GATES_BY_NAME["ry"].opcode, (0,), (None,))]))


@functools.cache
def expected_results(program: Program) -> tuple[tuple[PubResult, ...], ...]:
    """What a program comes to where nothing goes wrong."""
    loop = VirtualLoop()
    clock = VirtualClock(loop)
    store = MemoryStore(clock)
    store.write([RunRecord("calm", "calm", "fake:remote", RUN_SEED, "resume", clock.now())])
    results: list[tuple[PubResult, ...]] = []
    backend = FakeRemote(FakeProvider(clock), clock)
    run_virtually(loop, execute(program, "calm", backend, store, clock=clock, results=results.append))
    loop.close()
    return tuple(results)


async def execute(
    program: Program,
    run_id: str,
    backend: FakeRemote,
    store: Store,
    *,
    clock: VirtualClock,
    results: Callable[[tuple[PubResult, ...]], None],
    policy: RunPolicy | None = None,
    seed: int = 0,
    is_replayed: bool = False,
    card: PriceCard | None = None,
    budgets: RunBudgets | None = None,
    opened: Callable[[Engine], None] = lambda _: None,
) -> None:
    """One life of a run, from the start of its engine to its end."""
    engine = Engine(
        backend,
        store,
        clock=clock,
        policy=policy or RunPolicy(),
        recorder=Recorder(clock),
        run_id=run_id,
        random=np.random.default_rng(seed),
        card=card,
        budgets=budgets,
    )
    try:
        await engine.open()
        opened(engine)
        for step, rows in enumerate(program.steps):
            calls = [
                Call(run_id, RUN_SEED, Position(step, call), as_batch(program.pub(step, call)), None, is_replayed)
                for call in range(len(rows))
            ]
            parts = await asyncio.gather(*(engine.execute(call) for call in calls))
            results(tuple(part[0] for part in parts))
    finally:
        await engine.close()
