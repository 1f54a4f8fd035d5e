"""Run the emulator: in the foreground for the command line, in a thread for tests."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict

from aiohttp import web

from qorch.model.latency import parse_latency
from qorch_providers.emulators.ibm.bill import job_line, session_line
from qorch_providers.emulators.ibm.instances import parse_instances
from qorch_providers.emulators.ibm.refusals import expired_token
from qorch_providers.emulators.ibm.routes import IbmRoutes
from qorch_providers.emulators.ibm.service import IbmService
from qorch_providers.emulators.ibm.sessions import IbmSession
from qorch_providers.emulators.ibm.settings import ROUTES, IbmSettings, read_settings
from qorch_providers.emulators.ibm.spoiled import alter_result
from qorch_providers.emulators.ibm.truth import IbmTruth, job_truth, session_truth
from qorch_providers.emulators.ibm.wire import CalibrateWire, decode
from qorch_providers.emulators.kit.answers import json_answer
from qorch_providers.emulators.kit.bills import Bill, BillLine, bill_document
from qorch_providers.emulators.kit.clock import MachineTimer, Timer
from qorch_providers.emulators.kit.control import add_control
from qorch_providers.emulators.kit.hosting import serve_until_stopped
from qorch_providers.emulators.kit.rates import RateLimiter, parse_rate_limits
from qorch_providers.emulators.kit.running import RunningServer
from qorch_providers.emulators.kit.traffic import Dialect, Traffic

MAX_BODY_BYTES = 64_000_000


class IbmEmulator:
    """One application: the services behind their traffic, and its own routes under ``/_emulator``."""

    def __init__(self, settings: IbmSettings, *, timer: Timer) -> None:
        """Raises UsageError if a setting cannot be read. Must be made on the event loop that it will run on."""
        self.service = IbmService(settings, timer=timer)
        routes = IbmRoutes(self.service)
        limits = parse_rate_limits(settings.rate_limit, default_route="post", routes=ROUTES)
        self.traffic = Traffic(
            Dialect(routes.name_call, routes.answer_error, routes.pretend, expired_token, alter_result),
            clock=self.service.clock,
            network=parse_latency(settings.network),
            limiter=RateLimiter(limits),
            plan=lambda: self.service.plan,
            rng=self.service.network_rng,
            retry_after=settings.retry_after,
        )
        self.application = web.Application(middlewares=[self.traffic.middleware], client_max_size=MAX_BODY_BYTES)
        add_control(self.application, service=self.service, traffic=self.traffic, truth=self.truth, bill=self.bill)
        self.application.router.add_post("/_emulator/calibrate", self._calibrate)
        self.application.router.add_post("/_emulator/revoke", self._revoke)
        routes.add_to(self.application)

    def truth(self) -> IbmTruth:
        """Every accepted job, session and batch, oldest first, and how many calls came."""
        service = self.service
        return {
            "jobs": [job_truth(job) for job in service.registry.jobs],
            "calls": self.traffic.calls,
            "sessions": [
                session_truth(
                    each,
                    used_seconds=service.session_seconds(each),
                    second_micros=service.second_micros(each.instance),
                )
                for each in service.sessions.sessions
            ],
            "posts": [asdict(each) for each in service.posts],
            "tokens": service.desk.book(),
            "instances": {crn: service.used_seconds(each) for crn, each in service.instances.items()},
        }

    def bill(self) -> Bill:
        """What every accepted job, and every session that has a device for itself, was charged, oldest first."""
        service, now_seconds = self.service, self.service.clock.protocol_seconds()
        return bill_document(
            (job_line(job, now_seconds=now_seconds) for job in service.registry.jobs),
            (self._charge(each) for each in service.sessions.sessions if each.is_dedicated),
        )

    def _charge(self, session: IbmSession) -> BillLine:
        used_seconds = self.service.session_seconds(session)
        return session_line(
            session, used_seconds=used_seconds, second_micros=self.service.second_micros(session.instance)
        )

    async def _calibrate(self, request: web.Request) -> web.Response:
        device = self.service.find_device(decode(await request.read(), CalibrateWire).backend)
        return json_answer({"calibration_id": self.service.calibrations.calibrate(device).id})

    async def _revoke(self, _request: web.Request) -> web.Response:
        self.service.desk.revoke()
        return json_answer({"status": "revoked"})


class RunningIbm(RunningServer[IbmEmulator]):
    """A running emulator for tests. ``url``: that of the API; ``crns``: those of the instances, by name."""

    def __init__(self, settings: IbmSettings, *, timer: Timer) -> None:
        """See RunningServer."""
        super().__init__(lambda: IbmEmulator(settings, timer=timer), host=settings.host, port=settings.port)
        self.url = f"{self.root}/experimental/api/v1"
        self.environment = environment(self.root, settings)
        self.crns = {each.name: each.crn for each in parse_instances(settings.instances)}

    def truth(self) -> IbmTruth:
        """The content of ``GET /_emulator/jobs``."""
        return self._server.call(self._tell())

    def submissions(self) -> list[str]:
        """SHA-256 of the body of every `POST /jobs` that has arrived in full, accepted or not, oldest first."""
        return self._server.call(self._submissions())

    def calibrate(self, backend: str) -> None:
        """Make a new calibration of a device."""
        self._server.call(self._make_calibration(backend))

    def revoke_tokens(self) -> None:
        """No token that was issued so far is valid any longer."""
        self._server.call(self._forget_tokens())

    def forget(self, job_id: str) -> None:
        """Delete a job, which must be over, as its owner can."""
        self._server.call(self._delete(job_id))

    async def _tell(self) -> IbmTruth:
        return self._server.hosted.truth()

    async def _submissions(self) -> list[str]:
        return list(self._server.hosted.traffic.digests_by_route["post"])

    async def _make_calibration(self, backend: str) -> None:
        service = self._server.hosted.service
        service.calibrations.calibrate(service.find_device(backend))

    async def _delete(self, job_id: str) -> None:
        self._server.hosted.service.registry.delete(job_id)

    async def _forget_tokens(self) -> None:
        self._server.hosted.service.desk.revoke()


def environment(root: str, settings: IbmSettings) -> dict[str, str]:
    """The variables that send qiskit-ibm-runtime to an emulator; it takes this URL of the API as it is."""
    return {
        "IAM_URL": root,
        "GLOBAL_SEARCH_URL": root,
        "GLOBAL_CATALOG_URL": f"{root}/api/v1",
        "QISKIT_IBM_URL": f"{root}/experimental/api/v1",
        "QISKIT_IBM_TOKEN": settings.api_key or "emulator",
        "QISKIT_IBM_INSTANCE": parse_instances(settings.instances)[0].crn,
    }


@contextmanager
def start(settings: IbmSettings | None = None, *, timer: Timer | None = None) -> Iterator[RunningIbm]:
    """A running emulator in a thread of its own, stopped at the end. ``timer``: its time, if not the machine's."""
    running = RunningIbm(settings or IbmSettings(), timer=timer or MachineTimer())
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
        root = f"http://{settings.host}:{port}"
        announce(f"{root}/experimental/api/v1", port, environment(root, settings))

    def make() -> IbmEmulator:
        return IbmEmulator(settings, timer=MachineTimer())

    asyncio.run(serve_until_stopped(make, host=settings.host, port=settings.port, announce=tell))
