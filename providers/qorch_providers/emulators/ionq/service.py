"""One emulated service: its clock, jobs and sessions, put together from settings."""

import asyncio
import uuid
from collections.abc import Sequence

import numpy as np

from qorch_providers.emulators.ionq.jobs import Job, JobRegistry
from qorch_providers.emulators.ionq.lifecycle import Lifecycle
from qorch_providers.emulators.ionq.money import parse_prices
from qorch_providers.emulators.ionq.sessions import Sessions
from qorch_providers.emulators.ionq.settings import Settings, read_faults
from qorch_providers.emulators.ionq.submission import Submission, read_submission
from qorch_providers.emulators.ionq.wire import decode_job
from qorch_providers.emulators.kit.answers import RefusedError
from qorch_providers.emulators.kit.clock import ScaledClock, Timer
from qorch_providers.emulators.kit.faults import FaultPlan
from qorch_providers.emulators.kit.latency import parse_latency

_LARGE_BYTES = 64 * 1024


class Service:
    """The state of one emulated service, which the endpoints show and change. For use in one event loop."""

    def __init__(self, settings: Settings, *, timer: Timer) -> None:
        """Raises UsageError if a setting cannot be read."""
        self.settings = settings
        self.clock = ScaledClock(timer, scale=settings.time_scale, ahead_seconds=settings.clock_ahead)
        self.queue = parse_latency(settings.queue)
        self.prices = parse_prices(settings.price)
        self._accept_delay = parse_latency(settings.accept_delay)
        self._execute = parse_latency(settings.execute)
        self._cost_delay = parse_latency(settings.cost_delay)
        self.network_rng, self._life_rng, self._fault_rng, self._rng = np.random.default_rng(settings.seed).spawn(4)
        self.plan = FaultPlan(read_faults(settings.faults), self._fault_rng)
        self.reset()

    def reset(self) -> None:
        """Forget all jobs and sessions; tasks of jobs that still run end without effect."""
        self.registry = JobRegistry(
            list_children=self.settings.list_children, kept_result_bytes=self.settings.kept_result_bytes
        )
        self.sessions = Sessions(clock=self.clock)
        self.lifecycle = Lifecycle(
            self.registry,
            clock=self.clock,
            queue=self.queue,
            execute=self._execute,
            cost_delay=self._cost_delay,
            workers=self.settings.workers or None,
            rng=self._life_rng,
        )

    def set_faults(self, text: str) -> None:
        """Replace all faults; they count calls from here, and every job is listed now. Raises UsageError."""
        for job in self.registry.jobs:
            job.is_unlisted = False
        self.plan = FaultPlan(read_faults(text), self._fault_rng)

    def authorize(self, authorization: str | None) -> str:
        """The id of the user whose key a header has. Raises RefusedError (401)."""
        scheme, _, key = (authorization or "").partition(" ")
        is_known = key.strip() and self.settings.api_key in ("", key.strip())
        if scheme.lower() != "apikey" or not is_known:
            raise RefusedError(401, "the API key is missing or not valid; send `Authorization: apiKey KEY`")
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, key))

    async def submit(
        self, body: bytes, *, version: str, submitter_id: str, received_unix: float, faults: Sequence[str]
    ) -> Job:
        """Accept a job once the accept delay has passed, and start its lifecycle. Raises UsageError, RefusedError."""

        def read() -> Submission:
            wire = decode_job(body)
            return read_submission(wire, version=version, submitter_id=submitter_id, prices=self.prices)

        submission = await asyncio.to_thread(read) if len(body) > _LARGE_BYTES else read()
        self.check_available()
        self.sessions.check(submission.order)
        await self.clock.sleep(self._accept_delay.draw_seconds(self._rng))
        self.sessions.check(submission.order)  # other jobs may have come meanwhile
        now_unix = self.clock.unix()
        job = self.registry.add(submission.order, received_unix=received_unix, accepted_unix=now_unix)
        job.failure = submission.failure
        job.is_unlisted = "unlisted" in faults
        self.sessions.enter(job)
        self.lifecycle.begin(job, submission.workload, faults=faults)
        return job

    @property
    def is_available(self) -> bool:
        """Whether backends are available: unless an ``unavailable`` fault is active."""
        return not self.plan.is_unavailable(now_seconds=self.clock.protocol_seconds())

    def check_available(self) -> None:
        """Raise RefusedError (503) while backends are unavailable."""
        if not self.is_available:
            raise RefusedError(503, "the backend is unavailable; jobs are not accepted at present")

    async def close(self) -> None:
        """Cancel the tasks of all jobs."""
        await self.lifecycle.close()
