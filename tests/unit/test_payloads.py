"""What jobs send is encoded before the first of a call is sent; only so much of it stays in memory until then."""

import asyncio
import gc
import itertools
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from simulation.harness import Sandbox, pub_of

from qorch.engine.engine import Call, Engine
from qorch.engine.recorder import Recorder
from qorch.engine.remote import payloads
from qorch.errors import RejectedError
from qorch.model.identity import Position
from qorch.model.job import JobRequest, JobState, Payload
from qorch.model.pub import as_batch
from qorch.ports.clock import WallClock
from qorch.ports.policy import RunPolicy
from qorch.ports.records import RunRecord
from qorch.testing.fakes.provider import FakeProvider, Fault
from qorch.testing.fakes.remote import FakeRemote
from qorch.testing.fakes.store import MemoryStore

JOB_BYTES = 1000
KEPT_JOBS = 4


@dataclass(eq=False)
class LargeJobs(FakeRemote):
    """A way to the provider on which each job is large; counts the bytes of all payloads that are in memory."""

    alive: "weakref.WeakSet[Payload]" = field(default_factory=weakref.WeakSet)
    threads: list[threading.Thread] = field(default_factory=list)
    under_way: int = 0
    most_waiting: int = 0
    salt: "itertools.cycle[str]" = field(default_factory=lambda: itertools.cycle("."))

    def encode(self, request: JobRequest, *, key: str) -> Payload:
        """See Backend."""
        self.threads.append(threading.current_thread())
        payload = super().encode(request, key=key)
        content = payload.content + next(self.salt).encode()
        payload = replace(payload, content=content.ljust(JOB_BYTES))
        self.alive.add(payload)
        return payload

    async def submit(self, payload: Payload) -> str:
        """See RemoteBackend."""
        self.under_way += 1
        self.look()
        try:
            return await super().submit(payload)
        finally:
            self.under_way -= 1

    def look(self) -> int:
        """The bytes of the payloads that are in memory now and not on their way."""
        for letter in self.provider.letters:
            if letter.refusal is not None:  # the fake keeps it, and with it the frames that it went through
                letter.refusal.__traceback__ = None
        gc.collect()
        waiting = sum(len(payload.content) for payload in self.alive) - self.under_way * JOB_BYTES
        self.most_waiting = max(self.most_waiting, waiting)
        return waiting


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """One world with room for four payloads; no task may be left in it."""
    monkeypatch.setattr(payloads, "MOST_BYTES", KEPT_JOBS * JOB_BYTES + JOB_BYTES // 2)
    made = Sandbox()
    gc.freeze()  # so that collecting garbage is quick
    yield made
    gc.unfreeze()
    made.close()


def large_jobs(sandbox: Sandbox, *faults: Fault, salt: str = ".") -> LargeJobs:
    """One row in a job; submissions meet these faults."""
    remote = LargeJobs(sandbox.provider, sandbox.clock, rows_in_job=1, salt=itertools.cycle(salt))
    met = list(faults)
    remote.faults = lambda call: met.pop(0) if call == "submit" and met else None
    return remote


@pytest.mark.parametrize("faults", [(), (Fault.BUSY, Fault.LOST_AFTER, Fault.BUSY)])
def test_only_so_much_waits_in_memory(sandbox: Sandbox, faults: tuple[Fault, ...]) -> None:
    """Of 12 encoded jobs the first four are kept, the others are encoded again; nothing once all are accepted."""
    remote = large_jobs(sandbox, *faults)
    sandbox.provider.run_seconds = lambda: 5.0
    after: list[int] = []

    async def work() -> None:
        engine = sandbox.engine(remote)
        await engine.open()
        kept = remote.fetch

        async def fetch(provider_id: str) -> object:
            after.append(remote.look())
            return await kept(provider_id)

        remote.fetch = fetch  # type: ignore[method-assign, assignment]
        await sandbox.execute(engine, 12)

    sandbox.run(work())
    assert 0 < remote.most_waiting <= KEPT_JOBS * JOB_BYTES
    assert after[-1] == 0
    assert len(remote.threads) >= 12 + 8
    sent = {(letter.key, letter.digest) for letter in sandbox.provider.letters}
    assert len(sent) == len(sandbox.provider.jobs) == 12


def test_jobs_are_encoded_again_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too large to be kept is never encoded in the event loop a second time."""
    monkeypatch.setattr(payloads, "MOST_BYTES", 0)
    clock = WallClock()
    remote = LargeJobs(FakeProvider(clock), clock, rows_in_job=1, round_trip_seconds=0.001)
    store = MemoryStore(clock)
    store.write([RunRecord("r", "r", remote.name, 1, "resume", clock.now())])

    async def work() -> None:
        engine = Engine(remote, store, clock=clock, policy=RunPolicy(), recorder=Recorder(clock), run_id="r")
        await engine.open()
        try:
            await engine.execute(Call("r", 1, Position(0, 0), as_batch(pub_of(2)), None))
        finally:
            await engine.close()

    asyncio.run(work())
    in_loop = [thread is threading.main_thread() for thread in remote.threads]
    assert in_loop == [True, True, False, False]


def test_what_is_encoded_otherwise_is_not_sent(sandbox: Sandbox) -> None:
    """An adapter that makes other bytes of the same job is found out before they leave; the job is cancelled."""
    remote = large_jobs(sandbox, salt="aaaaab")

    async def work() -> None:
        engine = sandbox.engine(remote)
        await engine.open()
        with pytest.raises(RejectedError, match="must encode a job the same way every time"):
            await sandbox.execute(engine, 5)
        await engine.close()

    sandbox.run(work())
    assert len(sandbox.provider.letters) <= KEPT_JOBS
    assert sandbox.store.jobs("r")[-1].state is JobState.CANCELLED
