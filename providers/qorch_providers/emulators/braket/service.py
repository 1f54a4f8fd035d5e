"""The emulated services: their clock, tasks, devices and objects, put together from settings."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from qorch_providers.emulators.braket.devices import DEVICES, EmulatedDevice, read_names
from qorch_providers.emulators.braket.lifecycle import TaskLifecycle
from qorch_providers.emulators.braket.money import DevicePrice, billed_ms, parse_price, set_price
from qorch_providers.emulators.braket.objects import ObjectStore, parse_denials
from qorch_providers.emulators.braket.refusals import AwsRefusedError
from qorch_providers.emulators.braket.settings import BraketSettings, read_faults
from qorch_providers.emulators.braket.signature import Caller, read_signature
from qorch_providers.emulators.braket.spending_limits import SpendingLimits
from qorch_providers.emulators.braket.submission import TaskSubmission, read_digest, read_task
from qorch_providers.emulators.braket.tasks import EmulatedTask, TaskRegistry
from qorch_providers.emulators.braket.windows import parse_windows
from qorch_providers.emulators.braket.wire import CreateWire, decode
from qorch_providers.emulators.kit.answers import RefusedError
from qorch_providers.emulators.kit.clock import ScaledClock, Timer
from qorch_providers.emulators.kit.faults import FaultPlan
from qorch_providers.emulators.kit.latency import parse_latency
from qorch_providers.emulators.statevector.noise import NoiseRates

_LARGE_BYTES = 16 * 1024


class BraketService:
    """The state that the endpoints show and change. Lives on one event loop."""

    def __init__(self, settings: BraketSettings, *, timer: Timer) -> None:
        """Raises UsageError if a setting cannot be read."""
        self.settings = settings
        self.clock = ScaledClock(timer, scale=settings.time_scale, ahead_seconds=settings.clock_ahead)
        self._queue = parse_latency(settings.queue)
        self._execute = parse_latency(settings.execute)
        self._accept_delay = parse_latency(settings.accept_delay)
        self._prices = parse_price(settings.price)
        self._with_sets = read_names(settings.program_sets)
        self._retired = read_names(settings.retired)
        self._offline = parse_windows(settings.offline)
        self._denials = parse_denials(settings.denied)
        self.network_rng, self._life_rng, self._fault_rng, self._rng = np.random.default_rng(settings.seed).spawn(4)
        self.plan = FaultPlan(read_faults(settings.faults), self._fault_rng)
        self.reset()

    def reset(self) -> None:
        """Forget all tasks and objects; lifecycles in progress end unseen."""
        settings = self.settings
        self.store = ObjectStore(self._denials, kept_bytes=settings.kept_result_bytes)
        self.registry = TaskRegistry(
            account=settings.account,
            token_seconds=settings.token_seconds,
            visible_seconds=settings.visible_seconds / settings.time_scale,
        )
        self.limits = SpendingLimits(account=settings.account, clock=self.clock, price=self._estimate)
        self.lifecycle = TaskLifecycle(
            self.registry,
            self.store,
            clock=self.clock,
            queue=self._queue,
            execute=self._execute,
            workers=settings.workers or None,
            in_parts=settings.results == "parts",
            charge=self._charge,
            rates=self._rates,
            rng=self._life_rng,
        )

    def set_faults(self, text: str) -> None:
        """Replace all faults; they count calls from here, and every task is listed now. Raises UsageError."""
        for task in self.registry.tasks:
            task.is_unlisted = False
        self.plan = FaultPlan(read_faults(text), self._fault_rng)

    def authorize(self, authorization: str | None) -> Caller:
        """Who calls. Raises AwsRefusedError (403)."""
        return read_signature(authorization, access_key=self.settings.access_key)

    def find_device(self, arn: str, *, region: str) -> EmulatedDevice:
        """The device of that ARN, seen from a region. Raises RefusedError (404)."""
        device = DEVICES.get(arn)
        if device is None or device.region not in ("", region):
            raise RefusedError(404, f"Device {arn} not found in {region}")
        kept = frozenset(self.settings.gates.split(",")) if self.settings.gates else frozenset(device.gates)
        return replace(device, gates=tuple(name for name in device.gates if name in kept))

    def list_devices(self, *, region: str) -> list[EmulatedDevice]:
        """The devices of a region."""
        return [device for device in DEVICES.values() if device.region in ("", region)]

    def has_sets(self, device: EmulatedDevice) -> bool:
        """Whether a device declares program sets."""
        return device.short_name in self._with_sets

    def device_status(self, device: EmulatedDevice) -> str:
        """ONLINE, OFFLINE or RETIRED."""
        if device.short_name in self._retired:
            return "RETIRED"
        now_seconds = self.clock.protocol_seconds()
        is_offline = any(window.covers(device.short_name, now_seconds) for window in self._offline)
        return "OFFLINE" if is_offline or self.plan.is_unavailable(now_seconds=now_seconds) else "ONLINE"

    async def close(self) -> None:
        """Cancel the tasks in progress."""
        await self.lifecycle.close()

    async def submit(self, body: bytes, *, region: str, received_unix: float, faults: Sequence[str]) -> EmulatedTask:
        """Accept a task once the accept delay has passed, or recall the one of its token; then its lifecycle begins.

        Raises UsageError, RefusedError.
        """
        wire, digest = decode(body, CreateWire), read_digest(body)
        known = self._recall(wire, digest, region)
        if known is not None:
            return known
        device = self.find_device(wire.device_arn, region=region)
        self._check_device(device)
        if not self.store.can_use(wire.output_s3_bucket):
            raise AwsRefusedError(
                403, "AccessDeniedException", f"Caller doesn't have access to the bucket {wire.output_s3_bucket}"
            )
        has_sets = self.has_sets(device)

        def read() -> TaskSubmission:
            return read_task(wire, device, self.settings, digest=digest, region=region, has_sets=has_sets)

        submission = await asyncio.to_thread(read) if len(body) > _LARGE_BYTES else read()
        await self.clock.sleep(self._accept_delay.draw_seconds(self._rng))
        # The same call may have come again and been accepted meanwhile.
        known = self._recall(wire, digest, region)
        if known is not None:
            return known
        self._check_concurrency(device)
        if not wire.associations:  # a reservation is charged by itself
            price_micros = self._price_of(device).charge_micros(shots=wire.shots, billed_ms=0)
            self.limits.check(device, region=region, price_micros=price_micros)
        return self._accept(submission, wire, received_unix, faults)

    def _recall(self, wire: CreateWire, digest: str, region: str) -> EmulatedTask | None:
        now_seconds = self.clock.protocol_seconds()
        known = self.registry.recall(region, wire.client_token, digest, now_seconds=now_seconds)
        if known is not None:
            known.n_replays += 1
        return known

    def _accept(
        self, submission: TaskSubmission, wire: CreateWire, received_unix: float, faults: Sequence[str]
    ) -> EmulatedTask:
        task = self.registry.add(
            submission.order,
            wire.tags,
            received_unix=received_unix,
            accepted_unix=self.clock.unix(),
            now_seconds=self.clock.protocol_seconds(),
        )
        task.is_unlisted = "unlisted" in faults
        if not wire.associations:
            self.limits.enter(task)
        self.lifecycle.begin(task, submission, faults=faults)
        return task

    def _check_device(self, device: EmulatedDevice) -> None:
        status = self.device_status(device)
        if status == "RETIRED":
            raise RefusedError(410, f"The device {device.arn} is retired")
        if status == "OFFLINE":
            raise RefusedError(424, f"The device {device.arn} is offline")

    def _check_concurrency(self, device: EmulatedDevice) -> None:
        most = self.settings.concurrent
        if device.is_simulator and self.registry.count_active(device) >= most:
            raise RefusedError(402, f"You have reached the limit of {most} concurrent tasks on {device.name}")

    def _charge(self, task: EmulatedTask) -> None:
        device = task.order.device
        price = self._price_of(device)
        task.billed_ms = billed_ms(task.execution_ms) if device.is_simulator else 0
        task.price_micros = price.charge_micros(shots=task.successful_shots, billed_ms=task.billed_ms)

    def _estimate(self, task: EmulatedTask) -> int:
        """What a task on a QPU costs if all its shots are taken."""
        return self._price_of(task.order.device).charge_micros(shots=task.order.shots, billed_ms=0)

    def _price_of(self, device: EmulatedDevice) -> DevicePrice:
        return set_price(device.price, self._prices, is_simulator=device.is_simulator)

    def _rates(self, task: EmulatedTask) -> NoiseRates | None:
        return task.order.device.noise if self.settings.noise == "on" else None
