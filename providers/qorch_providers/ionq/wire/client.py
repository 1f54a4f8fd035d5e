"""A client for IonQ's endpoints, one try per call: answers as documents, failures as errors of qorch."""

import datetime
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from qorch.errors import BackendError, BusyError, InvalidResultError, RejectedError, UnreachableError
from qorch.model.job import Availability
from qorch.model.money import Money
from qorch_providers.http import HttpClient, HttpResponse, NotSentError, decode_body, is_safe_id, mask, server_time
from qorch_providers.ionq.access import URL_NAME, Access
from qorch_providers.ionq.wire.cost import NEVER, NOT_YET, IonqCost, decode_cost
from qorch_providers.ionq.wire.documents import (
    IonqJob,
    RepeatedChildError,
    decode_availability,
    decode_job,
    decode_job_list,
)
from qorch_providers.ionq.wire.estimates import read_estimate
from qorch_providers.ionq.wire.session_documents import IonqSession, decode_session, decode_sessions, in_session
from qorch_providers.ionq.wire.status import (
    NOT_OFFERED,
    REFUSED_QUERY,
    is_missing,
    is_not_offered,
    is_tls_wanted,
    read_failure,
    read_opening,
    read_submission,
)

AT_ONCE = 4
"""How many calls are made at the same time if one question needs several."""

PAGE_ROWS = 25
"""Jobs on one page of a list, by default and at most."""

_MOST_PAGES = 1000

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Page:
    """A page of the list of jobs: read, and verbatim in ``body``. ``cursor`` names the next page, None on the last."""

    jobs: tuple[IonqJob, ...]
    cursor: str | None
    received_at: datetime.datetime
    server_time: datetime.datetime | None
    body: bytes = field(repr=False)


class NoListError(BackendError):
    """The server has no list of jobs; some servers implement only a part of IonQ's protocol."""


class IonqClient:
    """A client of the server at ``base_url``. ``calls`` counts the calls by purpose: submit, poll, find, fetch,
    cancel, availability, diagnose, estimate, open session, find session, close session. ``has_list``: False once the
    server said that it has no list of jobs.

    Except ``submit`` and ``open_session``, everything is safe to repeat and raises UnreachableError if no answer came,
    another BusyError if the answer cannot be read, CredentialsError if the key was refused.
    """

    def __init__(self, http: HttpClient, access: Access, *, version: str) -> None:
        """``http`` is closed with this client."""
        self.calls: Counter[str] = Counter()
        self.has_list = True
        self._has_answered = False
        self._has_listed = False
        self._takes_filters = True
        self._http = http
        self.base_url = access.base_url
        self._secrets = (access.key,)
        self.version = version
        self._jobs = f"/{version}/jobs"
        self._sessions = f"/{version}/sessions"

    async def submit(self, body: bytes, *, session_id: str = "") -> str:
        """POST a job once, into a session if one is named; returns its id.

        Raises what ``read_submission`` raises, NotSentError and NoAnswerError.
        """
        content = in_session(body, session_id) if session_id else body
        response = await self._send("submit", self._jobs, content)
        return read_submission(response, secrets=self._secrets, is_in_session=bool(session_id))

    async def open_session(self, body: bytes) -> str:
        """POST a session once; returns its id. Raises what ``read_opening`` raises, NotSentError and NoAnswerError."""
        response = await self._send("open session", self._sessions, body)
        return read_opening(response, secrets=self._secrets)

    async def session(self, session_id: str) -> IonqSession | None:
        """A session; None if IonQ has no such one."""
        response = await self._ask("find session", f"{self._sessions}/{session_id}")
        return None if response is None else await self._read(response.body, decode_session)

    async def sessions(self, *, purpose: str = "find session") -> tuple[IonqSession, ...]:
        """All sessions of the organisation. Raises RejectedError if it has none enabled."""
        response = await self._ask(purpose, self._sessions, missing=is_not_offered)
        if response is None:
            raise RejectedError("IonQ has no sessions for this account; it enables them for an organisation on request")
        return await self._read(response.body, decode_sessions)

    async def session_has_jobs(self, session_id: str) -> bool:
        """Whether any job was sent into a session."""
        response = await self._ask("find session", f"{self._sessions}/{session_id}/jobs", [("limit", "1")])
        if response is None:
            return False
        jobs, _ = await self._read(response.body, lambda body: decode_job_list(body, version=self.version))
        return bool(jobs)

    async def end_session(self, session_id: str) -> None:
        """End a session; no error if it has ended, or does not exist."""
        self.calls["close session"] += 1
        response = await self._call("POST", f"{self._sessions}/{session_id}/end")
        if response.is_success or is_missing(response):
            return
        if response.status in (400, 409):
            found = await self.session(session_id)
            if found is None or found.is_over:
                return
        raise read_failure(response, secrets=self._secrets)

    async def job(self, job_id: str, *, purpose: str) -> tuple[bytes, IonqJob] | None:
        """The job's document, verbatim and read; None if IonQ has no such job, or the id is not a valid one."""
        if not is_safe_id(job_id):
            return None
        response = await self._ask(purpose, f"{self._jobs}/{job_id}")
        if response is None:
            return None

        def read(body: bytes) -> IonqJob:
            job = decode_job(body, version=self.version)
            # Read here, because an unreadable answer is asked for again here; children named twice are reported later.
            with suppress(RepeatedChildError):
                if purpose != "poll":
                    job.child_ids  # noqa: B018
            return job

        job = await self._read(response.body, read)
        if job.job_id != job_id:
            raise BusyError(f"IonQ was asked for job {job_id} and answered with {job.job_id}; it is asked again")
        return response.body, job

    async def cost(self, job_id: str) -> IonqCost:
        """What a job cost that is over; NOT_YET if IonQ does not say so now, NEVER if the server has no costs."""
        self.calls["usage"] += 1
        response = await self._call("GET", f"{self._jobs}/{job_id}/cost")
        if response.status in (404, 410):
            return NOT_YET
        if response.status in NOT_OFFERED:
            return NEVER
        if response.status != 200:
            raise read_failure(response, secrets=self._secrets)
        return await self._read(response.body, decode_cost)

    async def page(self, query: Sequence[tuple[str, str]], *, cursor: str | None = None, purpose: str) -> Page:
        """One page of the list of jobs, the first without ``cursor``. Raises NoListError if the server has none."""
        follow = [("next", cursor)] if cursor else []
        response = await self._ask_list([*query, ("limit", str(PAGE_ROWS)), *follow], purpose)
        jobs, cursor = await self._read(response.body, lambda body: decode_job_list(body, version=self.version))
        self.has_list = self._has_listed = True
        return Page(tuple(jobs), cursor, response.received_at, server_time(response.headers), response.body)

    async def _ask_list(self, query: Sequence[tuple[str, str]], purpose: str) -> HttpResponse:
        """One page of the list; without filters if the server takes none, as callers check every entry themselves."""
        plain = [(name, value) for name, value in query if name == "next"]
        response = await self._call_as(purpose, query if self._takes_filters else plain)
        if response.status in REFUSED_QUERY and self._takes_filters and query != plain:
            response = await self._call_as(purpose, plain)
            self._takes_filters = response.status != 200
        # A server that has listed jobs before has a list: if it denies that now, this is taken to be temporary.
        self.has_list = self._has_listed or not is_not_offered(response)
        if not self.has_list:
            raise NoListError(f"the server has no list of jobs at {self._jobs}; it answered {response.status}")
        if response.status != 200:
            raise read_failure(response, secrets=self._secrets)
        return response

    async def _call_as(self, purpose: str, query: Sequence[tuple[str, str]]) -> HttpResponse:
        self.calls[purpose] += 1
        return await self._call("GET", self._jobs, query)

    async def pages(self, query: Sequence[tuple[str, str]], *, purpose: str) -> AsyncGenerator[Page, None]:
        """All pages. Raises BusyError instead of ending if the list repeats a page or has too many."""
        cursor: str | None = None
        seen: set[str] = set()
        for _ in range(_MOST_PAGES):
            page = await self.page(query, cursor=cursor, purpose=purpose)
            yield page
            cursor = page.cursor
            if cursor is None:
                return
            if cursor in seen:
                raise BusyError("IonQ's list of jobs leads back to a page that was read before; it is asked again")
            seen.add(cursor)
        raise BusyError(f"IonQ's list of jobs has more than {_MOST_PAGES} pages; it is asked again")

    async def results(self, path: str) -> bytes | None:
        """The document of probabilities at a path of IonQ's, verbatim; None if there is none (yet)."""
        # Also if a gateway says so: the job does not count as lost because of it.
        response = await self._ask("fetch", path, missing=lambda found: found.status in (404, 405, 410, 501))
        if response is None:
            return None
        if not response.body.lstrip().startswith(b"{"):
            raise BusyError(f"GET {path} was answered with something else than JSON; it is asked again")
        return response.body

    async def cancel(self, job_id: str) -> None:
        """Ask IonQ to cancel a job; no error if it has finished, or does not exist."""
        self.calls["cancel"] += 1
        response = await self._call("PUT", f"{self._jobs}/{job_id}/status/cancel")
        if not response.is_success and response.status not in (400, 404, 409):
            raise read_failure(response, secrets=self._secrets)

    async def availability(self, target: str) -> tuple[Availability, str | None] | None:
        """Whether the target takes jobs, and the id of its characterization; None if IonQ has no such target.

        A server that describes no targets at all counts as open.
        """
        # v0.3 documents only the list.
        names = (f"/{target}", "") if self.version != "v0.3" else ("",)
        for name in names:
            path = f"/{self.version}/backends{name}"
            response = await self._ask("availability", path, missing=lambda found: found.status in (404, 405, 501))
            if response is not None:
                return await self._read(response.body, lambda body: decode_availability(body, target=target))
        return Availability(is_open=True, reason="the server describes no targets"), None

    async def estimate(self, query: Sequence[tuple[str, str]]) -> Money | None:
        """What a job would cost, None if that is in credits. Raises BackendError if the server estimates nothing."""
        path = f"{self._jobs}/estimate"
        response = await self._ask("estimate", path, query, missing=lambda found: found.status in (404, 405, 501))
        if response is None:
            raise BackendError(f"the server estimates no costs: it has no {path}")
        return await self._read(response.body, read_estimate)

    async def aclose(self) -> None:
        """Close the connections; may be called twice."""
        await self._http.aclose()

    async def _ask(
        self,
        purpose: str,
        path: str,
        query: Sequence[tuple[str, str]] = (),
        *,
        missing: Callable[[HttpResponse], bool] = is_missing,
    ) -> HttpResponse | None:
        """The answer, or None if ``missing`` finds that it says that the requested object does not exist."""
        self.calls[purpose] += 1
        response = await self._call("GET", path, query)
        if missing(response):
            return None
        if response.status != 200:
            raise read_failure(response, secrets=self._secrets)
        return response

    async def _send(self, purpose: str, path: str, content: bytes) -> HttpResponse:
        """POST once what must not be sent twice."""
        self.calls[purpose] += 1
        try:
            response = await self._http.send("POST", path, content=content)
        except NotSentError as error:
            raise NotSentError(self._tell_unreachable(error)) from error
        self._has_answered = True
        return response

    async def _call(self, method: str, path: str, query: Sequence[tuple[str, str]] = ()) -> HttpResponse:
        try:
            response = await self._http.ask(method, path, query=query)
        except UnreachableError as error:
            raise UnreachableError(self._tell_unreachable(error)) from error
        if is_tls_wanted(response):
            words = f"{method} {path}: the server at {self.base_url} wants https"
            raise UnreachableError(self._tell_unreachable(words))
        self._has_answered = True
        return response

    def _tell_unreachable(self, problem: Exception | str) -> str:
        """The problem and, until the server has answered once, what the user should check."""
        if self._has_answered:
            return str(problem)
        return (
            f"{problem}. Nothing has answered as IonQ's API at {self.base_url} so far: look at {URL_NAME} (host name,"
            " port, https or http) and at the network; qorch uses no proxy (HTTPS_PROXY is not read)"
        )

    async def _read(self, body: bytes, decode: Callable[[bytes], Result]) -> Result:
        try:
            return await decode_body(body, decode)
        except InvalidResultError as error:
            told = mask(str(error), self._secrets)
        # Not chained: the error's own text is the server's, which may echo the key.
        raise BusyError(f"IonQ's answer cannot be read ({told}); it is asked again")
