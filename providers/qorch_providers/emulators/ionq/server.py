"""Run the emulator: in the foreground for the command line, in a thread for tests."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from aiohttp import web

from qorch_providers.emulators.ionq.bill import job_line
from qorch_providers.emulators.ionq.routes import Routes, answer_error, pretend, refuse_key
from qorch_providers.emulators.ionq.service import Service
from qorch_providers.emulators.ionq.settings import ROUTES, Settings, read_settings
from qorch_providers.emulators.ionq.truth import truth_document
from qorch_providers.emulators.kit.bills import Bill, bill_document
from qorch_providers.emulators.kit.clock import MachineTimer, Timer
from qorch_providers.emulators.kit.control import add_control
from qorch_providers.emulators.kit.hosting import serve_until_stopped
from qorch_providers.emulators.kit.latency import parse_latency
from qorch_providers.emulators.kit.rates import RateLimiter, parse_rate_limits
from qorch_providers.emulators.kit.running import RunningServer, Truth
from qorch_providers.emulators.kit.traffic import Dialect, Traffic

MAX_BODY_BYTES = 10_000_000
BASE = "/v0.4"


class IonqTruth(Truth):
    """What really happened, sessions included: as ``GET /sessions`` shows them."""

    sessions: list[dict[str, object]]


class Emulator:
    """One web application: the emulated service with its middleware, and its own routes under ``/_emulator``."""

    def __init__(self, settings: Settings, *, timer: Timer) -> None:
        """Raises UsageError if a setting cannot be read. Must be made on the event loop that it will run on."""
        self.service = Service(settings, timer=timer)
        routes = Routes(self.service)
        limits = parse_rate_limits(settings.rate_limit, default_route="post", routes=ROUTES)
        self.traffic = Traffic(
            Dialect(routes.name_call, answer_error, pretend, refuse_key),
            clock=self.service.clock,
            network=parse_latency(settings.network),
            limiter=RateLimiter(limits),
            plan=lambda: self.service.plan,
            rng=self.service.network_rng,
            retry_after=settings.retry_after,
        )
        self.application = web.Application(middlewares=[self.traffic.middleware], client_max_size=MAX_BODY_BYTES)
        routes.add_to(self.application)
        add_control(self.application, service=self.service, traffic=self.traffic, truth=self.truth, bill=self.bill)

    def truth(self) -> IonqTruth:
        """Every accepted job, oldest first, every session, newest first, and the numbers of calls."""
        sessions = self.service.sessions
        return {
            "jobs": [truth_document(job) for job in self.service.registry.jobs],
            "sessions": [sessions.document(session) for session in sessions.all()],
            "calls": self.traffic.calls,
        }

    def bill(self) -> Bill:
        """What every accepted job was charged, oldest first, and what is reserved."""
        now_seconds = self.service.clock.protocol_seconds()
        return bill_document(job_line(job, now_seconds=now_seconds) for job in self.service.registry.jobs)


class RunningEmulator(RunningServer[Emulator]):
    """A running emulator for tests. ``url`` is the value for ``IONQ_API_URL``."""

    def __init__(self, settings: Settings, *, timer: Timer) -> None:
        """See RunningServer."""
        super().__init__(lambda: Emulator(settings, timer=timer), host=settings.host, port=settings.port)
        self.url = self.root + BASE

    def truth(self) -> IonqTruth:
        """Every accepted job and session, and the numbers of calls."""
        return self._server.call(self._tell())

    async def _tell(self) -> IonqTruth:
        return self._server.hosted.truth()


@contextmanager
def start(settings: Settings | None = None, *, timer: Timer | None = None) -> Iterator[RunningEmulator]:
    """A running emulator in a thread of its own, stopped at the end. ``timer``: its time, if not the machine's."""
    running = RunningEmulator(settings or Settings(), timer=timer or MachineTimer())
    try:
        yield running
    finally:
        running.stop()


def serve(options: Mapping[str, str], *, announce: Callable[[str, int, Mapping[str, str]], None]) -> None:
    """Serve until SIGINT or SIGTERM. ``announce`` is called with URL, port and environment variables, once it listens.

    This is the entry point of the group ``qorch.emulators``. Raises UsageError, BackendError.
    """
    settings = read_settings(options)

    def tell(port: int) -> None:
        url = f"http://{settings.host}:{port}{BASE}"
        announce(url, port, {"IONQ_API_URL": url, "IONQ_API_KEY": settings.api_key or "emulator"})

    def make() -> Emulator:
        return Emulator(settings, timer=MachineTimer())

    asyncio.run(serve_until_stopped(make, host=settings.host, port=settings.port, announce=tell))
