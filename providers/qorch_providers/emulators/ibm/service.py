"""The emulated services: their clock, devices, instances, jobs and sessions, put together from settings."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qorch.model.latency import parse_latency
from qorch_providers.emulators.ibm.calibrations import CalibrationBook
from qorch_providers.emulators.ibm.devices import IbmMachine, read_devices, read_names
from qorch_providers.emulators.ibm.identity import TokenDesk
from qorch_providers.emulators.ibm.instances import Instance, parse_instances
from qorch_providers.emulators.ibm.jobs import IbmJob, IbmJobRegistry, IbmOrder
from qorch_providers.emulators.ibm.lifecycle import IbmLifecycle, JobTimes
from qorch_providers.emulators.ibm.maintenance import parse_maintenance
from qorch_providers.emulators.ibm.money import parse_second_price, parse_usage, whole_seconds
from qorch_providers.emulators.ibm.programs.noise import noise_of, pure_noise
from qorch_providers.emulators.ibm.programs.outcome import JobOutcome
from qorch_providers.emulators.ibm.programs.running import PROGRAMS
from qorch_providers.emulators.ibm.refusals import NOT_FOUND_BACKEND, IbmRefusedError
from qorch_providers.emulators.ibm.sessions import IbmSession, SessionBook
from qorch_providers.emulators.ibm.settings import IbmSettings, read_faults
from qorch_providers.emulators.ibm.turns import DeviceTurns
from qorch_providers.emulators.ibm.wire import IbmJobWire, IbmSessionWire, decode
from qorch_providers.emulators.kit.answers import RefusedError
from qorch_providers.emulators.kit.clock import ScaledClock, Timer
from qorch_providers.emulators.kit.faults import FaultPlan
from qorch_providers.emulators.kit.rates import RateLimit, RateLimiter

_MINUTE = 60.0


@dataclass(frozen=True)
class PostRecord:
    """One POST of a job: when it came, in protocol seconds since the start, and whether the limit let it pass."""

    instance: str
    at_seconds: float
    is_admitted: bool


class IbmService:
    """The state that the endpoints show and change. Lives on one event loop."""

    def __init__(self, settings: IbmSettings, *, timer: Timer) -> None:
        """Raises UsageError if a setting cannot be read."""
        self.settings = settings
        self.clock = ScaledClock(timer, scale=settings.time_scale, ahead_seconds=settings.clock_ahead)
        self.devices = read_devices(settings.devices, is_fractional=settings.fractional == "on")
        self.instances = {each.crn: each for each in parse_instances(settings.instances)}
        self.times = JobTimes(
            parse_latency(settings.queue),
            parse_latency(settings.execute),
            parse_latency(settings.usage_delay),
            parse_usage(settings.usage),
        )
        self._accept_delay = parse_latency(settings.accept_delay)
        self._token_delay = parse_latency(settings.token_delay)
        self._second_price = parse_second_price(settings.price)
        self._retired = frozenset(read_names(settings.retired))
        self._maintenance = parse_maintenance(settings.maintenance, devices=self.devices)
        self.network_rng, self._life_rng, self._fault_rng, self._rng = np.random.default_rng(settings.seed).spawn(4)
        self.plan = FaultPlan(read_faults(settings.faults), self._fault_rng)
        self.reset()

    def reset(self) -> None:
        """Forget all jobs, sessions and tokens; lifecycles in progress end unseen."""
        settings = self.settings
        self.desk = TokenDesk(clock=self.clock, api_key=settings.api_key, token_seconds=settings.token_seconds)
        self.calibrations = CalibrationBook(
            clock=self.clock, lasts_seconds=settings.calibration_seconds, seed=settings.seed
        )
        self.registry = IbmJobRegistry(
            kept_bytes=settings.kept_bytes,
            visible_seconds=settings.visible_seconds / settings.time_scale,
        )
        self.sessions = SessionBook(
            self, clock=self.clock, max_ttl=settings.max_ttl, interactive_seconds=settings.interactive_seconds
        )
        self._turns = {name: DeviceTurns(settings.workers) for name in self.devices}
        self.posts: list[PostRecord] = []
        self._limiter = self._make_limiter()
        self.lifecycle = IbmLifecycle(
            self.registry,
            self.sessions,
            self._turns,
            clock=self.clock,
            times=self.times,
            prepare=self._prepare,
            wait_for_device=self._wait_for_device,
            second_micros=lambda job: self.second_micros(job.order.instance),
            rng=self._life_rng,
        )

    def set_faults(self, text: str) -> None:
        """Replace all faults; they count calls from here, and every job is listed now. Raises UsageError."""
        for job in self.registry.jobs:
            job.is_unlisted = False
        self.plan = FaultPlan(read_faults(text), self._fault_rng)

    async def close(self) -> None:
        """Cancel what is in progress."""
        for timer in tuple(self.sessions.timers()):
            timer.cancel()
        await self.lifecycle.close()

    async def issue_token(self, body: bytes) -> dict[str, object]:
        """What IAM answers. Raises UsageError, RefusedError."""
        return await self.desk.issue(body, seconds=self._token_delay.draw_seconds(self._rng))

    def authorize(self, authorization: str | None, crn: str | None) -> Instance:
        """The instance of a call. Raises RefusedError (401, 403)."""
        self.desk.check(authorization)
        if crn not in self.instances:
            raise RefusedError(403, "The API key has no access to the instance of the header Service-CRN")
        return self.instances[crn]

    def find_device(self, name: str) -> IbmMachine:
        """The device of that name. Raises IbmRefusedError (404) if there is none, or none any more."""
        device = self.devices.get(name)
        if device is None or name in self._retired:
            raise IbmRefusedError(404, NOT_FOUND_BACKEND, f"Backend {name} not found.")
        return device

    def list_devices(self) -> list[IbmMachine]:
        """All devices that are not retired, and their mocks."""
        return [device for name, device in self.devices.items() if name not in self._retired]

    def device_state(self, name: str) -> str:
        """`active`, `maintenance`, or `internal` if a fault says that devices are not available."""
        now_seconds = self.clock.protocol_seconds()
        if self.plan.is_unavailable(now_seconds=now_seconds):
            return "internal"
        return "maintenance" if self._maintenance_ends(name) > now_seconds else "active"

    def used_seconds(self, instance: Instance) -> int:
        """QPU seconds that an instance has used: of its sessions, and of its jobs outside of them."""
        now_seconds = self.clock.protocol_seconds()
        dedicated = {each.id: each for each in self.sessions.sessions if each.is_dedicated}
        jobs = sum(
            job.usage_seconds
            for job in self.registry.jobs
            if job.order.instance is instance and job.order.session_id not in dedicated
        )
        return jobs + sum(
            whole_seconds(each.used_seconds(now_seconds)) for each in dedicated.values() if each.instance is instance
        )

    def session_seconds(self, session: IbmSession) -> float:
        """What a session is charged for: the time that it was active; of a batch, what its jobs used."""
        if session.is_dedicated:
            return session.used_seconds(self.clock.protocol_seconds())
        return float(sum(job.usage_seconds for job in self.registry.of_session(session.id)))

    def second_micros(self, instance: Instance) -> int:
        """What a QPU second costs; a free plan stays free, whatever price was set."""
        if self._second_price is None or instance.plan.is_free:
            return instance.plan.second_micros
        return self._second_price

    def open_session(self, body: bytes, instance: Instance) -> IbmSession:
        """Open a session or batch. Raises UsageError, RefusedError."""
        wire = decode(body, IbmSessionWire)
        device = self.find_device(wire.backend)
        self._check_usage(instance)
        return self.sessions.open(instance, device.name, wire.mode, wire.max_ttl)

    def cancel_session(self, session: IbmSession) -> None:
        """Cancel all jobs of a session, and close it."""
        session.accepting_jobs = False
        for job in self.registry.of_session(session.id):
            if not job.is_over:
                self.lifecycle.cancel(job)
        self.sessions.accept(session, is_accepting=False)

    def on_rest(self, session: IbmSession) -> None:
        """See SessionEvents."""
        self._turns[session.backend].release(session)

    def on_expiry(self, session: IbmSession) -> None:
        """See SessionEvents."""
        for job in self.registry.of_session(session.id):
            self.lifecycle.expire(job)

    async def submit(self, body: bytes, instance: Instance, *, received_unix: float, faults: Sequence[str]) -> IbmJob:
        """Accept a job once the accept delay has passed; then its lifecycle begins. Raises UsageError, RefusedError."""
        self._limit(instance)
        wire = decode(body, IbmJobWire)
        order = self._read_order(wire, body, instance)
        self._check_usage(instance)
        await self.clock.sleep(self._accept_delay.draw_seconds(self._rng))
        session = self.sessions.enter(wire.session_id, instance, order.backend)
        accepted_unix = self.clock.unix()
        job = self.registry.add(
            order, bytes(wire.params), wire.tags, received_unix=received_unix, accepted_unix=accepted_unix
        )
        job.is_unlisted = "unlisted" in faults
        self.lifecycle.begin(job, session, faults=faults)
        return job

    def _make_limiter(self) -> RateLimiter:
        posts = self.settings.posts_per_minute
        return RateLimiter((RateLimit("post", posts, _MINUTE),) if posts else ())

    def _limit(self, instance: Instance) -> None:
        now_seconds = self.clock.protocol_seconds()
        wait_seconds = self._limiter.admit("post", now_seconds=now_seconds)
        self.posts.append(PostRecord(instance.crn, now_seconds, is_admitted=wait_seconds == 0.0))
        if wait_seconds > 0.0:
            raise RefusedError(429, "Too many requests", retry_after_seconds=wait_seconds / self.clock.scale)

    def _read_order(self, wire: IbmJobWire, body: bytes, instance: Instance) -> IbmOrder:
        if wire.program_id not in PROGRAMS:
            raise IbmRefusedError(404, 1205, f"Program {wire.program_id} not found.")
        if wire.start_session:
            raise IbmRefusedError(400, 1208, "Starting a session using the /jobs endpoint is no longer supported.")
        device = self.find_device(wire.backend)
        if self.device_state(device.name) == "internal":
            raise RefusedError(503, "the emulator was told that devices are not available")
        if wire.calibration_id is not None and self.calibrations.find(device, wire.calibration_id) is None:
            raise IbmRefusedError(400, 1208, f"Calibration {wire.calibration_id} not found.")
        return IbmOrder(
            instance=instance,
            program_id=wire.program_id,
            backend=device.name,
            session_id=wire.session_id,
            max_seconds=self.settings.max_running if wire.cost is None else wire.cost,
            is_private=wire.private,
            calibration_id=wire.calibration_id,
            runtime=wire.runtime or "",
            digest=hashlib.sha256(body).hexdigest(),
        )

    def _check_usage(self, instance: Instance) -> None:
        limit = instance.limit_seconds
        if limit is not None and self.used_seconds(instance) >= limit:
            raise IbmRefusedError(
                409, 1212, "The usage of this instance has reached its limit.",
                solution="Wait for the next period, raise the limit, or use another instance.",
            )  # fmt: skip

    def _prepare(self, job: IbmJob) -> Callable[[], JobOutcome]:
        device = self.devices[job.order.backend]
        noise = noise_of(self.calibrations.current(device)) if self.settings.noise == "on" else None
        if device.is_mock:
            noise = pure_noise(device.n_qubits)
        rng = self._life_rng.spawn(1)[0]
        program, params = PROGRAMS[job.order.program_id], job.params

        def run() -> JobOutcome:
            return program(params, device, noise, rng)

        return run

    def _maintenance_ends(self, name: str) -> float:
        """The end of the maintenance that a device is under now, in protocol seconds; 0 if it is under none."""
        now_seconds = self.clock.protocol_seconds()
        return max((each.end_seconds for each in self._maintenance if each.covers(name, now_seconds)), default=0.0)

    async def _wait_for_device(self, name: str) -> None:
        while (end_seconds := self._maintenance_ends(name)) > 0.0:
            await self.clock.sleep(end_seconds - self.clock.protocol_seconds())
            # A timer may be a little early.
            await asyncio.sleep(0)
