"""The shipped conformance suite over the ionq backend, against the emulator, which shares no code with it."""

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from qorch.errors import InvalidResultError
from qorch.model.circuit import build_gate_list
from qorch.model.gates import GATES_BY_NAME
from qorch.model.job import JobRequest, RawResult, RemoteState
from qorch.ports.backend import Backend, RemoteBackend
from qorch.ports.clock import WallClock
from qorch.testing.conformance.backend import (
    BackendConformance,
    angles_for,
    block_of,
    circuit_of_gate,
    counts_of,
    gate_triple,
    rows_of,
    run_job,
)
from qorch_providers.emulators.ionq import RunningEmulator, Settings, start
from qorch_providers.ionq import IonqBackend, open_backend


class Patient:
    """An ionq backend whose fetch waits for the end of the job, as the engine would."""

    def __init__(self, inner: RemoteBackend) -> None:
        """Everything else is the backend's own."""
        self.inner = inner

    def __getattr__(self, name: str) -> object:
        """See the class."""
        return getattr(self.inner, name)

    async def submit(self, request: JobRequest, *, key: str) -> str:
        """With a key as the engine makes them."""
        return await self.inner.submit(request, key=hashlib.sha256(key.encode()).hexdigest())

    async def fetch(self, provider_id: str) -> RawResult:
        """Poll until the job is over."""
        while True:
            status = (await self.inner.poll([provider_id]))[provider_id]
            if status.state not in (RemoteState.QUEUED, RemoteState.RUNNING):
                return await self.inner.fetch(provider_id)
            await asyncio.sleep(0.01)


class IonqConformance(BackendConformance):
    """Shared by all targets; every test has an emulator of its own."""

    options = "simulator"
    emulator: RunningEmulator

    @pytest.fixture(autouse=True)
    def _emulate(self, request: pytest.FixtureRequest) -> Iterator[None]:
        # A job that is to be cancelled must not be over before.
        queue = "0.5" if "cancelled" in request.node.name else "0"
        with start(Settings(queue=queue)) as self.emulator:
            yield

    def make_backend(self) -> Backend:
        """The options of the class against its emulator."""
        version = "v0.3" if "v0.3" in self.options else "v0.4"
        url = self.emulator.url.replace("v0.4", version)
        environment = {"IONQ_API_URL": url, "IONQ_API_KEY": "dummy"}
        return Patient(open_backend(self.options, clock=WallClock(), environment=environment))  # type: ignore[return-value]

    def test_a_top_up_continues_the_stream(self) -> None:
        """As in the suite, but in two jobs: a job of IonQ has one number of shots."""
        gates = circuit_of_gate(GATES_BY_NAME["cry"])
        angles = angles_for(gates, 3)

        async def work(backend: Backend) -> None:
            whole = counts_of((await run_job(backend, block_of(gates, angles, shots=1_024))).blocks[0])
            for split in (512, 333):
                first = block_of(gates, angles, shots=split)
                rest = block_of(gates, angles, shots=1_024 - split, shot_offset=split)
                parts = [counts_of((await run_job(backend, part)).blocks[0]).dense() for part in (first, rest)]
                assert np.array_equal(parts[0] + parts[1], whole.dense())

        if not self.continues_streams:
            pytest.skip("the target's samples have no seed")
        self.drive(work)


class TestSimulator(IonqConformance):
    """The ideal simulator with QIS gates: exact probabilities on the wire, shots drawn by the adapter."""

    def test_damaged_answers_are_refused(self) -> None:
        """As in the suite; but shots are no property of this target's answers, so another number is no damage."""
        gates = circuit_of_gate(GATES_BY_NAME["x"])
        block = block_of(gates, angles_for(gates, 2), shots=50)

        async def work(backend: Backend) -> None:
            request = JobRequest("sound", (block,))
            raw = await backend.fetch(await backend.submit(request, key="1"))
            assert backend.decode(request, raw).lost == ()
            with pytest.raises(InvalidResultError):
                backend.decode(request, RawResult(raw.content[:-8]))
            with pytest.raises(InvalidResultError):
                backend.decode(JobRequest("sound", (rows_of(block, [0]),)), raw)

        self.drive(work)


class TestNativeGates(TestSimulator):
    """The same through GPi, GPi2 and ZZ."""

    options = "simulator,gateset=native,two_qubit=zz"


class TestOldVersion(TestSimulator):
    """The same in version 0.3 of the protocol."""

    options = "simulator,version=v0.3"


class TestMachine(IonqConformance):
    """A machine: noisy samples of the provider's own, in a job that was checked against its limits."""

    options = "qpu.forte-1"
    is_ideal = False
    is_seeded = False
    continues_streams = False

    def test_limits_and_context_are_sound(self) -> None:
        """The context waits for the calibration, and then is the same for whoever opens the machine."""
        gates = build_gate_list(2, [gate_triple("h", (0,))])

        async def context(backend: Backend) -> bytes:
            return backend.context(gates)

        first, second = self.drive(context), self.drive(context)
        assert len(first) == 32
        assert first == second


def test_the_backend_is_what_its_tests_open() -> None:
    """Patience is the only thing that the tests add."""
    environment = {"IONQ_API_KEY": "dummy", "IONQ_API_URL": "http://127.0.0.1:1"}
    backend = open_backend("simulator", clock=WallClock(), environment=environment)
    assert isinstance(backend, IonqBackend)
    assert isinstance(backend, RemoteBackend)
    assert replace(backend.capabilities) == backend.capabilities
