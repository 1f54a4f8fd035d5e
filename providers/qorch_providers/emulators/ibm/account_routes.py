"""The endpoints beside jobs: IAM, global search, the catalog, usage, and backends."""

from collections.abc import Awaitable, Callable, Iterator

from aiohttp import web

from qorch_providers.emulators.ibm.calibrations import Calibration
from qorch_providers.emulators.ibm.devices import IbmMachine
from qorch_providers.emulators.ibm.documents import backend_document, instance_usage_document, status_document
from qorch_providers.emulators.ibm.instances import Instance, catalog_entry, find_plan, search_item
from qorch_providers.emulators.ibm.jobs import read_unix
from qorch_providers.emulators.ibm.service import IbmService
from qorch_providers.emulators.ibm.wire import IbmSearchWire, decode
from qorch_providers.emulators.kit.answers import RefusedError, json_answer, raw_answer

IbmEndpoint = Callable[[web.Request], Awaitable[web.Response]]
API = "/{base:(?:experimental/)?api/v1}"
"""Where the API is. Its client takes a URL as it is if `experimental` is in it."""
_PLAN = "{plan:[0-9a-f]{8}-[0-9a-f-]{27}}"


def authorize(service: IbmService, request: web.Request) -> Instance:
    """The instance of a call. Raises RefusedError (401, 403)."""
    return service.authorize(request.headers.get("Authorization"), request.headers.get("Service-CRN"))


class AccountRoutes:
    """The endpoints of one server."""

    def __init__(self, service: IbmService) -> None:
        """Answer from this service."""
        self._service = service

    def table(self) -> Iterator[tuple[str, str, str, IbmEndpoint]]:
        """Method, path, word and endpoint."""
        yield "POST", "/identity/token", "identity", self.token
        yield "POST", "/v3/resources/search", "search", self.search
        yield "GET", f"/api/v1/{_PLAN}", "catalog", self.plan
        yield "GET", f"{API}/backends", "backends", self.backends
        yield "GET", f"{API}/backends/{{name}}/configuration", "device", self.configuration
        yield "GET", f"{API}/backends/{{name}}/properties", "device", self.properties
        yield "GET", f"{API}/backends/{{name}}/status", "device", self.status
        yield "GET", f"{API}/instances/usage", "usage", self.usage

    async def token(self, request: web.Request) -> web.Response:
        """IAM: a token for an API key."""
        return json_answer(await self._service.issue_token(await request.read()))

    async def search(self, request: web.Request) -> web.Response:
        """Global search: all instances of the account, page by page."""
        self._service.desk.check(request.headers.get("Authorization"))
        wanted = decode(await request.read(), IbmSearchWire)
        limit = _read_number(request, "limit", 10)
        cursor = wanted.search_cursor or ""
        start = int(cursor) if cursor.isdecimal() else 0
        instances = list(self._service.instances.values())
        page = instances[start : start + limit]
        document: dict[str, object] = {"items": [search_item(each) for each in page], "limit": limit}
        if start + limit < len(instances):
            document["search_cursor"] = str(start + limit)
        return json_answer(document)

    async def plan(self, request: web.Request) -> web.Response:
        """The catalog: one plan."""
        self._service.desk.check(request.headers.get("Authorization"))
        plan = find_plan(request.match_info["plan"])
        if plan is None:
            raise RefusedError(404, "The catalog has no such entry")
        return json_answer(catalog_entry(plan))

    async def backends(self, request: web.Request) -> web.Response:
        """All devices, with their mocks if those are wanted."""
        authorize(self._service, request)
        has_mocks = request.query.get("include_mocks", "").lower() == "true"
        devices = [device for device in self._service.list_devices() if has_mocks or not device.is_mock]
        return json_answer({"devices": [self._describe(device) for device in devices]})

    async def configuration(self, request: web.Request) -> web.Response:
        """What a device is."""
        return json_answer(self._find(request).configuration)

    async def properties(self, request: web.Request) -> web.Response:
        """How good a device is, now or at another time."""
        device = self._find(request)
        return raw_answer(self._calibration(request, device).body)

    async def status(self, request: web.Request) -> web.Response:
        """How a device is, and how many jobs it has."""
        device = self._find(request)
        state = self._service.device_state(device.name)
        queue_length = self._service.registry.count_waiting(device.name)
        return json_answer(status_document(device, state=state == "active", status=state, queue_length=queue_length))

    async def usage(self, request: web.Request) -> web.Response:
        """QPU seconds of an instance."""
        instance = authorize(self._service, request)
        return json_answer(instance_usage_document(instance, consumed_seconds=self._service.used_seconds(instance)))

    def _describe(self, device: IbmMachine) -> dict[str, object]:
        state = self._service.device_state(device.name)
        status = {"name": "online"} if state == "active" else {"name": "paused", "reason": state}
        return backend_document(
            device,
            status=status,
            queue_length=self._service.registry.count_waiting(device.name),
            calibration=self._service.calibrations.current(device),
        )

    def _find(self, request: web.Request) -> IbmMachine:
        authorize(self._service, request)
        return self._service.find_device(request.match_info["name"])

    def _calibration(self, request: web.Request, device: IbmMachine) -> Calibration:
        book = self._service.calibrations
        wanted = request.query.get("calibration_id")
        if wanted is not None:
            found = book.find(device, wanted)
            if found is None:
                raise RefusedError(404, f"Calibration {wanted} not found.")
            return found
        before_unix = read_unix(request.query.get("updated_before"))
        return book.current(device) if before_unix is None else book.before(device, before_unix)


def _read_number(request: web.Request, name: str, otherwise: int) -> int:
    text = request.query.get(name, "")
    return int(text) if text.isdecimal() and 0 < len(text) < 10 else otherwise
