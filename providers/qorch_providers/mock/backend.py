"""The backend over the port: the mock provider's client, which waits as long as the profile says."""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import NoReturn

from qorch.errors import (
    BusyError,
    JobFailedError,
    JobMissingError,
    UnavailableError,
    UnknownOutcomeError,
    UsageError,
)
from qorch.model.backend_name import MOCK
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
from qorch.model.profiles.draws import CallFault, DrawnCall
from qorch.model.profiles.profile import Profile
from qorch.model.usage import ReportedUsage
from qorch.ports.backend import Capabilities
from qorch.ports.clock import Clock, MeasuringClock, WallClock
from qorch.ports.policy import OnUnknown, Rate, Terms
from qorch_providers.mock.answers import kept_request, pack_answer, unpack_answer
from qorch_providers.mock.options import Options, parse_options
from qorch_providers.mock.planning import MockPlanner, find_planner
from qorch_providers.mock.provider import FAILURE, MockProvider, subject_of
from qorch_providers.mock.shipped import choose_profile
from qorch_providers.mock.simulation import MadeUpSimulation, Simulation, open_simulation
from qorch_providers.workers.requests import KnownGates, encode_request

REVISION = "1"
"""Of what a mock answers: raise it with any change that changes a result."""
ACCOUNT = "mock"


def open_backend(
    options: str, *, clock: Clock, workers: int | None = None, environment: Mapping[str, str] | None = None
) -> "MockBackend":
    """Open ``mock:<kind>.<target>[,options]``, such as ``mock:ionq.qpu.forte-1,profile=lab.toml``, or ``mock:cloud``.

    On the real clock, all mocks of one name and seed in a process have one provider, as real ones would, and so on one
    MeasuringClock; on any other, each has its own. ``workers``: threads of the simulation. Raises UnknownNameError for
    an unknown backend or option, MissingPackageError if a package of the mocked backend is not installed, UsageError
    for one that cannot be mocked, ConfigError for a wrong profile.
    """
    parsed = parse_options(options)
    profile = choose_profile(parsed)
    return MockBackend(
        planner=MockPlanner(f"{MOCK}:{options}", find_planner(parsed, profile)),
        provider=_find_provider(parsed.mocked or f"{MOCK}:{options}", profile, parsed.seed, clock),
        simulation=open_simulation(parsed.noise, clock=clock, workers=workers, environment=environment),
        clock=clock,
        options=parsed,
    )


def _find_provider(stem: str, profile: Profile, seed: int, clock: Clock) -> MockProvider:
    if isinstance(clock, WallClock):
        return _shared(stem, profile, seed, None)
    return (
        _shared(stem, profile, seed, clock) if isinstance(clock, MeasuringClock) else MockProvider(profile, clock, seed)
    )


@cache
def _shared(_stem: str, profile: Profile, seed: int, clock: Clock | None) -> MockProvider:
    """The one provider of this process for these mocks: a run that is resumed finds its jobs there. None: real time."""
    return MockProvider(profile, clock or WallClock(), seed)


@dataclass(eq=False)
class MockBackend:
    """See ``qorch.ports.backend.RemoteBackend``, ``Metered``, ``ReportsUsage`` and ``Mocks``."""

    planner: MockPlanner
    provider: MockProvider
    simulation: Simulation
    clock: Clock
    options: Options

    @property
    def name(self) -> str:
        """See Backend."""
        return self.planner.name

    @property
    def profile(self) -> Profile:
        """See Mocks."""
        return self.provider.profile

    def without_faults(self) -> "MockBackend":
        """See Mocks."""
        mocked, profile = self.options.mocked or self.name, self.profile.without_faults()
        return replace(self, provider=_find_provider(mocked, profile, self.options.seed, self.clock))

    def future(self, *, clock: Clock, seed: int) -> "MockBackend":
        """See Mocks."""
        provider = MockProvider(self.profile, clock, seed)
        return MockBackend(
            self.planner, provider, MadeUpSimulation(self.simulation.backend, clock), clock, self.options
        )

    @property
    def capabilities(self) -> Capabilities:
        """Those of the mocked backend, as far as they can be simulated here."""
        limits, own = self.planner.capabilities, self.simulation.capabilities
        return replace(
            limits,
            max_qubits=min(limits.max_qubits, own.max_qubits),
            max_shots=min(limits.max_shots, own.max_shots),
            exact=limits.exact and own.exact,
        )

    @property
    def terms(self) -> Terms:
        """See RemoteBackend: as the profile says of the mocked provider, in an account that nobody pays for."""
        facts = self.profile.facts
        return Terms(
            account=ACCOUNT,
            on_unknown=OnUnknown.HOLD if self.capabilities.charges else OnUnknown.RESUBMIT,
            settle_seconds=facts.settle_seconds,
            most_jobs=self.options.jobs or facts.most_jobs,
            rate=Rate(facts.rate_calls, facts.rate_seconds) if facts.rate_calls else None,
            remembers_keys_seconds=facts.remembers_keys_seconds,
            paced_with=f"{ACCOUNT}/{self.options.mocked or self.name}",
        )

    @property
    def calls(self) -> "Counter[str]":
        """See RemoteBackend; of all mocks of the provider."""
        return self.provider.calls

    async def open(self) -> None:
        """See Backend."""
        await self.simulation.open()

    async def close(self) -> None:
        """See Backend. The jobs stay at the provider."""
        await self.simulation.close()

    async def prepare(self, circuits: Sequence[GateList]) -> None:
        """See Backend."""

    def check(self, gates: GateList, measurement: Measurement) -> None:
        """See Backend: what the mocked backend would refuse, and what cannot be simulated here."""
        self.planner.check(gates, measurement)
        self.simulation.check(gates, measurement)

    def rows_per_job(self, gates: GateList, measurement: Measurement, *, shots: int | None) -> int:
        """See Backend."""
        return self.planner.rows_per_job(gates, measurement, shots=shots)

    def context(self, gates: GateList) -> bytes:
        """Of what simulates, and of what is mocked; calibrations change nothing."""
        head = f"qorch-mock/{REVISION}/{self.options.mocked or self.name}/".encode()
        return hashlib.sha256(head + self.simulation.context(gates)).digest()

    def measure(self, request: JobRequest) -> Usage | None:
        """See Metered."""
        return self.planner.measure(request)

    def encode(self, request: JobRequest, *, key: str) -> Payload:
        """See Backend. The content is the whole job, its key and its label."""
        limits = self.capabilities
        for block in request.blocks:
            self.check(block.gates, block.measurement)
            if block.shots is not None and block.shots > limits.max_shots:
                raise UsageError(
                    f"job {request.job_id} asks for {block.shots} shots; {self.name} takes 1 to {limits.max_shots}"
                )
        if request.n_rows > limits.max_rows_per_job:
            raise UsageError(
                f"job {request.job_id} has {request.n_rows} rows; {self.name} takes at most {limits.max_rows_per_job}"
            )
        label = request.label or JobLabel()
        head = "\n".join([key, *(str(each) for each in (label.job_id, label.rows, label.digest, label.context)), ""])
        content = b"".join([head.encode(), *encode_request(request, known=KnownGates(), threads=1)])
        return Payload(request, key, content, f"qorch {key[:16]}", self.measure(request))

    async def submit(self, payload: Payload) -> str:
        """See RemoteBackend."""
        call = self.provider.draw_call("submit", subject_of(payload))
        await self.clock.sleep(call.network_seconds / 2)
        self._refuse_if_closed()
        if call.fault is CallFault.BUSY:
            await self._refuse_as_busy(call)
        if call.fault in (CallFault.ERROR, CallFault.LOST_BEFORE):
            await self._lose(call, self._unknown(call))
        job = self.provider.accept(payload)
        if call.fault is CallFault.LOST_AFTER:
            await self._lose(call, self._unknown(call))
        await self.clock.sleep(job.drawn.acceptance_seconds + call.network_seconds / 2)
        return job.provider_id

    async def poll(self, provider_ids: Sequence[str]) -> dict[str, JobStatus]:
        """See RemoteBackend."""
        call = await self._ask("poll", self._subject(provider_ids))
        jobs, at = self.provider.jobs, self.provider.now() - call.network_seconds / 2
        return {name: self.provider.status_of(jobs[name], at=at) for name in provider_ids if name in jobs}

    async def find(self, keys: Collection[str], *, since: datetime) -> dict[str, str]:
        """See RemoteBackend."""
        await self._ask("find", "")
        return self.provider.find(keys, since)

    async def list_keys(self, *, since: datetime, known: Sequence[str]) -> dict[str, str | None] | None:
        """See RemoteBackend."""
        await self._ask("list", "")
        seen: dict[str, str | None] = {}
        for job in self.provider.visible(since):
            if job.provider_id in known:
                break
            seen[job.payload.key] = job.label.job_id
        return seen

    async def fetch(self, provider_id: str) -> RawResult:
        """See RemoteBackend. What the simulation takes is part of what fetching is drawn to take."""
        begun_ns = self.clock.monotonic_ns()
        call = await self._ask("fetch", self._subject([provider_id]))
        job = self.provider.jobs.get(provider_id)
        if job is None:
            raise JobMissingError(
                f"{self.name} has no job {provider_id}: mocks keep jobs only while their process runs"
            )
        state = job.state_at(self.provider.now())
        if state is RemoteState.CANCELLED:
            raise JobFailedError(f"job {provider_id} was cancelled")
        if state is RemoteState.FAILED:
            raise JobFailedError(f"job {provider_id} failed: {FAILURE}", is_repeatable=job.drawn.is_repeatable)
        if not state.is_over:
            raise BusyError(f"job {provider_id} is not over yet")
        lost = job.drawn.lost
        answer = await self.simulation.run(kept_request(job.payload.request, lost))
        taken = (self.clock.monotonic_ns() - begun_ns) / 1e9
        await self.clock.sleep(max(0.0, call.network_seconds + call.result_seconds - taken))
        return RawResult(pack_answer(answer, lost, is_repeatable=job.drawn.is_repeatable, reason=FAILURE))

    async def fetch_usage(self, provider_ids: Collection[str], *, since: datetime) -> dict[str, ReportedUsage]:
        """See ReportsUsage."""
        await self._ask("usage", self._subject(list(provider_ids)))
        jobs = self.provider.jobs
        return {name: self.provider.usage_of(jobs[name]) for name in provider_ids if name in jobs}

    async def cancel(self, provider_id: str) -> None:
        """See RemoteBackend."""
        await self._ask("cancel", self._subject([provider_id]))
        self.provider.cancel(provider_id)

    async def availability(self) -> Availability:
        """See RemoteBackend."""
        await self._ask("availability", "")
        queue = self.profile.latencies.queue.seconds.mean_seconds
        is_open = self.provider.reopens_at(now := self.provider.now()) <= now
        reason = "a mock: nothing is sent, and nothing is charged"
        return Availability(is_open, reason if is_open else "calibration", self.capabilities.max_qubits, queue)

    def read(self, shape: JobShape, raw: RawResult) -> JobResult:
        """See Backend."""
        return unpack_answer(shape, raw.content, read=self.simulation.read)

    async def _ask(self, purpose: str, subject: str) -> DrawnCall:
        """A call without effect: whatever happens to it, it may be repeated."""
        call = self.provider.draw_call(purpose, subject)
        if call.fault is not None:
            await self.clock.sleep(call.network_seconds / 2)
            if call.fault is CallFault.BUSY:
                await self._refuse_as_busy(call)
            await self._lose(call, BusyError(f"{self.name} gave no answer to '{purpose}'"))
        await self.clock.sleep(call.network_seconds)
        return call

    async def _refuse_as_busy(self, call: DrawnCall) -> NoReturn:
        await self.clock.sleep(call.network_seconds / 2)
        raise BusyError(f"{self.name}: too many requests", retry_after_seconds=call.retry_seconds or None)

    async def _lose(self, call: DrawnCall, error: Exception) -> NoReturn:
        """A server's error comes back soon; of an answer that is lost, the client learns when its patience ends."""
        seconds = call.network_seconds / 2 if call.fault is CallFault.ERROR else call.silence_seconds
        await self.clock.sleep(seconds)
        raise error

    def _unknown(self, call: DrawnCall) -> UnknownOutcomeError:
        what = "answered with an error (503)" if call.fault is CallFault.ERROR else "gave no answer"
        return UnknownOutcomeError(f"{self.name} {what}; the job may have been accepted")

    def _refuse_if_closed(self) -> None:
        if self.provider.reopens_at(now := self.provider.now()) > now:
            raise UnavailableError(f"{self.name} takes no jobs: calibration")

    def _subject(self, provider_ids: Sequence[str]) -> str:
        """What a call about jobs is about, as far as draws go: the first of them."""
        job = self.provider.jobs.get(provider_ids[0]) if provider_ids else None
        return "" if job is None else job.subject
