"""Run the emulator: in the foreground for the command line, in a thread for tests."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from aiohttp import web

from qorch.model.latency import parse_latency
from qorch_providers.emulators.braket.bill import task_line
from qorch_providers.emulators.braket.quotas import CallQuotas, parse_quotas
from qorch_providers.emulators.braket.refusals import expired_token
from qorch_providers.emulators.braket.routes import BraketRoutes
from qorch_providers.emulators.braket.service import BraketService
from qorch_providers.emulators.braket.settings import ROUTES, BraketSettings, read_settings
from qorch_providers.emulators.braket.truth import truth_document
from qorch_providers.emulators.kit.bills import Bill, bill_document
from qorch_providers.emulators.kit.clock import MachineTimer, Timer
from qorch_providers.emulators.kit.control import add_control
from qorch_providers.emulators.kit.hosting import serve_until_stopped
from qorch_providers.emulators.kit.rates import RateLimiter, parse_rate_limits
from qorch_providers.emulators.kit.running import RunningServer, Truth
from qorch_providers.emulators.kit.traffic import Dialect, Traffic

MAX_BODY_BYTES = 32_000_000


class BraketEmulator:
    """One application: the services behind their traffic, and its own routes under ``/_emulator``."""

    def __init__(self, settings: BraketSettings, *, timer: Timer) -> None:
        """Raises UsageError if a setting cannot be read. Must be made on the event loop that it will run on."""
        self.service = BraketService(settings, timer=timer)
        routes = BraketRoutes(self.service)
        limits = parse_rate_limits(settings.rate_limit, default_route="post", routes=ROUTES)
        self.traffic = Traffic(
            Dialect(routes.name_call, routes.answer_error, routes.pretend, expired_token),
            clock=self.service.clock,
            network=parse_latency(settings.network),
            limiter=CallQuotas(parse_quotas(settings.quotas, routes=ROUTES), RateLimiter(limits)),
            plan=lambda: self.service.plan,
            rng=self.service.network_rng,
            retry_after=settings.retry_after,
        )
        self.application = web.Application(middlewares=[self.traffic.middleware], client_max_size=MAX_BODY_BYTES)
        add_control(self.application, service=self.service, traffic=self.traffic, truth=self.truth, bill=self.bill)
        routes.add_to(self.application)

    def truth(self) -> Truth:
        """Every accepted task, oldest first, and how many calls came."""
        return {"jobs": [truth_document(task) for task in self.service.registry.tasks], "calls": self.traffic.calls}

    def bill(self) -> Bill:
        """What every accepted task was charged, oldest first."""
        return bill_document(task_line(task) for task in self.service.registry.tasks)


class RunningBraket(RunningServer[BraketEmulator]):
    """A running emulator for tests. ``url`` is its endpoint for Braket, S3 and STS alike."""

    def __init__(self, settings: BraketSettings, *, timer: Timer) -> None:
        """See RunningServer."""
        super().__init__(lambda: BraketEmulator(settings, timer=timer), host=settings.host, port=settings.port)
        self.url = self.root
        self.environment = environment(self.url, settings)

    def forget(self, arn: str) -> None:
        """Let a task be as if it had never been, but in the books: neither its ARN nor its token is known any more."""
        self._server.call(self._forget(arn))

    async def _forget(self, arn: str) -> None:
        self._server.hosted.service.registry.forget(arn)


def environment(url: str, settings: BraketSettings) -> dict[str, str]:
    """The variables that send Braket's SDK and boto3 to an emulator."""
    return {
        "AWS_ENDPOINT_URL_BRAKET": url,
        "AWS_ENDPOINT_URL_S3": url,
        "AWS_ENDPOINT_URL_STS": url,
        "AWS_ACCESS_KEY_ID": settings.access_key or "emulator",
        "AWS_SECRET_ACCESS_KEY": "emulator",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def start(settings: BraketSettings | None = None, *, timer: Timer | None = None) -> Iterator[RunningBraket]:
    """A running emulator in a thread of its own, stopped at the end. ``timer``: its time, if not the machine's."""
    running = RunningBraket(settings or BraketSettings(), timer=timer or MachineTimer())
    try:
        yield running
    finally:
        running.stop()


def serve(options: Mapping[str, str], *, announce: Callable[[str, int, Mapping[str, str]], None]) -> None:
    """Serve until SIGINT or SIGTERM. ``announce`` is told URL, port and what to export, once it listens.

    This is the entry point of the group ``qorch.emulators``. Raises UsageError, BackendError.
    """
    settings = read_settings(options)

    def tell(port: int) -> None:
        url = f"http://{settings.host}:{port}"
        announce(url, port, environment(url, settings))

    def make() -> BraketEmulator:
        return BraketEmulator(settings, timer=MachineTimer())

    asyncio.run(serve_until_stopped(make, host=settings.host, port=settings.port, announce=tell))
