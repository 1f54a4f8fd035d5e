"""What an engine never does in its event loop, and what it does for exact gradients."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulation.harness import pub_of

from qorch.engine.engine import Engine
from qorch.engine.planner import Call
from qorch.engine.recorder import Recorder
from qorch.errors import RunStoppedError, UsageError
from qorch.model.arrays import FloatArray
from qorch.model.identity import Position
from qorch.model.pub import Pub, as_batch
from qorch.model.timing import Phase
from qorch.ports.backend import Capabilities
from qorch.ports.clock import WallClock
from qorch.ports.policy import CachePolicy, RunPolicy
from qorch.ports.records import RunRecord
from qorch.ports.store import Store
from qorch.stores import open_store
from qorch.testing.fakes.backend import FREE, FakeBackend
from qorch.testing.fakes.provider import FakeProvider
from qorch.testing.fakes.remote import FakeRemote

HERE = Position(0, 0)
QUEUED = frozenset(
    {"write", "update_shared_state", "claim_rows", "trim_free", "claim_run", "store_id", "location", "close"}
)
"""What may be called in the event loop: it hands work over, or reads nothing. All else is a read."""


class WatchedStore:
    """Notes the reads that are made in the thread of the event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.on_loop: list[str] = []
        self.reads = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name in QUEUED:
            return found

        def read(*args: Any, **settings: Any) -> Any:
            self.reads += 1
            if threading.current_thread() is threading.main_thread():
                self.on_loop.append(name)
            return found(*args, **settings)

        return read


@contextmanager
def watched(tmp_path: Path) -> Iterator[WatchedStore]:
    """A database with two runs."""
    clock = WallClock()
    store = open_store(tmp_path / "q.db", clock=clock)
    store.write([RunRecord(name, name, "fake", 1, "resume", clock.now()) for name in ("r", "s")]).result()
    yield WatchedStore(store)
    store.close()


async def live(store: WatchedStore, run_id: str, *, is_replayed: bool, policy: RunPolicy) -> None:
    """One life of a run at a provider."""
    clock = WallClock()
    remote = FakeRemote(FakeProvider(clock, run_seconds=lambda: 0.05), clock, round_trip_seconds=0.001)
    with store.claim_run(run_id):
        engine = Engine(
            remote,
            store,
            clock=clock,
            policy=policy,
            recorder=Recorder(clock),
            run_id=run_id,  # type: ignore[arg-type]
        )
        await engine.open()
        try:
            await engine.execute(Call(run_id, 1, HERE, as_batch(pub_of(4)), None, is_replayed))
        finally:
            await engine.close()


@pytest.mark.parametrize("cache", [CachePolicy.RESUME, CachePolicy.REUSE])
def test_no_store_is_read_in_the_event_loop(tmp_path: Path, cache: CachePolicy) -> None:
    """A run, the same run resumed, and another run that wants the same rows: all reads are made in other threads."""

    async def work(store: WatchedStore) -> None:
        policy = RunPolicy(cache=cache)
        await live(store, "r", is_replayed=False, policy=policy)
        await live(store, "r", is_replayed=True, policy=policy)
        await live(store, "s", is_replayed=False, policy=policy)

    with watched(tmp_path) as store:
        asyncio.run(work(store))
    assert store.on_loop == []
    assert store.reads > 10


class Differentiable(FakeBackend):
    """An ExactGradients of two pieces; ``busy`` is set within the first, which waits for ``go_on``."""

    def __init__(self, *, capabilities: Capabilities) -> None:
        """It does not wait yet."""
        super().__init__(capabilities=capabilities)
        self.busy, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()
        self.pieces = 0

    def vjp(self, pub: Pub, cotangents: FloatArray, *, check: Callable[[], None]) -> FloatArray:
        """See ExactGradients."""
        for _ in range(2):
            check()
            self.pieces += 1
            self.busy.set()
            assert self.go_on.wait(60)
        return np.ones((pub.n_rows, 1))


@contextmanager
def engine_on(backend: FakeBackend, tmp_path: Path) -> Iterator[tuple[Engine, Recorder]]:
    """An engine in this process."""
    with watched(tmp_path) as store:
        clock = WallClock()
        recorder = Recorder(clock)
        yield (
            Engine(backend, store, clock=clock, policy=RunPolicy(), recorder=recorder, run_id="r"),  # type: ignore[arg-type]
            recorder,
        )


def test_exact_gradients_end_with_the_run(tmp_path: Path) -> None:
    """One that is being computed ends at its next piece, later ones are refused; the time is recorded as execution."""
    backend = Differentiable(capabilities=replace(FREE, exact_gradients=True))
    pub = pub_of(3)

    async def work(engine: Engine) -> None:
        await engine.open()
        assert engine.vjp_blocking(pub, np.ones((3, 1)), position=HERE).shape == (3, 1)
        backend.go_on.clear()
        backend.busy.clear()
        call = asyncio.create_task(asyncio.to_thread(engine.vjp_blocking, pub, np.ones((3, 1)), position=HERE))
        assert await asyncio.to_thread(backend.busy.wait, 60)
        await engine.stop("the run was cancelled")
        backend.go_on.set()
        with pytest.raises(RunStoppedError, match="cancelled"):
            await call
        with pytest.raises(RunStoppedError, match="cancelled"):
            engine.vjp_blocking(pub, np.ones((3, 1)), position=HERE)
        await engine.close()

    with engine_on(backend, tmp_path) as (engine, recorder):
        asyncio.run(work(engine))
    assert backend.pieces == 3
    assert [span.phase for span in recorder.drain()] == [Phase.EXECUTE] * 3


def test_a_backend_without_exact_gradients_says_so(tmp_path: Path) -> None:
    """The error names what to use instead; a backend that only says that it has them is found out, too."""

    async def work(engine: Engine) -> None:
        await engine.open()
        with pytest.raises(UsageError, match="gradient"):
            engine.vjp_blocking(pub_of(3), np.ones((3, 1)), position=HERE)
        await engine.close()

    for capabilities in (FREE, replace(FREE, exact_gradients=True)):
        with engine_on(FakeBackend(capabilities=capabilities), tmp_path) as (engine, _):
            asyncio.run(work(engine))
