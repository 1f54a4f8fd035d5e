"""Where jobs stand in their provider's queue: stored when it changes, shown while a call waits, never in the way."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
from simulation.harness import Sandbox, pub_of

import qorch
from qorch.engine.engine import Engine
from qorch.errors import StoreError
from qorch.model.job import JobState, QueuePlace, RemoteState
from qorch.ports.clock import WallClock
from qorch.ports.records import QueueMove, Write
from qorch.run.resources import Progress
from qorch.testing.fakes.provider import FakeProvider
from qorch.testing.fakes.remote import FakeRemote
from qorch.testing.fakes.store import MemoryStore


class Moves(MemoryStore):
    """A store that remembers the places that were written, in order; it may refuse to write any."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox.clock, store_id="5a" * 16)
        self.sandbox = sandbox
        self.moves: list[tuple[float, list[str]]] = []
        self.refuses = False

    def write(self, writes: Sequence[Write]) -> "Future[None]":
        """See Store."""
        moves = [f"{record.job_id} {record.place}" for record in writes if isinstance(record, QueueMove)]
        if moves:
            self.moves.append((self.sandbox.loop.time(), moves))
            if self.refuses:
                refused: Future[None] = Future()
                refused.set_exception(StoreError("no"))
                return refused
        return super().write(writes)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """One world with such a store; no task may be left in it."""
    made = Sandbox()
    made.store = Moves(made)
    yield made
    made.close()


def moves_of(sandbox: Sandbox) -> list[tuple[float, list[str]]]:
    """The places that were written, each with the time."""
    assert isinstance(sandbox.store, Moves)
    return sandbox.store.moves


async def place_at(sandbox: Sandbox, seconds: float) -> QueuePlace | None:
    """The stored place of the only job at that time."""
    await asyncio.sleep(seconds - sandbox.loop.time())
    [job] = sandbox.store.jobs()
    return job.queue_place


def occupy(sandbox: Sandbox, *ends: float) -> FakeRemote:
    """A way to a provider that tells two places, and whose queue holds jobs of others that end then."""
    sandbox.provider.queue_length = 2
    remaining = iter([*ends, 100.0])
    sandbox.provider.run_seconds = lambda: next(remaining)
    return sandbox.remote()


async def crowd(sandbox: Sandbox, remote: FakeRemote, count: int) -> None:
    """Other people's jobs enter the queue."""
    for number in range(count):
        request = qorch.model.job.JobRequest(f"theirs {number}", ())
        await remote.submit(qorch.model.job.Payload(request, f"key {number}"))


def test_a_place_is_stored_when_it_changes(sandbox: Sandbox) -> None:
    """With the time at which it was first seen there, however often it is asked for; the end leaves the last one."""
    remote = occupy(sandbox, 10.0, 20.0)
    engine = sandbox.engine(remote)

    async def work() -> list[QueuePlace | None]:
        await crowd(sandbox, remote, 2)
        await engine.open()
        call = asyncio.create_task(sandbox.execute(engine, 4))
        found = [await place_at(sandbox, seconds) for seconds in (5.0, 9.0, 15.0, 30.0)]
        await call
        return found

    first, still, later, last = sandbox.run(work())
    assert [str(place) for place in (first, later, last)] == [
        "3rd or later in the queue", "2nd in the queue", "1st in the queue"
    ]  # fmt: skip
    assert first == still
    assert later is not None
    assert 10.0 <= (later.seen_at - sandbox.clock._start).total_seconds() <= 11.0
    assert [moves for _, moves in moves_of(sandbox)] == [
        ["r/0.0.0 3rd or later in the queue"], ["r/0.0.0 2nd in the queue"], ["r/0.0.0 1st in the queue"]
    ]  # fmt: skip
    assert sandbox.provider.calls["poll"] > 10
    [job] = sandbox.store.jobs()
    assert (job.state, job.queue_place) == (JobState.DONE, last)


def test_a_job_that_runs_has_no_place(sandbox: Sandbox) -> None:
    """What was stored of it goes as soon as the provider says that it is not queued any more."""
    remote = occupy(sandbox)
    original = remote._status
    remote._status = lambda job: (  # type: ignore[method-assign]
        original(job) if sandbox.loop.time() < 5.0 else type(original(job))(RemoteState.RUNNING, key=job.key)
    )
    engine = sandbox.engine(remote)

    async def work() -> list[QueuePlace | None]:
        await engine.open()
        call = asyncio.create_task(sandbox.execute(engine, 4))
        found = [await place_at(sandbox, seconds) for seconds in (2.0, 8.0)]
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        return found

    queued, running = sandbox.run(work())
    assert (str(queued), running) == ("1st in the queue", None)


def test_the_best_place_is_shown_and_all_are_written_together(sandbox: Sandbox) -> None:
    """The recorder knows the place of the job whose turn comes first, and none once the jobs are over."""
    sandbox.provider.queue_length = 100
    sandbox.provider.run_seconds = iter(np.arange(20.0, 30.0)).__next__
    engine = sandbox.engine(sandbox.remote(rows_in_job=1))

    async def work() -> list[str]:
        await engine.open()
        call = asyncio.create_task(sandbox.execute(engine, 8))
        shown = []
        for seconds in (5.0, 24.5):
            await asyncio.sleep(seconds - sandbox.loop.time())
            shown.append(str(engine._recorder.queue_place))
        await call
        return [*shown, str(engine._recorder.queue_place)]

    assert sandbox.run(work()) == ["1st in the queue", "1st in the queue", "None"]
    times = [at for at, _ in moves_of(sandbox)]
    assert min(np.diff(times)) >= 1.0
    assert max(len(moves) for _, moves in moves_of(sandbox)) > 1


def test_a_place_that_cannot_be_stored_stops_nothing(sandbox: Sandbox) -> None:
    """The job is done as if there were no queue."""
    assert isinstance(sandbox.store, Moves)
    sandbox.store.refuses = True
    engine = sandbox.engine(occupy(sandbox))

    async def work() -> None:
        await engine.open()
        await sandbox.execute(engine, 4)

    sandbox.run(work())
    [job] = sandbox.store.jobs()
    assert (job.state, job.queue_place, len(moves_of(sandbox))) == (JobState.DONE, None, 1)


def test_a_restart_goes_on_from_the_stored_place(sandbox: Sandbox) -> None:
    """It is not written again while it is the same, and shown at once."""
    remote = occupy(sandbox, 40.0)
    engine = sandbox.engine(remote)

    async def first() -> None:
        await crowd(sandbox, remote, 1)
        await engine.open()
        call = asyncio.create_task(sandbox.execute(engine, 4))
        await asyncio.sleep(10.0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

    async def second(again: Engine) -> str:
        await again.open()
        await asyncio.sleep(5.0)
        return str(again._recorder.queue_place)

    sandbox.run(first())
    assert sandbox.run(second(sandbox.engine(remote))) == "2nd in the queue"
    assert len(moves_of(sandbox)) == 1


def test_a_provider_that_tells_no_place_costs_nothing(sandbox: Sandbox) -> None:
    """No write, and nothing is shown."""
    engine = sandbox.engine(sandbox.remote())

    async def work() -> None:
        await engine.open()
        await sandbox.execute(engine, 4)

    sandbox.run(work())
    assert moves_of(sandbox) == []
    assert engine._recorder.queue_place is None


class QueueScreen:
    """A display that notes what it is shown; the first place that it sees lets the provider finish its jobs."""

    def __init__(self, provider: FakeProvider) -> None:
        self.provider = provider
        self.shown: list[str] = []

    def __call__(self, progress: Progress) -> None:
        """A step has ended."""
        self.shown.append(f"step {progress.step}")

    def show_queue(self, place: QueuePlace | None) -> None:
        """A call is waited for."""
        if place is not None:
            self.shown.append(str(place))
            for job in self.provider.jobs.values():
                job.done_at = self.provider.now()

    def close(self) -> None:
        """The run is over."""


def test_the_training_loop_shows_the_queue_while_it_waits(tmp_path: Path) -> None:
    """The display of a run is told in the loop's own thread, also before the first step has ended."""
    provider = FakeProvider(WallClock(), run_seconds=lambda: 3600.0, queue_length=5)
    display = QueueScreen(provider)
    remote = FakeRemote(provider, provider.clock)
    with qorch.start_run("q", backend=remote, db=tmp_path / "x.db", seed=1, progress=display) as run, run.step(0):
        run.execute(pub_of(3))
    assert display.shown[0] == "1st in the queue"
    assert display.shown[-1] == "step 0"
