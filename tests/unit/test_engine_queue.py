"""The jobs of an engine: no more at once than its backend has room for, and safe to cancel."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TypeVar

import pytest
from simulation.harness import pub_of

from qorch.engine.engine import Engine
from qorch.engine.planner import Call
from qorch.engine.recorder import Recorder
from qorch.errors import BackendError, RunStoppedError
from qorch.model.identity import Position
from qorch.model.job import JobState, Payload, RawResult
from qorch.model.ledger import LedgerRecord
from qorch.model.pub import as_batch
from qorch.model.result import PubResult
from qorch.ports.policy import RunPolicy
from qorch.ports.records import BlockRecord, RunRecord, Write
from qorch.testing.fakes.backend import FREE, FakeBackend
from qorch.testing.fakes.store import MemoryStore
from qorch.testing.virtual_time import VirtualClock, VirtualLoop, run_virtually

T = TypeVar("T")


@dataclass(eq=False)
class Counting(FakeBackend):
    """Every job takes a second; counts those that run side by side."""

    running: int = 0
    most: int = 0

    async def run(self, payload: Payload) -> RawResult:
        """See InProcessBackend."""
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(1.0)
            return await super().run(payload)
        finally:
            self.running -= 1


class Bench:
    """An engine in this process, on a virtual clock."""

    def __init__(self, backend: FakeBackend, *, store: type[MemoryStore] = MemoryStore) -> None:
        self.backend = backend
        self.loop = VirtualLoop()
        clock = VirtualClock(self.loop)
        self.store = store(clock)
        self.store.write([RunRecord("r", "r", backend.name, 1, "resume", clock.now())])
        self.engine = Engine(backend, self.store, clock=clock, policy=RunPolicy(), recorder=Recorder(clock), run_id="r")

    async def execute(self, rows: int, *, step: int = 0) -> PubResult:
        """One call with so many rows."""
        return (await self.engine.execute(Call("r", 1, Position(step, 0), as_batch(pub_of(rows)), None)))[0]

    def run(self, work: Coroutine[object, object, T]) -> T:
        """Run work between opening and closing the engine. No task may be left."""

        async def whole() -> T:
            await self.engine.open()
            try:
                return await work
            finally:
                await self.engine.close()
                assert asyncio.all_tasks() == {asyncio.current_task()}

        try:
            return run_virtually(self.loop, whole())
        finally:
            self.loop.close()


def test_slots_bound_the_jobs_in_progress() -> None:
    """Twice as many jobs as there are slots are in progress, never more, and all of them are done."""
    bench = Bench(Counting(capabilities=replace(FREE, slots=2), rows_in_job=1))

    async def work() -> None:
        await asyncio.gather(*(bench.execute(25, step=step) for step in range(2)))

    bench.run(work())
    assert bench.backend.most == 4  # type: ignore[attr-defined]
    assert bench.loop.time() == pytest.approx(52 / 4)  # the jobs of a call are a multiple of the slots
    assert {job.state for job in bench.store.jobs()} == {JobState.DONE}


def test_errors_reach_the_caller() -> None:
    """What a job raises is raised to its call, and the engine goes on."""
    bench = Bench(FakeBackend(faults={0: BackendError("no")}))

    async def work() -> None:
        with pytest.raises(BackendError, match="no"):
            await bench.execute(4)
        await bench.execute(4, step=1)

    bench.run(work())
    assert [job.state for job in bench.store.jobs()] == [JobState.FAILED, JobState.DONE]


def test_cancelling_a_caller_stops_its_work() -> None:
    """A caller that is cancelled takes its jobs with it, whether they wait or are in progress."""
    bench = Bench(Counting(rows_in_job=1))

    async def work() -> None:
        first, second = (asyncio.create_task(bench.execute(3, step=step)) for step in range(2))
        await asyncio.sleep(0.5)
        assert bench.backend.running == 2  # type: ignore[attr-defined]
        second.cancel()
        first.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        assert first.cancelled()
        assert second.cancelled()
        assert bench.backend.running == 0  # type: ignore[attr-defined]
        await asyncio.wait_for(bench.execute(3, step=2), timeout=5)

    bench.run(work())
    assert bench.backend.n_rows == 3


class SlowToTell(MemoryStore):
    """Stores results at once, and tells so only after a second."""

    def write(self, writes: Sequence[Write]) -> "Future[None]":
        """See RecordLog."""
        done = super().write(writes)
        return _told_later() if any(isinstance(record, BlockRecord) for record in writes) else done

    def settle(
        self, job_ids: Sequence[str], close: Callable[[Mapping[str, Sequence[LedgerRecord]]], Sequence[Write]]
    ) -> "Future[None]":
        """See Books."""
        super().settle(job_ids, close)
        return _told_later()


def _told_later() -> "Future[None]":
    told: Future[None] = Future()
    told.set_running_or_notify_cancel()
    asyncio.get_running_loop().call_later(1.0, told.set_result, None)
    return told


def test_a_job_that_is_done_stays_done() -> None:
    """A call that is cancelled while it waits for the disk does not call its paid job cancelled."""
    bench = Bench(FakeBackend(capabilities=replace(FREE, charges=True)), store=SlowToTell)

    async def work() -> None:
        task = asyncio.create_task(bench.execute(3))
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        await bench.engine.flush()

    bench.run(work())
    assert [job.state for job in bench.store.jobs()] == [JobState.DONE]


def test_closing_leaves_nothing() -> None:
    """Closing the engine cancels what is in progress and what waits; no task is left."""
    bench = Bench(Counting(rows_in_job=1))
    callers: list[asyncio.Task[PubResult]] = []

    async def work() -> None:
        callers.extend(asyncio.create_task(bench.execute(2, step=step)) for step in range(5))
        await asyncio.sleep(0.5)

    async def see() -> None:
        ended = await asyncio.gather(*callers, return_exceptions=True)
        assert {type(error) for error in ended} == {RunStoppedError}

    async def whole() -> None:
        await bench.engine.open()
        await work()
        await bench.engine.close()
        await see()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtually(bench.loop, whole())
    bench.loop.close()
    assert bench.backend.n_rows == 0


def test_a_calibration_in_mid_run_changes_what_follows() -> None:
    """The backend is asked for its context at every call: rows of before and after are never taken for each other."""
    bench = Bench(FakeBackend())

    async def work() -> None:
        await bench.execute(2)
        bench.backend.revision = "2"
        await bench.execute(2, step=1)

    bench.run(work())
    blocks = [block for step in range(2) for block in bench.store.blocks_at("r", Position(step, 0))]
    assert len({block.rows.context for block in blocks}) == 2


def test_circuits_are_prepared_once_and_before_they_are_planned() -> None:
    """A backend compiles a circuit off the event loop before it is asked for anything else of it."""
    asked: list[str] = []

    class Compiling(FakeBackend):
        async def prepare(self, circuits: object) -> None:
            """See Backend."""
            asked.append(f"prepare {len(circuits)}")  # type: ignore[arg-type]

        def check(self, gates: object, measurement: object) -> None:
            """See Backend."""
            asked.append("check")

    bench = Bench(Compiling())

    async def work() -> None:
        await bench.execute(2)
        await bench.execute(2, step=1)

    bench.run(work())
    assert asked == ["prepare 1", "check", "check"]
