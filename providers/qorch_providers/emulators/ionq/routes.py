"""The HTTP endpoints of the emulated service, in both versions of the protocol."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator
from types import MappingProxyType

from aiohttp import web

from qorch.errors import UsageError
from qorch_providers.emulators.ionq.backends import (
    MACHINES,
    Machine,
    backend_document,
    characterization_document,
    known_machines,
)
from qorch_providers.emulators.ionq.documents import PROJECT_ID, cost_document, job_document
from qorch_providers.emulators.ionq.jobs import FINAL, PAGE, Found
from qorch_providers.emulators.ionq.legacy import legacy_document, legacy_status
from qorch_providers.emulators.ionq.money import ESTIMATE_DEFAULTS, compute_time_us, estimate_document
from qorch_providers.emulators.ionq.outcomes import AGGREGATE, FORMATS, encode_all, encode_row
from qorch_providers.emulators.ionq.service import Service
from qorch_providers.emulators.ionq.sessions import ORGANIZATION_ID
from qorch_providers.emulators.ionq.submission import SINGLE
from qorch_providers.emulators.ionq.wire import decode_ids, decode_session
from qorch_providers.emulators.kit.answers import RefusedError, json_answer, raw_answer
from qorch_providers.emulators.kit.clock import format_iso
from qorch_providers.emulators.kit.traffic import RECEIVED, STRUCK

Endpoint = Callable[[web.Request], Awaitable[web.Response]]
_NO_RESULT = "the results of this job were not found; it has none, or not yet"


class Routes:
    """All endpoints of one service."""

    def __init__(self, service: Service) -> None:
        """``service``: holds the jobs and sessions that the endpoints show and change."""
        self._service = service
        self._words: dict[object, str] = {endpoint: word for _, _, word, endpoint in self._table()}

    def add_to(self, application: web.Application) -> None:
        """Add the endpoints to the application."""
        for method, path, _, endpoint in self._table():
            application.router.add_route(method, path, endpoint)

    def name_call(self, request: web.Request) -> str | None:
        """The name of a call's route in faults and limits; None for the emulator's own."""
        if request.path.startswith("/_emulator/"):
            return None
        return self._words.get(request.match_info.route.handler, "other")

    def _table(self) -> Iterator[tuple[str, str, str, Endpoint]]:
        """Method, path, route name and endpoint. `estimate` comes before the ids, whose pattern would match it."""
        both: tuple[tuple[str, str, str, Endpoint], ...] = (
            ("GET", "/whoami", "whoami", self.whoami),
            ("GET", "/backends", "backends", self.backends),
            ("GET", "/backends/{backend}", "backends", self.backend),
            ("POST", "/jobs", "post", self.submit),
            ("GET", "/jobs", "list", self.jobs),
            ("DELETE", "/jobs", "delete", self.delete_many),
            ("PUT", "/jobs/status/cancel", "cancel", self.cancel_many),
            ("GET", "/jobs/estimate", "estimate", self.estimate),
            ("GET", "/jobs/{id}", "get", self.job),
            ("DELETE", "/jobs/{id}", "delete", self.delete),
            ("PUT", "/jobs/{id}/status/cancel", "cancel", self.cancel),
        )
        for version in ("v0.3", "v0.4"):
            yield from ((method, f"/{version}{path}", word, endpoint) for method, path, word, endpoint in both)
        for path in ("/v0.4/backends/{backend}/characterizations", "/v0.3/characterizations/backends/{backend}"):
            yield "GET", path, "backends", self.characterizations
            yield "GET", path + "/{id}", "backends", self.characterization
        yield "GET", "/v0.3/jobs/{id}/results", "results", self.legacy_results
        yield "GET", "/v0.4/jobs/{id}/cost", "cost", self.cost
        yield "GET", "/v0.4/jobs/{id}/results/probabilities/aggregated", "results", self.aggregated
        yield "GET", "/v0.4/jobs/{id}/results/{format}", "results", self.results
        yield "GET", "/v0.4/jobs/{id}/artifacts/{artifact}", "results", self.artifact
        yield "POST", "/v0.4/sessions", "open", self.open_session
        yield "GET", "/v0.4/sessions", "sessions", self.sessions
        yield "GET", "/v0.4/sessions/{id}", "sessions", self.session
        yield "GET", "/v0.4/sessions/{id}/jobs", "sessions", self.session_jobs
        yield "POST", "/v0.4/sessions/{id}/end", "sessions", self.end_session

    async def whoami(self, request: web.Request) -> web.Response:
        """The user and project of the API key."""
        key_id = self._authorize(request)
        return json_answer({"key_id": key_id, "key_name": "emulator", "project_id": PROJECT_ID})

    async def backends(self, request: web.Request) -> web.Response:
        """All backends; no key is needed."""
        return json_answer([self._describe(machine) for machine in known_machines(_version(request))])

    async def backend(self, request: web.Request) -> web.Response:
        """One backend; no key is needed."""
        return json_answer(self._describe(_machine(request)))

    async def characterizations(self, request: web.Request) -> web.Response:
        """The characterizations of a backend; the simulator has none."""
        machine = _machine(request)
        documents = [] if machine.is_simulator else [self._characterize(machine)]
        return json_answer({"characterizations": documents, "pages": 1})

    async def characterization(self, request: web.Request) -> web.Response:
        """One characterization, by id or as `current`."""
        machine = _machine(request)
        if machine.is_simulator or request.match_info["id"] not in (machine.characterization_id, "current"):
            raise RefusedError(404, f"characterization '{request.match_info['id']}' was not found")
        return json_answer(self._characterize(machine))

    async def submit(self, request: web.Request) -> web.Response:
        """Accept a job."""
        version = _version(request)
        job = await self._service.submit(
            await request.read(),
            version=version,
            submitter_id=self._authorize(request),
            received_unix=request[RECEIVED],
            faults=[fault.kind for fault in request[STRUCK] if fault.concerns_job],
        )
        if version == "v0.3":
            return json_answer({"id": job.id, "status": "ready", "request": int(job.accepted_unix)})
        return json_answer({"id": job.id, "status": "submitted", "session_id": job.order.session_id}, status=201)

    async def jobs(self, request: web.Request) -> web.Response:
        """A page of jobs, newest first."""
        self._authorize(request)
        return self._page(request, session_id=request.query.get("session_id"))

    async def session_jobs(self, request: web.Request) -> web.Response:
        """A page of a session's jobs, newest first."""
        self._authorize(request)
        return self._page(request, session_id=self._service.sessions.find(request.match_info["id"]).id)

    async def job(self, request: web.Request) -> web.Response:
        """One job or child."""
        return json_answer(self._document(self._find(request), _version(request)))

    async def delete(self, request: web.Request) -> web.Response:
        """Delete a job with its children."""
        found = self._find(request)
        self._delete(found)
        return json_answer({"id": found.id, "status": "deleted"})

    async def delete_many(self, request: web.Request) -> web.Response:
        """Delete jobs; either all exist, or none is deleted."""
        found = await self._find_many(request)
        for one in found:
            self._delete(one)
        return json_answer({"ids": [one.id for one in found], "status": "deleted"})

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel a job; a child is cancelled with its parent."""
        found = self._find(request)
        self._service.lifecycle.cancel(found.job)
        return json_answer({"id": found.id, "status": "canceled"})

    async def cancel_many(self, request: web.Request) -> web.Response:
        """Cancel jobs; either all exist, or none is cancelled."""
        found = await self._find_many(request)
        for one in found:
            self._service.lifecycle.cancel(one.job)
        return json_answer({"ids": [one.id for one in found], "status": "canceled"})

    async def cost(self, request: web.Request) -> web.Response:
        """The cost of a job."""
        now_seconds = self._service.clock.protocol_seconds()
        return json_answer(cost_document(self._find(request), now_seconds=now_seconds))

    async def estimate(self, request: web.Request) -> web.Response:
        """The estimated cost of a job that was not sent."""
        self._authorize(request)
        backend = request.query.get("backend", "")
        if backend not in MACHINES:
            raise UsageError(f"backend must be one of {', '.join(MACHINES)}, not '{backend}'")
        numbers = {name: _read_count(request, name, default) for name, default in ESTIMATE_DEFAULTS.items()}
        context: dict[str, object] = {"backend": backend, "type": request.query.get("type", SINGLE), **numbers}
        context |= {name: request.query.get(name) == "true" for name in ("error_mitigation", "session")}
        service = self._service
        return json_answer(
            estimate_document(
                context,
                gates=None if MACHINES[backend].is_simulator else service.prices.gates,
                price_micros=service.prices.estimate_micros(
                    backend,
                    n_one=numbers["1q_gates"],
                    n_two=numbers["2q_gates"],
                    shots=numbers["shots"],
                    is_mitigated=bool(context["error_mitigation"]),
                ),
                estimated_at=format_iso(service.clock.unix()),
                queue_ms=round(1000 * service.queue.mean_seconds),
                compute_us=compute_time_us(
                    n_one=numbers["1q_gates"], n_two=numbers["2q_gates"], shots=numbers["shots"]
                ),
            )
        )

    async def results(self, request: web.Request) -> web.Response:
        """The result of one circuit, by the name of its format. `sharpen` is accepted and has no effect."""
        return self._encode(self._find(request), request.match_info["format"])

    async def artifact(self, request: web.Request) -> web.Response:
        """The result of a job by the id of its artifact."""
        found = self._find(request)
        wanted = request.match_info["artifact"]
        if wanted == AGGREGATE:
            return await self._encode_children(found)
        name = next((name for name, form in FORMATS.items() if form.artifact == wanted), "")
        return self._encode(found, name)

    async def aggregated(self, request: web.Request) -> web.Response:
        """The probabilities of all children."""
        return await self._encode_children(self._find(request))

    async def legacy_results(self, request: web.Request) -> web.Response:
        """v0.3: probabilities of one circuit, or of all children."""
        found = self._find(request)
        is_parent = found.child is None and found.job.order.is_multi
        return await self._encode_children(found) if is_parent else self._encode(found, "probabilities")

    async def open_session(self, request: web.Request) -> web.Response:
        """Open a session."""
        creator_id = self._authorize(request)
        wire = decode_session(await request.read())
        if wire.backend not in MACHINES:
            raise UsageError(f"backend must be one of {', '.join(MACHINES)}, not '{wire.backend}'")
        sessions = self._service.sessions
        return json_answer(sessions.document(sessions.open(wire, creator_id=creator_id)), status=201)

    async def sessions(self, request: web.Request) -> web.Response:
        """All sessions, or those that are active or are not."""
        self._authorize(request)
        sessions, wanted = self._service.sessions, request.query.get("active")
        documents = [sessions.document(session) for session in sessions.all()]
        shown = [each for each in documents if wanted is None or each["active"] is (wanted == "true")]
        return json_answer({"organization_id": ORGANIZATION_ID, "sessions": shown})

    async def session(self, request: web.Request) -> web.Response:
        """One session."""
        self._authorize(request)
        sessions = self._service.sessions
        return json_answer(sessions.document(sessions.find(request.match_info["id"])))

    async def end_session(self, request: web.Request) -> web.Response:
        """End a session, which takes no more jobs."""
        ender_id = self._authorize(request)
        sessions = self._service.sessions
        return json_answer(sessions.document(sessions.end(request.match_info["id"], ender_id=ender_id)))

    def _authorize(self, request: web.Request) -> str:
        return self._service.authorize(request.headers.get("Authorization"))

    def _find(self, request: web.Request) -> Found:
        self._authorize(request)
        return self._service.registry.find(request.match_info["id"])

    async def _find_many(self, request: web.Request) -> list[Found]:
        self._authorize(request)
        return [self._service.registry.find(job_id) for job_id in decode_ids(await request.read())]

    def _delete(self, found: Found) -> None:
        if found.status not in FINAL:
            self._service.lifecycle.cancel(found.job)
        self._service.registry.delete(found)

    def _describe(self, machine: Machine) -> dict[str, object]:
        service = self._service
        return backend_document(
            machine,
            is_available=service.is_available,
            queue_seconds=service.queue.mean_seconds,
            updated_unix=service.clock.unix(),
        )

    def _characterize(self, machine: Machine) -> dict[str, object]:
        return characterization_document(machine, date_unix=self._service.clock.unix())

    def _document(self, found: Found, version: str) -> dict[str, object]:
        clock = self._service.clock
        if version == "v0.3":
            return legacy_document(found, clock=clock)
        return job_document(found, clock=clock, result_shapes=self._service.settings.results)

    def _page(self, request: web.Request, *, session_id: str | None) -> web.Response:
        query, version = request.query, _version(request)
        wanted = {"status": query.get("status"), "target": query.get("target"), "submitter": query.get("submitter_id")}

        def matches(found: Found) -> bool:
            order = found.job.order
            status = legacy_status(found.status) if version == "v0.3" else found.status
            actual = {"status": status, "target": order.backend, "submitter": order.submitter_id}
            is_session = session_id is None or order.session_id == session_id
            return is_session and all(wish in (None, actual[name]) for name, wish in wanted.items())

        page, cursor = self._service.registry.page(
            matches,
            ids=[job_id for text in query.getall("ids", []) for job_id in text.split(",") if job_id],
            parent_id=query.get("parent_job_id", ""),
            limit=min(PAGE, max(1, _read_count(request, "limit", PAGE))),
            cursor=query.get("next", ""),
        )
        return json_answer({"jobs": [self._document(found, version) for found in page], "next": cursor})

    def _encode(self, found: Found, format_name: str) -> web.Response:
        outcomes = found.job.outcomes
        form = FORMATS.get(format_name)
        is_parent = found.child is None and found.job.order.is_multi
        if outcomes is None or form is None or is_parent or found.status not in ("completed", "canceled"):
            raise RefusedError(404, _NO_RESULT)
        if form.is_sampled and found.job.order.is_exact:
            raise RefusedError(404, _NO_RESULT)
        return raw_answer(encode_row(outcomes, found.child or 0, format_name))

    async def _encode_children(self, found: Found) -> web.Response:
        job = found.job
        if job.outcomes is None or found.child is not None or not job.child_ids or job.status == "failed":
            raise RefusedError(404, _NO_RESULT)
        rows = [(index, child) for index, child in enumerate(job.child_ids) if index not in job.failed_children]
        return raw_answer(await asyncio.to_thread(encode_all, job.outcomes, rows))


_PRETENDED = MappingProxyType(
    {
        "post": (201, b'"status":"submitted","session_id":null'),
        "open": (201, b'"status":"created"'),
        "cancel": (200, b'"status":"canceled"'),
    }
)


def pretend(route: str) -> tuple[int, bytes]:
    """Status and JSON that a call of a route would be answered with, about a job that does not exist."""
    status, rest = _PRETENDED.get(route, (200, b'"status":"submitted"'))
    return status, b'{"id":"' + str(uuid.uuid4()).encode() + b'",' + rest + b"}"


_NAMES = MappingProxyType(
    {
        400: "Bad Request",
        401: "Unauthorized Error",
        403: "Forbidden",
        404: "Not Found Error",
        413: "Payload Too Large",
        429: "Too Many Requests",
        500: "Internal Server Error",
        502: "Bad Gateway",
        503: "Service Unavailable",
        504: "Gateway Timeout",
    }
)


def answer_error(_request: web.Request, refusal: RefusedError) -> web.Response:
    """The answer to a call that is refused."""
    name = _NAMES.get(refusal.status, "Error")
    body = {"error": name, "message": str(refusal), "statusCode": refusal.status}
    return json_answer(body, status=refusal.status)


def refuse_key() -> RefusedError:
    """How a call is refused whose key has expired."""
    return RefusedError(401, "the emulator was told to answer 401")


def _version(request: web.Request) -> str:
    return request.path[1:5]


def _machine(request: web.Request) -> Machine:
    machine = MACHINES.get(request.match_info["backend"])
    if machine is None or machine not in known_machines(_version(request)):
        raise RefusedError(404, f"backend '{request.match_info['backend']}' was not found")
    return machine


def _read_count(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise UsageError(f"{name} must be a whole number, not '{text}'")
    return int(text)
