"""The endpoints of Braket's control plane."""

from collections.abc import Awaitable, Callable, Iterator
from urllib.parse import unquote

import msgspec
from aiohttp import web

from qorch.errors import UsageError
from qorch_providers.emulators.braket.capabilities import device_document, summary_document
from qorch_providers.emulators.braket.documents import task_document, task_summary
from qorch_providers.emulators.braket.refusals import AwsRefusedError, answer_refusal
from qorch_providers.emulators.braket.service import BraketService
from qorch_providers.emulators.braket.storage import StorageRoutes
from qorch_providers.emulators.braket.tasks import EmulatedTask, make_arn
from qorch_providers.emulators.braket.wire import (
    CancelWire,
    CreateLimitWire,
    LimitSearchWire,
    SearchWire,
    TagsWire,
    UpdateLimitWire,
    decode,
)
from qorch_providers.emulators.kit.answers import RefusedError, json_answer
from qorch_providers.emulators.kit.traffic import RECEIVED, STRUCK

BraketEndpoint = Callable[[web.Request], Awaitable[web.Response]]


class BraketRoutes:
    """All endpoints of one server."""

    def __init__(self, service: BraketService) -> None:
        """Answer from this service."""
        self._service = service
        self._storage = StorageRoutes(service)
        self._words: dict[object, str] = {endpoint: word for _, _, word, endpoint in self._table()}

    def add_to(self, application: web.Application) -> None:
        """Make the application answer them."""
        for method, path, _, endpoint in self._table():
            # HEAD is a route of its own in S3, and Braket has none.
            if method == "GET":
                application.router.add_get(path, endpoint, allow_head=False)
            else:
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
        """Status and JSON that a call of a route would be answered with, about a task that does not exist."""
        arn = make_arn("us-east-1", self._service.settings.account)
        document = {"quantumTaskArn": arn}
        if route == "cancel":
            document["cancellationStatus"] = "CANCELLING"
        return 201 if route == "post" else 200, msgspec.json.encode(document)

    def _table(self) -> Iterator[tuple[str, str, str, BraketEndpoint]]:
        """Method, path, word and endpoint. Buckets stand last, since they would swallow the others."""
        yield "POST", "/quantum-task", "post", self.submit
        yield "GET", "/quantum-task/{arn:.+}", "get", self.task
        yield "PUT", "/quantum-task/{arn:.+}/cancel", "cancel", self.cancel
        yield "POST", "/quantum-tasks", "list", self.tasks
        yield "GET", "/device/{arn:.+}", "device", self.device
        yield "POST", "/devices", "devices", self.devices
        yield "GET", "/tags/{arn:.+}", "tags", self.tags
        yield "POST", "/tags/{arn:.+}", "tags", self.tag
        yield "DELETE", "/tags/{arn:.+}", "tags", self.untag
        yield "POST", "/spending-limit", "limit", self.create_limit
        yield "POST", "/spending-limits", "limits", self.search_limits
        yield "PATCH", "/spending-limit/{arn:.+}/update", "limit", self.update_limit
        yield "DELETE", "/spending-limit/{arn:.+}/delete", "limit", self.delete_limit
        yield from self._storage.table()

    async def submit(self, request: web.Request) -> web.Response:
        """CreateQuantumTask."""
        region = self._authorize(request)
        task = await self._service.submit(
            await request.read(),
            region=region,
            received_unix=request[RECEIVED],
            faults=[fault.kind for fault in request[STRUCK] if fault.concerns_job],
        )
        return json_answer({"quantumTaskArn": task.arn}, status=201)

    async def task(self, request: web.Request) -> web.Response:
        """GetQuantumTask."""
        task = self._find(request)
        with_queue = "QueueInfo" in request.query.getall("additionalAttributeNames", [])
        service = self._service
        return json_answer(task_document(task, service.registry, clock=service.clock, with_queue=with_queue))

    async def cancel(self, request: web.Request) -> web.Response:
        """CancelQuantumTask."""
        task = self._find(request)
        decode(await request.read(), CancelWire)
        return json_answer({"quantumTaskArn": task.arn, "cancellationStatus": self._service.lifecycle.cancel(task)})

    async def tasks(self, request: web.Request) -> web.Response:
        """SearchQuantumTasks."""
        region = self._authorize(request)
        wanted = decode(await request.read(), SearchWire)
        service = self._service
        page, token = service.registry.search(
            wanted.filters,
            region=region,
            limit=wanted.max_results,
            token=wanted.next_token,
            now_unix=service.clock.unix(),
        )
        document: dict[str, object] = {"quantumTasks": [task_summary(task, clock=service.clock) for task in page]}
        return json_answer(document if token is None else document | {"nextToken": token})

    async def device(self, request: web.Request) -> web.Response:
        """GetDevice."""
        region = self._authorize(request)
        service = self._service
        device = service.find_device(_arn(request), region=region)
        return json_answer(
            device_document(
                device,
                service.settings,
                status=service.device_status(device),
                has_sets=service.has_sets(device),
                queued=service.registry.count_waiting(device),
                updated_unix=service.clock.unix(),
            )
        )

    async def devices(self, request: web.Request) -> web.Response:
        """SearchDevices."""
        region = self._authorize(request)
        wanted = decode(await request.read(), SearchWire)
        for each in wanted.filters:
            if each.name != "deviceArn":
                raise UsageError(f"filter '{each.name}' is not deviceArn")
        found = [
            device
            for device in self._service.list_devices(region=region)
            if all(device.arn in each.values for each in wanted.filters)
        ]
        documents = [summary_document(device, status=self._service.device_status(device)) for device in found]
        return json_answer({"devices": documents})

    async def tags(self, request: web.Request) -> web.Response:
        """ListTagsForResource."""
        return json_answer({"tags": self._find(request).tags})

    async def tag(self, request: web.Request) -> web.Response:
        """TagResource."""
        self._find(request).tags.update(decode(await request.read(), TagsWire).tags)
        return json_answer({})

    async def untag(self, request: web.Request) -> web.Response:
        """UntagResource."""
        task = self._find(request)
        for name in request.query.getall("tagKeys", []):
            task.tags.pop(name, None)
        return json_answer({})

    async def create_limit(self, request: web.Request) -> web.Response:
        """CreateSpendingLimit."""
        region = self._authorize(request)
        wire = decode(await request.read(), CreateLimitWire)
        device = self._service.find_device(wire.device_arn, region=region)
        arn = self._service.limits.create(wire, device, region=region)
        return json_answer({"spendingLimitArn": arn}, status=201)

    async def search_limits(self, request: web.Request) -> web.Response:
        """SearchSpendingLimits."""
        region = self._authorize(request)
        body = await request.read()
        return json_answer(self._service.limits.search(decode(body or b"{}", LimitSearchWire), region=region))

    async def update_limit(self, request: web.Request) -> web.Response:
        """UpdateSpendingLimit."""
        region = self._authorize(request)
        wire = decode(await request.read(), UpdateLimitWire)
        self._service.limits.update(_arn(request), wire, region=region)
        return json_answer({})

    async def delete_limit(self, request: web.Request) -> web.Response:
        """DeleteSpendingLimit."""
        self._service.limits.delete(_arn(request), region=self._authorize(request))
        return json_answer({})

    def _authorize(self, request: web.Request) -> str:
        """The region for which a call was signed."""
        caller = self._service.authorize(request.headers.get("Authorization"))
        if caller.service != "braket":
            raise AwsRefusedError(403, "InvalidSignatureException", f"the call was signed for {caller.service}")
        return caller.region

    def _find(self, request: web.Request) -> EmulatedTask:
        region = self._authorize(request)
        return self._service.registry.find(_arn(request), region=region, now_unix=self._service.clock.unix())


def _arn(request: web.Request) -> str:
    return unquote(request.match_info["arn"])
