"""The endpoints of jobs, sessions, batches and workloads."""

from collections.abc import Iterator

import msgspec
from aiohttp import web

from qorch.errors import UsageError
from qorch_providers.emulators.ibm.account_routes import API, IbmEndpoint, authorize
from qorch_providers.emulators.ibm.documents import (
    job_document,
    metrics_document,
    session_document,
    usage_document,
    workload_document,
)
from qorch_providers.emulators.ibm.instances import Instance
from qorch_providers.emulators.ibm.jobs import IbmJob, JobFilter, read_unix
from qorch_providers.emulators.ibm.money import whole_seconds
from qorch_providers.emulators.ibm.refusals import IbmRefusedError
from qorch_providers.emulators.ibm.service import IbmService
from qorch_providers.emulators.ibm.sessions import IbmSession
from qorch_providers.emulators.ibm.wire import IbmSessionChangeWire, IbmTagsWire, decode
from qorch_providers.emulators.kit.answers import RefusedError, json_answer, raw_answer
from qorch_providers.emulators.kit.traffic import RECEIVED, STRUCK

MAX_PAGE = 200
_PAGE = 20
_JOB, _SESSION = f"{API}/jobs/{{id}}", f"{API}/sessions/{{id}}"


class JobRoutes:
    """The endpoints of one server."""

    def __init__(self, service: IbmService) -> None:
        """Answer from this service."""
        self._service = service

    def table(self) -> Iterator[tuple[str, str, str, IbmEndpoint]]:
        """Method, path, word and endpoint."""
        yield "POST", f"{API}/jobs", "post", self.submit
        yield "GET", f"{API}/jobs", "list", self.jobs
        yield "GET", _JOB, "get", self.job
        yield "DELETE", _JOB, "delete", self.delete
        yield "GET", f"{_JOB}/results", "results", self.results
        yield "GET", f"{_JOB}/metrics", "metrics", self.metrics
        yield "GET", f"{_JOB}/logs", "logs", self.logs
        yield "POST", f"{_JOB}/cancel", "cancel", self.cancel
        yield "PUT", f"{_JOB}/tags", "tags", self.tag
        yield "POST", f"{API}/sessions", "open", self.open_session
        yield "GET", _SESSION, "session", self.session
        yield "PATCH", _SESSION, "session", self.change_session
        yield "DELETE", f"{_SESSION}/close", "session", self.cancel_session
        yield "GET", f"{API}/workloads", "workloads", self.workloads

    async def submit(self, request: web.Request) -> web.Response:
        """Submit a job."""
        instance = authorize(self._service, request)
        job = await self._service.submit(
            await request.read(),
            instance,
            received_unix=request[RECEIVED],
            faults=[fault.kind for fault in request[STRUCK] if fault.concerns_job],
        )
        document: dict[str, object] = {"id": job.id, "backend": job.order.backend, "private": job.order.is_private}
        if job.order.session_id is not None:
            document["session_id"] = job.order.session_id
        return json_answer(document)

    async def jobs(self, request: web.Request) -> web.Response:
        """List jobs, newest first unless `sort=ASC`."""
        instance = authorize(self._service, request)
        limit, offset = _read_page(request, default=MAX_PAGE)
        found = self._service.registry.select(_read_filter(request), instance, now_unix=self._service.clock.unix())
        if request.query.get("sort", "DESC").upper() != "ASC":
            found.reverse()
        page = [self._show(job) for job in found[offset : offset + limit]]
        return json_answer({"jobs": page, "count": len(found), "limit": limit, "offset": offset})

    async def job(self, request: web.Request) -> web.Response:
        """One job, with its inputs unless they are not wanted or private."""
        job = self._find(request)
        document = self._show(job)
        if request.query.get("exclude_params") != "true" and not job.order.is_private:
            document["params"] = msgspec.Raw(job.params)
        return json_answer(document)

    async def delete(self, request: web.Request) -> web.Response:
        """Delete a job that is over."""
        job = self._find(request)
        if not job.is_over:
            raise IbmRefusedError(409, 1212, f"The job is {job.status} and cannot be deleted")
        job.is_deleted, job.result = True, None
        return web.Response(status=204)

    async def results(self, request: web.Request) -> web.Response:
        """The result of a job; of a private one only once."""
        job = self._find(request)
        if job.status != "Completed":
            return web.Response(status=204)
        if job.result is None:
            raise RefusedError(404, "The results of the job are not available any more")
        body = job.result
        if job.order.is_private:
            job.result = None
        return raw_answer(body)

    async def metrics(self, request: web.Request) -> web.Response:
        """Times and usage of a job."""
        service = self._service
        return json_answer(metrics_document(self._find(request), clock=service.clock, usage=service.times.usage))

    async def logs(self, request: web.Request) -> web.Response:
        """The log of a job that is over."""
        job = self._find(request)
        if not job.is_over:
            raise RefusedError(404, "The logs are available once the job is over")
        return web.Response(text=job.reason or "")

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel a job."""
        self._service.lifecycle.cancel(self._find(request))
        return web.Response(status=204)

    async def tag(self, request: web.Request) -> web.Response:
        """Replace the tags of a job."""
        job = self._find(request)
        job.tags = decode(await request.read(), IbmTagsWire).tags
        return web.Response(status=204)

    async def open_session(self, request: web.Request) -> web.Response:
        """Open a session or batch."""
        instance = authorize(self._service, request)
        return json_answer(self._show_session(self._service.open_session(await request.read(), instance)))

    async def session(self, request: web.Request) -> web.Response:
        """One session or batch."""
        return json_answer(self._show_session(self._find_session(request)))

    async def change_session(self, request: web.Request) -> web.Response:
        """Take jobs or no more jobs."""
        session = self._find_session(request)
        wanted = decode(await request.read(), IbmSessionChangeWire)
        self._service.sessions.accept(session, is_accepting=wanted.accepting_jobs)
        return web.Response(status=204)

    async def cancel_session(self, request: web.Request) -> web.Response:
        """Cancel the jobs of a session and close it."""
        self._service.cancel_session(self._find_session(request))
        return web.Response(status=204)

    async def workloads(self, request: web.Request) -> web.Response:
        """List sessions, batches, and jobs outside of them, newest first unless `sort=createdAt`."""
        instance = authorize(self._service, request)
        limit, offset = _read_page(request, cursor="next")
        found = self._select_workloads(request, instance)
        page = found[offset : offset + limit]
        document: dict[str, object] = {"workloads": page, "total_count": len(found), "limit": limit}
        if offset + limit < len(found):
            document["next"] = {"href": str(request.rel_url.update_query(next=str(offset + limit)))}
        return json_answer(document)

    def _select_workloads(self, request: web.Request, instance: Instance) -> list[dict[str, object]]:
        wanted = _read_filter(request)
        modes, statuses = request.query.getall("mode", []), request.query.getall("status", [])
        jobs = self._service.registry.select(wanted, instance, now_unix=self._service.clock.unix())
        sessions = [each for each in self._service.sessions.sessions if self._is_wanted(each, wanted, instance)]
        listed: list[IbmJob | IbmSession] = [job for job in jobs if job.order.session_id is None]
        listed += sessions
        documents = [self._show_workload(each) for each in listed]
        chosen = [
            each
            for each in documents
            if (not modes or each["mode"] in modes) and (not statuses or each["status"] in statuses)
        ]
        return sorted(chosen, key=lambda each: str(each["created"]), reverse=request.query.get("sort") != "createdAt")

    def _is_wanted(self, session: IbmSession, wanted: JobFilter, instance: Instance) -> bool:
        age_seconds = self._service.clock.unix() - session.created_unix
        settings = self._service.settings
        return (
            session.instance is instance
            and age_seconds >= settings.visible_seconds / settings.time_scale
            and wanted.backend in (None, session.backend)
            and not wanted.tags
            and (wanted.after_unix is None or session.created_unix >= wanted.after_unix)
            and (wanted.before_unix is None or session.created_unix <= wanted.before_unix)
        )

    def _show_workload(self, found: IbmJob | IbmSession) -> dict[str, object]:
        service = self._service
        if isinstance(found, IbmJob):
            usage = usage_document(found, now_seconds=service.clock.protocol_seconds())
        else:
            seconds = whole_seconds(service.session_seconds(found))
            usage = {"qpu_charge_time_seconds": seconds,
                     "status": "complete" if found.state == "closed" else "pending"}  # fmt: skip
        return workload_document(found, clock=service.clock, usage=usage)

    def _show(self, job: IbmJob) -> dict[str, object]:
        return job_document(job, clock=self._service.clock, usage=self._service.times.usage)

    def _show_session(self, session: IbmSession) -> dict[str, object]:
        service = self._service
        return session_document(
            session,
            clock=service.clock,
            interactive_seconds=service.settings.interactive_seconds,
            used_seconds=service.session_seconds(session),
        )

    def _find(self, request: web.Request) -> IbmJob:
        instance = authorize(self._service, request)
        return self._service.registry.find(request.match_info["id"], instance)

    def _find_session(self, request: web.Request) -> IbmSession:
        instance = authorize(self._service, request)
        return self._service.sessions.find(request.match_info["id"], instance)


def _read_filter(request: web.Request) -> JobFilter:
    query = request.query
    pending = query.get("pending")
    if pending not in (None, "true", "false"):
        raise UsageError(f"pending must be true or false, not '{pending}'")
    return JobFilter(
        backend=query.get("backend"),
        program=query.get("program"),
        tags=frozenset(query.getall("tags", [])),
        session_id=query.get("session_id"),
        is_pending=None if pending is None else pending == "true",
        has_mocks=query.get("include_mocks", "").lower() == "true",
        after_unix=read_unix(query.get("created_after")),
        before_unix=read_unix(query.get("created_before")),
    )


def _read_page(request: web.Request, *, cursor: str = "offset", default: int = _PAGE) -> tuple[int, int]:
    """The limit and offset of a list; a limit out of range is the default, as IBM specifies. Raises UsageError."""
    texts = (request.query.get("limit", str(default)), request.query.get(cursor, "0"))
    if not all(text.isdecimal() and len(text) < 10 for text in texts):
        raise UsageError(f"limit and {cursor} must be numbers")
    limit, offset = map(int, texts)
    return limit if 1 <= limit <= MAX_PAGE else default, offset
