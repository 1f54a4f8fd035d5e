"""A provider and a backend for it, without a network: accepts late, fails on demand, and counts what it accepted."""

import asyncio
import datetime
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from qorch.errors import BusyError, CircuitError, JobFailedError, RejectedError, UnknownOutcomeError, UsageError
from qorch.model.arrays import FloatArray
from qorch.model.circuit import GateList
from qorch.model.job import (
    Availability,
    JobRequest,
    JobResult,
    JobShape,
    JobStatus,
    RawResult,
    RemoteState,
)
from qorch.model.measurement import Measurement
from qorch.model.pub import Pub
from qorch.policy import OnUnknown, Terms
from qorch.ports import Capabilities, Clock
from qorch.testing.fake_backend import decode_blocks, encode_blocks

FREE = Capabilities(max_qubits=10, max_shots=10**6, max_rows_per_job=1000, slots=1, charges=False, mixes_shots=False)
HOLD = Terms("fake-account", OnUnknown.HOLD, settle_seconds=30.0, most_jobs=100)


class Fault(StrEnum):
    """What may happen to one call. LOST_BEFORE and LOST_AFTER: no answer, the job not accepted, or accepted."""

    BUSY = "busy"
    LOST_BEFORE = "lost before"
    LOST_AFTER = "lost after"
    REJECTED = "rejected"


@dataclass
class AcceptedJob:
    """One job as the provider knows it; ``seen_at``: from when its lists show it."""

    provider_id: str
    key: str
    request: JobRequest
    accepted_at: float
    seen_at: float
    done_at: float
    is_cancelled: bool = False
    failure: JobFailedError | None = None


@dataclass
class FakeProvider:
    """The server's side, which outlives every client. ``calls`` counts the calls of all clients by name.

    ``accept_seconds``: from the end of a call to acceptance, drawn per job; ``run_seconds``: from there to its end.
    """

    clock: Clock
    accept_seconds: Callable[[], float] = lambda: 0.0
    run_seconds: Callable[[], float] = lambda: 1.0
    failures: Callable[[], JobFailedError | None] = lambda: None
    is_up: bool = True
    jobs: dict[str, AcceptedJob] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    submitted_at: list[float] = field(default_factory=list)

    def now(self) -> float:
        """Seconds by the monotonic clock, which is the provider's, too."""
        return self.clock.monotonic_ns() / 1e9

    def accept(self, request: JobRequest, *, key: str) -> str:
        """Accept a job: it exists from now on, whatever becomes of the answer."""
        provider_id = f"job-{len(self.jobs) + 1}"
        seen_at = self.now() + self.accept_seconds()
        self.jobs[provider_id] = AcceptedJob(
            provider_id, key, request, self.now(), seen_at, seen_at + self.run_seconds(), failure=self.failures()
        )
        return provider_id

    def visible(self) -> list[AcceptedJob]:
        """The jobs that lists show now."""
        return [job for job in self.jobs.values() if job.seen_at <= self.now()]

    def accepted_twice(self) -> dict[str, int]:
        """Jobs per key, of the keys that have more than one: what must never be."""
        counts = Counter(job.key for job in self.jobs.values())
        return {key: count for key, count in counts.items() if count > 1}


@dataclass(eq=False)
class FakeRemote:
    """`qorch.ports.RemoteBackend` for a FakeProvider. ``faults(call)`` says what happens to each call, None nothing."""

    provider: FakeProvider
    clock: Clock
    terms: Terms = HOLD
    capabilities: Capabilities = FREE
    name: str = "fake:remote"
    rows_in_job: int = 8
    round_trip_seconds: float = 0.01
    faults: Callable[[str], Fault | None] = lambda _: None

    def check(self, gates: GateList, measurement: Measurement) -> None:
        """See Backend."""
        if gates.n_qubits > self.capabilities.max_qubits:
            raise CircuitError(f"{self.name} holds at most {self.capabilities.max_qubits} qubits")

    def rows_per_job(self, gates: GateList, measurement: Measurement, *, shots: int | None) -> int:
        """See Backend."""
        return self.rows_in_job

    def context(self, gates: GateList) -> bytes:
        """See Backend."""
        return hashlib.sha256(self.name.encode()).digest()

    async def open(self) -> None:
        """See Backend."""

    async def close(self) -> None:
        """See Backend."""

    async def submit(self, request: JobRequest, *, key: str) -> str:
        """See Backend."""
        self.provider.submitted_at.append(self.provider.now())
        fault = await self._call("submit")
        if fault is Fault.REJECTED:
            raise RejectedError(f"{self.name} refused job {request.job_id}")
        if fault is Fault.LOST_BEFORE:
            raise UnknownOutcomeError("the connection broke")
        provider_id = self.provider.accept(request, key=key)
        if fault is Fault.LOST_AFTER:
            raise UnknownOutcomeError("the connection broke")
        await asyncio.sleep(self.round_trip_seconds / 2)
        return provider_id

    async def poll(self, provider_ids: Sequence[str]) -> dict[str, JobStatus]:
        """See RemoteBackend."""
        await self._ask("poll")
        visible = {job.provider_id: job for job in self.provider.visible()}
        return {name: self._status(visible[name]) for name in provider_ids if name in visible}

    async def find(self, keys: Collection[str], *, since: datetime.datetime) -> dict[str, str]:
        """See RemoteBackend."""
        await self._ask("find")
        return {job.key: job.provider_id for job in self.provider.visible() if job.key in keys}

    async def fetch(self, provider_id: str) -> RawResult:
        """See Backend."""
        await self._ask("fetch")
        job = self.provider.jobs[provider_id]
        if job.failure is not None:
            raise job.failure
        return RawResult(encode_blocks(job.request))

    async def availability(self) -> Availability:
        """See RemoteBackend."""
        await self._ask("availability")
        return Availability(is_open=True)

    async def cancel(self, provider_id: str) -> None:
        """See Backend."""
        self.provider.jobs[provider_id].is_cancelled = True

    def decode(self, request: JobRequest, raw: RawResult) -> JobResult:
        """See Backend."""
        return self.read(request.shape, raw)

    def read(self, shape: JobShape, raw: RawResult) -> JobResult:
        """See RemoteBackend."""
        return JobResult(decode_blocks(shape, raw))

    def exact_vjp(self, pub: Pub, cotangents: FloatArray) -> FloatArray:
        """See Backend."""
        raise UsageError(f"{self.name} has no exact gradients")

    async def _call(self, name: str) -> Fault | None:
        self.provider.calls[name] += 1
        await asyncio.sleep(self.round_trip_seconds / 2)
        if not self.provider.is_up:
            raise BusyError(f"{self.name} cannot be reached")
        fault = self.faults(name)
        if fault is Fault.BUSY:
            raise BusyError(f"{self.name} is busy")
        return fault

    async def _ask(self, name: str) -> None:
        """A call without effect: whatever happens to it, it may be repeated."""
        if await self._call(name) is not None:
            raise BusyError(f"{self.name} gave no answer")
        await asyncio.sleep(self.round_trip_seconds / 2)

    def _status(self, job: AcceptedJob) -> JobStatus:
        if job.is_cancelled:
            return JobStatus(RemoteState.CANCELLED)
        if job.done_at > self.provider.now():
            return JobStatus(RemoteState.QUEUED)
        return JobStatus(RemoteState.DONE if job.failure is None else RemoteState.FAILED)
