"""Checks with the real engine: an answer that is lost, a process that dies before it, and rows that run again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import numpy as np
import pytest

from qorch.engine.engine import Engine
from qorch.engine.planner import Call
from qorch.engine.recorder import Recorder
from qorch.errors import JobFailedError, RunStoppedError
from qorch.model.circuit import free_circuit
from qorch.model.identity import Position
from qorch.model.observable import Z
from qorch.model.pub import Pub, as_batch
from qorch.model.result import PubResult
from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import WallClock
from qorch.ports.policy import RunPolicy, Terms
from qorch.ports.records import RunRecord
from qorch.ports.store import Store
from qorch.testing.conformance.backend import MAX_SIGMAS
from qorch.testing.conformance.remote.base import LONGEST_SECONDS, SHOTS, RemoteChecks
from qorch.testing.conformance.remote.harness import Behaviour
from qorch.testing.fakes.store import MemoryStore
from qorch.testing.reference import reference_parities, reference_probabilities

RUN = "conformance"
SEED = 7
N_POINTS = 4
LONGEST_SETTLE_SECONDS = 5.0
"""A test waits no longer for the lists of a provider."""


class AdoptionChecks(RemoteChecks):
    """What engine and adapter must do together: nothing is bought twice, and nothing that was paid is lost."""

    def test_an_engine_that_follows_a_dead_one_adopts_its_job(self) -> None:
        """The process dies between the provider's acceptance and its answer; the next one buys nothing again."""

        async def work(store: Store) -> PubResult:
            with self.server(Behaviour.SILENT):
                async with self._engine(store) as engine:
                    dying = asyncio.create_task(engine.execute(self._call()))
                    await self.until(lambda: self._n_accepted(store) > 0)
                    dying.cancel()
                    with suppress(asyncio.CancelledError, RunStoppedError):
                        await dying
            async with self._engine(store) as engine:
                [result] = await engine.execute(self._call(is_replayed=True))
            return result

        self._check(work, n_jobs=1)

    def test_an_engine_that_follows_a_dead_one_sends_again_what_was_lost(self) -> None:
        """No list shows it, but the provider remembers keys: the same bytes are sent again, and make one job."""
        terms = self.ask(_terms_of)
        if not terms.remembers_keys_seconds or terms.settle_seconds > LONGEST_SETTLE_SECONDS:
            pytest.skip("the provider remembers no keys, or its lists take longer than a test may")
        before = len(self.harness.submissions())

        async def work(store: Store) -> PubResult:
            async with self._engine(store) as engine:
                with self.server(Behaviour.LOST_BEFORE):
                    dying = asyncio.create_task(engine.execute(self._call()))
                    await self.until(lambda: len(self.harness.submissions()) > before)
                    dying.cancel()
                    with suppress(asyncio.CancelledError, RunStoppedError):
                        await dying
            async with self._engine(store) as engine:
                [result] = await engine.execute(self._call(is_replayed=True))
            return result

        self._check(work, n_jobs=1)
        assert len(set(self.harness.submissions()[before:])) == 1

    def test_an_engine_finds_the_job_of_a_lost_answer(self) -> None:
        """The job was accepted, so it is found by its key, and is not sent again."""

        async def work(store: Store) -> PubResult:
            async with self._engine(store) as engine:
                with self.server(Behaviour.LOST_AFTER):
                    running = asyncio.create_task(engine.execute(self._call()))
                    await self.until(lambda: self._n_accepted(store) > 0)
                [result] = await running
            return result

        self._check(work, n_jobs=1)

    def test_an_engine_runs_only_the_lost_rows_again(self) -> None:
        """The rows that failed are bought in a second job; the others are kept."""

        async def work(store: Store) -> PubResult:
            async with self._engine(store) as engine:
                with self.server(Behaviour.PARTIAL):
                    running = asyncio.create_task(engine.execute(self._call()))
                    await self.until(lambda: self._n_accepted(store) > 0)
                [result] = await running
            return result

        self._check(work, n_jobs=2)

    def test_an_engine_buys_nothing_again_that_would_fail_again(self) -> None:
        """Rows that failed for good end the call with the provider's reason, and no second job is sent."""

        async def work(store: Store) -> None:
            async with self._engine(store) as engine:
                with self.server(Behaviour.PARTIAL_FINAL), pytest.raises(JobFailedError):
                    await engine.execute(self._call())

        store = self._new_store()
        asyncio.run(asyncio.wait_for(work(store), LONGEST_SECONDS))
        assert self._n_accepted(store) == 1

    def _check(self, work: Callable[[Store], Awaitable[PubResult]], *, n_jobs: int) -> None:
        """The results are right, and the provider accepted so many jobs of the run."""

        async def main() -> PubResult:
            return await asyncio.wait_for(work(store), LONGEST_SECONDS)

        store = self._new_store()
        result = asyncio.run(main())
        assert self._n_accepted(store) == n_jobs, "the provider has another number of jobs than were needed"
        gates = result.pub.circuit.gates
        shares = reference_probabilities(gates, result.pub.parameter_values, basis=np.full(2, Z, dtype=np.uint8))
        exact = reference_parities(shares, np.array([0b11], dtype=np.uint64))
        if self.is_ideal:
            assert (np.abs(result.values - exact) <= MAX_SIGMAS * np.maximum(result.stderr, SHOTS**-0.5)).all()
        assert (result.shots == SHOTS).all()

    def _new_store(self) -> MemoryStore:
        """A store in memory that has the run."""
        clock = WallClock()
        store = MemoryStore(clock)
        store.write([RunRecord(RUN, RUN, self.make_backend().name, SEED, "resume", clock.now())])
        return store

    @asynccontextmanager
    async def _engine(self, store: Store) -> AsyncIterator[Engine]:
        """A new engine of the run, with a backend of its own."""
        clock = WallClock()
        backend, recorder = self.make_backend(), Recorder(clock)
        engine = Engine(backend, store, clock=clock, policy=RunPolicy(), recorder=recorder, run_id=RUN)
        try:
            await engine.open()
            yield engine
        finally:
            await engine.close(patience_seconds=LONGEST_SECONDS)

    def _call(self, *, is_replayed: bool = False) -> Call:
        [block] = self.request_of(N_POINTS).blocks
        pub = Pub(free_circuit(block.gates), block.angles, observables=["Z0 Z1"], shots=SHOTS)
        return Call(RUN, SEED, Position(0, 0), as_batch(pub), None, is_replayed)

    def _n_accepted(self, store: Store) -> int:
        keys = {attempt.key for job in store.jobs(RUN) for attempt in store.attempts(job.job_id)}
        return sum(self.harness.accepted(key) for key in keys)


async def _terms_of(backend: RemoteBackend) -> Terms:
    return backend.terms
