"""An emulator that runs in a thread of its own, as tests see it."""

from collections.abc import Callable
from typing import Generic, Protocol, TypedDict, TypeVar

from aiohttp import web

from qorch_providers.emulators.kit.bills import Bill
from qorch_providers.emulators.kit.control import EmulatedService
from qorch_providers.emulators.kit.hosting import ThreadedServer
from qorch_providers.emulators.kit.traffic import Traffic


class Truth(TypedDict):
    """The emulator's own record: accepted jobs, oldest first, and calls `by_route` and `by_status`."""

    jobs: list[dict[str, object]]
    calls: dict[str, dict[str, int]]


class EmulatorApplication(Protocol):
    """One web application: the emulated service with its middleware, and its own routes under ``/_emulator``."""

    @property
    def application(self) -> web.Application:
        """What is served."""
        ...

    @property
    def service(self) -> EmulatedService:
        """The emulated service."""
        ...

    @property
    def traffic(self) -> Traffic:
        """What every call goes through."""
        ...

    def truth(self) -> Truth:
        """Every accepted job, oldest first, and the numbers of calls."""
        ...

    def bill(self) -> Bill:
        """What every accepted job was charged, by the service's own rules."""
        ...


E = TypeVar("E", bound=EmulatorApplication)


class RunningServer(Generic[E]):
    """``root``: its address, without a path. It is made on the event loop of its thread, where all its calls run."""

    def __init__(self, make: Callable[[], E], *, host: str, port: int) -> None:
        """Start it. Raises UsageError for wrong settings, BackendError if it cannot listen."""
        self._server = ThreadedServer(make, host=host, port=port)
        self.port = self._server.port
        self.root = f"http://{host}:{self.port}"

    def truth(self) -> Truth:
        """The content of ``GET /_emulator/jobs``."""
        return self._server.call(self._truth())

    def jobs(self) -> list[dict[str, object]]:
        """Every accepted job, oldest first; the keys are those of the emulator's `truth_document`."""
        return self.truth()["jobs"]

    def bill(self) -> Bill:
        """The content of ``GET /_emulator/bill``."""
        return self._server.call(self._bill())

    def submissions(self) -> list[str]:
        """SHA-256 of the body of every submission that has arrived in full, accepted or not, oldest first."""
        return self._server.call(self._submissions())

    def set_faults(self, text: str) -> None:
        """Replace all faults; they count calls from here. Raises UsageError."""
        self._server.call(self._set_faults(text))

    def stop(self) -> None:
        """Stop it. May be called twice."""
        self._server.stop()

    async def _truth(self) -> Truth:
        return self._server.hosted.truth()

    async def _bill(self) -> Bill:
        return self._server.hosted.bill()

    async def _submissions(self) -> list[str]:
        return list(self._server.hosted.traffic.digests_by_route["post"])

    async def _set_faults(self, text: str) -> None:
        self._server.hosted.service.set_faults(text)
