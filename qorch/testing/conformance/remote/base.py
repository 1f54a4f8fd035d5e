"""What the checks of remote backends share: a job from its payload to its results, and the server's switches."""

import asyncio
import datetime
import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pytest

from qorch.errors import BusyError
from qorch.model.counts import concatenate_counts
from qorch.model.job import JobRequest, JobResult, JobStatus, Payload
from qorch.model.label import JobLabel, format_rows
from qorch.model.measurement import BlockResult, RowBlock
from qorch.model.verification import verify_result
from qorch.ports.backend import Backend, RemoteBackend
from qorch.testing.conformance.backend import BackendConformance, counts_of, entangled_pair, values_of
from qorch.testing.conformance.remote.harness import Behaviour, ProviderHarness

T = TypeVar("T")
LONGEST_SECONDS = 60.0
"""No job of the suite takes longer at a loopback server."""
AT_ONCE = 16
"""Jobs at a time, if a check has more rows than fit into one."""
WAIT_SECONDS = 0.01
"""Between two looks at a job."""
SHOTS = 1_000


@dataclass(frozen=True, eq=False)
class SentJob:
    """A job that the provider has accepted."""

    payload: Payload
    provider_id: str

    @property
    def key(self) -> str:
        """Its idempotency key."""
        return self.payload.key


class RemoteChecks(BackendConformance):
    """Executes the shared checks at a provider; the harness comes from the fixture ``provider`` of the subclass."""

    harness: ProviderHarness
    most_rows: int | None = None
    """Rows that fit into one job, as an open backend says; the class learns it once. None is any number."""

    @pytest.fixture(autouse=True)
    def _begin_sound(self, provider: ProviderHarness) -> Iterator[None]:
        self.harness = provider
        provider.behave()
        if self.most_rows is None:
            type(self).most_rows = self.ask(_most_rows_of)
        yield
        provider.behave()

    def make_backend(self) -> RemoteBackend:
        """A backend for the harness's server."""
        return self.harness.make_backend()

    async def execute(self, backend: Backend, request: JobRequest) -> JobResult:
        """Submit the job, or several if it has too many rows; poll until all are over, fetch, read, verify and join."""
        assert isinstance(backend, RemoteBackend)
        if self.most_rows is None or request.n_rows <= self.most_rows:
            return await self.result_of(backend, await self.send(backend, request))
        blocks = [await self._execute_in_parts(backend, block, self.most_rows) for block in request.blocks]
        return JobResult(tuple(blocks))

    async def _execute_in_parts(self, backend: RemoteBackend, block: RowBlock, most_rows: int) -> BlockResult:
        gate = asyncio.Semaphore(AT_ONCE)

        async def execute(first: int) -> BlockResult:
            part = block.take(slice(first, first + most_rows))
            async with gate:
                sent = await self.send(backend, JobRequest(self._new_job_id(), (part,)))
                result = await self.result_of(backend, sent)
            assert not result.lost
            return result.blocks[0]

        return _join(await asyncio.gather(*(execute(first) for first in range(0, block.n_rows, most_rows))))

    def ask(self, work: Callable[[RemoteBackend], Awaitable[T]]) -> T:
        """Run ``work`` on a fresh, open backend in an event loop of its own."""

        async def narrow(backend: Backend) -> T:
            assert isinstance(backend, RemoteBackend)
            return await asyncio.wait_for(work(backend), 2 * LONGEST_SECONDS)

        return self.drive(narrow)

    @contextmanager
    def server(self, *behaviours: Behaviour) -> Iterator[None]:
        """Let the server behave like this for a while; the test is skipped if it cannot."""
        missing = set(behaviours) & set(self.harness.lacks)
        if missing:
            pytest.skip(f"this provider, or its server, has no '{missing.pop()}'")
        self.harness.behave(*behaviours)
        yield
        self.harness.behave()

    def request_of(self, n_rows: int = 4) -> JobRequest:
        """A labelled job of rows of two entangled qubits that are easily told apart; as many as fit."""
        n_rows = min(n_rows, self.most_rows or n_rows)
        gates = entangled_pair()
        angles = np.linspace(0.2, 2.9, n_rows)[:, np.newaxis]
        job_id = self._new_job_id()
        label = JobLabel(job_id, format_rows([(0, np.arange(n_rows))]), "1a" * 32, "2b" * 32)
        return JobRequest(job_id, (self.block(gates, angles, shots=SHOTS),), label)

    async def payload_of(self, backend: RemoteBackend, request: JobRequest | None = None) -> Payload:
        """A job as it would be sent, under a key that no other job has."""
        request = request or self.request_of()
        await backend.prepare([block.gates for block in request.blocks])
        return backend.encode(request, key=secrets.token_hex(32))

    async def send(self, backend: RemoteBackend, request: JobRequest | None = None) -> SentJob:
        """Submit a job once."""
        payload = await self.payload_of(backend, request)
        return SentJob(payload, await backend.submit(payload))

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Until that is so; fails after a minute."""
        async with asyncio.timeout(LONGEST_SECONDS):
            while not is_so():  # noqa: ASYNC110 - it happens in a server, which has no event for it
                await asyncio.sleep(WAIT_SECONDS)

    async def wait(self, backend: RemoteBackend, provider_id: str) -> JobStatus:
        """The status of a job that is over."""
        async with asyncio.timeout(LONGEST_SECONDS):
            while True:
                status = (await backend.poll([provider_id])).get(provider_id)
                if status is not None and status.state.is_over:
                    return status
                await asyncio.sleep(WAIT_SECONDS)

    async def result_of(self, backend: RemoteBackend, sent: SentJob) -> JobResult:
        """The verified results of a job, once it is over; asked for again while the provider is busy."""
        await self.wait(backend, sent.provider_id)
        async with asyncio.timeout(LONGEST_SECONDS):
            while True:
                try:
                    return await self.read(backend, sent)
                except BusyError:
                    await asyncio.sleep(WAIT_SECONDS)

    async def read(self, backend: RemoteBackend, sent: SentJob) -> JobResult:
        """Fetch, read and verify a job that is over, once."""
        raw = await backend.fetch(sent.provider_id)
        shape = sent.payload.request.shape
        return verify_result(shape, backend.read(shape, raw))


async def _most_rows_of(backend: RemoteBackend) -> int:
    return backend.capabilities.max_rows_per_job


def _join(parts: Sequence[BlockResult]) -> BlockResult:
    """The rows of all parts of a block, one part after the other."""
    if parts[0].counts is not None:
        return BlockResult(counts=concatenate_counts([counts_of(part) for part in parts]))
    values = np.concatenate([values_of(part) for part in parts])
    variances = [part.variances for part in parts if part.variances is not None]
    return BlockResult(values=values, variances=np.concatenate(variances) if variances else None)


def long_ago() -> datetime.datetime:
    """Before any job of a test was submitted."""
    return datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=10)
