"""`qorch.ports.backend.RemoteBackend` for the fake provider: the client, whose calls may fail on demand."""

import asyncio
import datetime
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import msgspec

from qorch.errors import (
    BusyError,
    CircuitError,
    CredentialsError,
    JobFailedError,
    JobMissingError,
    QorchError,
    UnknownOutcomeError,
    UnreachableError,
)
from qorch.model.circuit import GateList
from qorch.model.job import (
    Availability,
    JobRequest,
    JobResult,
    JobShape,
    JobStatus,
    Payload,
    RawResult,
    RemoteState,
    Usage,
)
from qorch.model.label import JobLabel
from qorch.model.measurement import Measurement
from qorch.model.usage import NO_USAGE, PENDING_USAGE, ReportedUsage, report_usage
from qorch.ports.backend import Capabilities
from qorch.ports.clock import Clock
from qorch.ports.policy import OnUnknown, Terms
from qorch.testing.fakes.answers import encode_answer, read_answer
from qorch.testing.fakes.provider import AcceptedJob, FakeProvider, Fault, Letter, Outcome

FREE = Capabilities(max_qubits=10, max_shots=10**6, max_rows_per_job=1000, slots=1, charges=False, mixes_shots=False)
PAID = replace(FREE, charges=True)
ESTIMATES = replace(FREE, samples=False, estimates=True)
HOLD = Terms("fake-account", OnUnknown.HOLD, settle_seconds=30.0, most_jobs=100)


@dataclass(eq=False)
class FakeRemote:
    """`qorch.ports.backend.RemoteBackend` for a FakeProvider.

    ``faults(call)`` says what happens to each call, None nothing. ``hang_seconds``: how long a client waits for an
    answer that does not come.
    """

    provider: FakeProvider
    clock: Clock
    terms: Terms = HOLD
    capabilities: Capabilities = FREE
    name: str = "fake:remote"
    rows_in_job: int = 8
    round_trip_seconds: float = 0.01
    hang_seconds: float = 0.0
    has_list: bool = True
    faults: Callable[[str], Fault | None] = lambda _: None

    @property
    def calls(self) -> "Counter[str]":
        """See RemoteBackend; of all clients of the provider."""
        return self.provider.calls

    def check(self, gates: GateList, measurement: Measurement) -> None:
        """See Backend."""
        if gates.n_qubits > self.capabilities.max_qubits:
            most = self.capabilities.max_qubits
            raise CircuitError(f"the circuit has {gates.n_qubits} qubits; {self.name} holds at most {most} qubits")
        if not measurement.is_exact and self.capabilities.estimates is not measurement.is_estimated:
            raise CircuitError(f"{self.name} has {'no counts' if self.capabilities.estimates else 'no estimates'}")

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

    async def prepare(self, circuits: Sequence[GateList]) -> None:
        """See Backend."""

    def encode(self, request: JobRequest, *, key: str) -> Payload:
        """See Backend."""
        for block in request.blocks:
            self.check(block.gates, block.measurement)
        label = request.label or JobLabel()
        content = msgspec.json.encode([key, request.job_id, label.rows, label.digest, label.context])
        shots = sum(block.n_rows * (block.shots or 0) for block in request.blocks)
        return Payload(request, key, content, f"qorch {key[:16]}", Usage(request.n_rows, shots))

    async def submit(self, payload: Payload) -> str:
        """See RemoteBackend."""
        self.provider.calls["submit"] += 1
        sent_at = self.provider.now()
        fault = self.faults("submit")
        arrives_at = sent_at + self.round_trip_seconds / 2
        letter = Letter(payload.key, payload.request, sent_at, arrives_at, fault, payload.digest)
        self.provider.post(letter)
        await asyncio.sleep(self.round_trip_seconds)
        self.provider.jobs  # noqa: B018 - what has arrived is opened
        if letter.refusal is not None:
            letter.answer(Outcome.REFUSED, self.provider.now())
            raise letter.refusal
        if letter.provider_id is None or fault is Fault.LOST_AFTER:
            await asyncio.sleep(self.hang_seconds)
            raise UnknownOutcomeError("the connection broke")
        letter.answer(Outcome.ACCEPTED, self.provider.now())
        return letter.provider_id

    async def poll(self, provider_ids: Sequence[str]) -> dict[str, JobStatus]:
        """See RemoteBackend."""
        await self._ask("poll")
        jobs, now = self.provider.jobs, self.provider.now()
        known = [jobs[name] for name in provider_ids if name in jobs]
        return {job.provider_id: self._status(job) for job in known if job.seen_at <= now}

    async def fetch_usage(self, provider_ids: Collection[str], *, since: datetime.datetime) -> dict[str, ReportedUsage]:
        """See ReportsUsage."""
        await self._ask("usage")
        jobs = self.provider.jobs
        return {name: self._usage(jobs[name]) for name in provider_ids if name in jobs}

    async def find(self, keys: Collection[str], *, since: datetime.datetime) -> dict[str, str]:
        """See RemoteBackend; the times of jobs are by the provider's clock, ``since`` by the client's."""
        await self._ask("find")
        age = (self.provider.clock.now() - since).total_seconds()
        oldest = self.provider.now() - age
        return {
            job.key: job.provider_id for job in self.provider.visible() if job.key in keys and job.accepted_at >= oldest
        }

    async def list_keys(self, *, since: datetime.datetime, known: Collection[str]) -> dict[str, str | None] | None:
        """See RemoteBackend."""
        await self._ask("list")
        age = (self.provider.clock.now() - since).total_seconds()
        oldest = self.provider.now() - age
        seen: dict[str, str | None] = {}
        for job in sorted(self.provider.visible(), key=lambda job: -job.accepted_at):
            if job.accepted_at < oldest or job.provider_id in known:
                break
            seen[job.key] = None if job.request.label is None else job.request.label.job_id
        return seen if self.has_list else None

    async def fetch(self, provider_id: str) -> RawResult:
        """See Backend."""
        await self._ask("fetch")
        job = self.provider.jobs.get(provider_id)
        if job is None or self.provider.is_forgetful(self.provider.now()):
            raise JobMissingError(f"the provider has no job {provider_id}")
        if job.is_cancelled:
            raise JobFailedError(f"job {provider_id} was cancelled")
        if job.failure is not None:
            raise job.failure
        job.fetches += 1
        answer = encode_answer(job.request, lost=job.lost)
        return RawResult(answer[: len(answer) // 2] if job.fetches <= job.spoiled else answer)

    async def availability(self) -> Availability:
        """See RemoteBackend."""
        await self._ask("availability")
        is_open = self.provider.is_open(self.provider.now())
        return Availability(is_open, "" if is_open else "calibration")

    async def cancel(self, provider_id: str) -> None:
        """See RemoteBackend."""
        job = self.provider.jobs.get(provider_id)
        if job is not None and job.done_at > self.provider.now():
            job.is_cancelled = True

    def read(self, shape: JobShape, raw: RawResult) -> JobResult:
        """See RemoteBackend."""
        return read_answer(shape, raw.content)

    async def _ask(self, name: str) -> None:
        """A call without effect: whatever happens to it, it may be repeated."""
        self.provider.calls[name] += 1
        await asyncio.sleep(self.round_trip_seconds / 2)
        error = self._trouble(self.faults(name))
        if error is not None:
            raise error
        await asyncio.sleep(self.round_trip_seconds / 2)

    def _trouble(self, fault: Fault | None) -> QorchError | None:
        now = self.provider.now()
        if not self.provider.is_reachable(now):
            return UnreachableError(f"{self.name} cannot be reached")
        if not self.provider.has_key(now):
            return CredentialsError(f"{self.name} refused the key; check FAKE_API_KEY")
        if fault is Fault.LIMITED:
            return BusyError("too many requests", retry_after_seconds=self.provider.wait_seconds())
        return None if fault is None else BusyError(f"{self.name} gave no answer")

    def _usage(self, job: AcceptedJob) -> ReportedUsage:
        if self.provider.charge_seconds is None:
            return NO_USAGE
        is_counted = job.is_cancelled or job.counted_at <= self.provider.now()
        return report_usage(device_seconds=job.charged_seconds) if is_counted else PENDING_USAGE

    def _status(self, job: AcceptedJob) -> JobStatus:
        if job.is_cancelled:
            state = RemoteState.CANCELLED
        elif job.done_at > self.provider.now():
            is_running = job.started_at is not None and job.started_at <= self.provider.now()
            state = RemoteState.RUNNING if is_running else RemoteState.QUEUED
        else:
            state = RemoteState.DONE if job.failure is None else RemoteState.FAILED
        shots = {block.shots for block in job.request.blocks}
        label = replace(job.request.label or JobLabel(), n_rows=job.request.n_rows, shots=shots.pop())
        position, is_least = self.provider.place_of(job) if state is RemoteState.QUEUED else (None, False)
        return JobStatus(
            state,
            submitted_at=self.provider.date(job.submitted_at),
            ended_at=None if job.done_at > self.provider.now() else self.provider.date(job.done_at),
            key=job.key,
            label=label,
            queue_position=position,
            queue_position_is_least=is_least,
            usage=self._usage(job),
        )
