"""All endpoints of the emulated services, and what faults and limits call them."""

from collections.abc import Iterator

import msgspec
from aiohttp import web

from qorch_providers.emulators.ibm.account_routes import AccountRoutes, IbmEndpoint
from qorch_providers.emulators.ibm.job_routes import JobRoutes
from qorch_providers.emulators.ibm.jobs import make_id
from qorch_providers.emulators.ibm.refusals import answer_refusal
from qorch_providers.emulators.ibm.service import IbmService
from qorch_providers.emulators.kit.answers import RefusedError

_WITHOUT_BODY = frozenset({"cancel", "delete", "tags", "session"})


class IbmRoutes:
    """All endpoints of one server."""

    def __init__(self, service: IbmService) -> None:
        """Answer from this service."""
        self._account = AccountRoutes(service)
        self._jobs = JobRoutes(service)
        self._words: dict[object, str] = {endpoint: word for _, _, word, endpoint in self._table()}

    def add_to(self, application: web.Application) -> None:
        """Make the application answer them."""
        for method, path, _, endpoint in self._table():
            application.router.add_route(method, path, endpoint)

    def name_call(self, request: web.Request) -> str | None:
        """The word that faults and limits have for a call; None for the emulator's own."""
        if request.path.startswith("/_emulator/"):
            return None
        return self._words.get(request.match_info.route.handler, "other")

    def answer_error(self, request: web.Request, refusal: RefusedError) -> web.Response:
        """The answer to a call that is refused, in the language of the service that was called."""
        return answer_refusal(self.name_call(request) or "other", refusal)

    def pretend(self, route: str) -> tuple[int, bytes]:
        """Status and body that a call of a route would be answered with, about a job that does not exist."""
        if route in _WITHOUT_BODY:
            return 204, b""
        return 200, msgspec.json.encode({"id": make_id(), "backend": "ibm_fez"})

    def _table(self) -> Iterator[tuple[str, str, str, IbmEndpoint]]:
        yield from self._account.table()
        yield from self._jobs.table()
