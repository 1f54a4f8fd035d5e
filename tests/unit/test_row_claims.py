"""Runs that want the same rows at the same time, on one account and one database."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import numpy as np
import pytest
from qiskit.circuit import ParameterVector, QuantumCircuit

from qorch.engine.claims import claim_names, occurrences
from qorch.engine.engine import Engine
from qorch.engine.planner import Call
from qorch.engine.recorder import Recorder
from qorch.errors import RejectedError, UnknownOutcomeError
from qorch.model.identity import Position
from qorch.model.pub import Pub, as_batch
from qorch.model.result import PubResult, Source
from qorch.planning.lowering import lower
from qorch.planning.packing import unexecuted
from qorch.ports.policy import CachePolicy, RunPolicy
from qorch.ports.records import RunRecord
from qorch.testing.fakes.provider import FakeProvider, Fault
from qorch.testing.fakes.remote import FakeRemote
from qorch.testing.fakes.store import MemoryStore
from qorch.testing.virtual_time import VirtualClock, VirtualLoop, run_virtually

T = TypeVar("T")


class World:
    """One provider, one store and as many runs as a test needs, on one virtual clock."""

    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop)
        self.provider = FakeProvider(self.clock, run_seconds=lambda: 20.0)
        self.store = MemoryStore(self.clock)

    def engine(self, name: str, **settings: Any) -> Engine:
        """The engine of a run of that name."""
        self.store.write([RunRecord(name, name, "fake:remote", 1, "reuse", self.clock.now())])
        return Engine(
            FakeRemote(self.provider, self.clock, **settings),
            self.store,
            clock=self.clock,
            policy=RunPolicy(cache=CachePolicy.REUSE),
            recorder=Recorder(self.clock),
            run_id=name,
            random=np.random.default_rng(1),
        )

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run work to its end; an hour is enough for all that is tested here."""
        return run_virtually(self.loop, asyncio.wait_for(work, 3600.0))

    @property
    def rows_paid(self) -> int:
        """The rows of all jobs that the provider accepted."""
        return sum(job.request.n_rows for job in self.provider.jobs.values())


async def end_tasks() -> None:
    """Cancel whatever is left, and wait until it is gone."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


@pytest.fixture
def world() -> Iterator[World]:
    """A new world, whose tasks end with it."""
    made = World()
    yield made
    run_virtually(made.loop, end_tasks())
    made.loop.close()


def pub_of(first: float, *, n_rows: int = 20) -> Pub:
    """Rows at the angles first, first + 1, …."""
    circuit = QuantumCircuit(1)
    angle = ParameterVector("a", 1)
    circuit.ry(angle[0], 0)
    return Pub(circuit, first + np.arange(float(n_rows))[:, None], observables=["Z0"], shots=50)


async def execute(engine: Engine, name: str, pub: Pub, *, is_replayed: bool = False) -> PubResult:
    """One call of a run, whose claim is held meanwhile as start_run does."""
    seed = sum(name.encode())
    call = Call(name, seed, Position(0, 0), as_batch(pub), None, is_replayed=is_replayed)
    return (await engine.execute(call))[0]


async def live(world: World, name: str, pub: Pub) -> PubResult:
    """A run from its start to its end."""
    with world.store.claim_run(name):
        engine = world.engine(name)
        await engine.open()
        try:
            return await execute(engine, name, pub)
        finally:
            await engine.close()


def test_two_runs_buy_each_row_once(world: World) -> None:
    """Of two runs that overlap, each buys what the other does not have in progress, and both get the same samples."""

    async def both() -> tuple[PubResult, PubResult]:
        return await asyncio.gather(live(world, "a", pub_of(0.0)), live(world, "b", pub_of(10.0)))

    first, second = world.run(both())
    assert world.rows_paid == 30
    assert (first.values[10:] == second.values[:10]).all()
    sources = set(np.concatenate([first.sources, second.sources]))
    assert sources == {Source.EXECUTED, Source.REUSED}


def test_equal_rows_of_one_call_stay_independent(world: World) -> None:
    """A row that a call has twice is bought twice, and another run's two get the same two samples."""
    pub = pub_of(0.0, n_rows=1)
    twice = Pub(pub.circuit, np.full((2, 1), 0.5), observables=["Z0"], shots=50)

    async def both() -> tuple[PubResult, PubResult]:
        return await asyncio.gather(live(world, "a", twice), live(world, "b", twice))

    first, second = world.run(both())
    assert world.rows_paid == 2
    assert first.counts(0) != first.counts(1)
    assert [first.counts(row) for row in (0, 1)] == [second.counts(row) for row in (0, 1)]


def test_a_dead_owner_s_job_is_adopted_not_bought_again(world: World) -> None:
    """If the run that was buying rows has died, a run that waits for them fetches its job."""

    async def story() -> PubResult:
        dead = world.engine("dead")
        await dead.open()
        task = asyncio.create_task(execute(dead, "dead", pub_of(0.0)))
        await asyncio.sleep(1.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return await live(world, "b", pub_of(0.0))

    result = world.run(story())
    assert world.rows_paid == 20
    assert set(result.sources) == {Source.REUSED}


def test_rows_of_a_held_job_are_not_bought_again(world: World) -> None:
    """Where a dead run's job may have been accepted, the waiting run stops with a sentence."""

    async def story() -> None:
        dead = world.engine("dead", faults=lambda call: Fault.LOST_BEFORE if call == "submit" else None)
        await dead.open()
        with pytest.raises(UnknownOutcomeError, match="held"):
            await execute(dead, "dead", pub_of(0.0))
        await dead.close()
        await live(world, "b", pub_of(0.0))

    with pytest.raises(UnknownOutcomeError, match="dead"):
        world.run(story())
    assert world.rows_paid == 0


def test_a_failed_call_gives_its_rows_up(world: World) -> None:
    """While its process lives on, as a notebook does, another run buys the rows at once."""

    async def story() -> PubResult:
        with world.store.claim_run("a"):
            failing = world.engine("a", faults=lambda call: Fault.REJECTED if call == "submit" else None)
            await failing.open()
            with pytest.raises(RejectedError):
                await execute(failing, "a", pub_of(0.0))
            result = await live(world, "b", pub_of(0.0))
            await failing.close()
            return result

    result = world.run(story())
    assert world.rows_paid == 20
    assert set(result.sources) == {Source.EXECUTED}


def test_a_silent_owner_is_waited_for(world: World) -> None:
    """A run that is stopped in its tracks keeps its rows as long as its process lives."""

    async def story() -> bool:
        with world.store.claim_run("stopped"):
            stopped = world.engine("stopped")
            await stopped.open()
            task = asyncio.create_task(execute(stopped, "stopped", pub_of(0.0)))
            await asyncio.sleep(1.0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            waiting = asyncio.create_task(live(world, "b", pub_of(0.0)))
            await asyncio.sleep(600.0)
            is_waiting = not waiting.done()
        await waiting
        return is_waiting

    assert world.run(story())
    assert world.rows_paid == 20


def test_claim_names_count_equal_rows() -> None:
    """Equal rows of a call claim different samples; the same occurrence has the same name in every call."""
    pub = pub_of(0.0, n_rows=3)
    repeated = Pub(pub.circuit, pub.parameter_values[[0, 1, 0, 0]], observables=["Z0"], shots=50)
    group = lower(as_batch(repeated), default_shots=None).groups[0]
    assert occurrences(group).tolist() == [0, 0, 1, 2]
    names = claim_names(unexecuted(0, group, stream=5), group, b"context")
    assert len({name.tobytes() for name in names}) == 4
    alone = lower(as_batch(pub), default_shots=None).groups[0]
    again = claim_names(unexecuted(0, alone, stream=9), alone, b"context")
    assert names[0].tobytes() == again[0].tobytes()
