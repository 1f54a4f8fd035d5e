"""A client for IBM Quantum's REST API, one try per call: answers as documents, failures as errors of qorch."""

import datetime
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from qorch.errors import (
    BackendError,
    BusyError,
    InvalidResultError,
    JobMissingError,
    UnknownOutcomeError,
    UnreachableError,
)
from qorch_providers.http import HttpClient, HttpResponse, NotSentError, decode_body, is_safe_id, server_time
from qorch_providers.ibm.account import URL_NAME
from qorch_providers.ibm.wire.documents import (
    IbmDeviceLine,
    IbmDeviceState,
    IbmInstance,
    IbmInstanceUsage,
    IbmJobView,
    IbmPage,
    IbmTimes,
    decode_accepted,
    decode_devices,
    decode_instances,
    decode_job,
    decode_page,
    decode_state,
    decode_times,
    decode_usage,
)
from qorch_providers.ibm.wire.refusals import is_missing, is_session_over, read_failure, read_refusal
from qorch_providers.ibm.wire.session_documents import (
    IbmWorkload,
    decode_session,
    decode_workloads,
    encode_closing,
)

API_VERSION = "2026-04-15"
"""The one that qiskit-ibm-runtime 0.51 speaks."""
PAGE_JOBS = 200
_INSTANCES = "service_name:quantum-computing"
_MOST_INSTANCE_PAGES = 20
_DATE_DOUBT = datetime.timedelta(seconds=2)
_CLOCK_DOUBT = datetime.timedelta(minutes=6)
Query = Sequence[tuple[str, str]]

T = TypeVar("T")


@dataclass(frozen=True)
class AcceptedIbmJob:
    """A job that was accepted; it was not made before ``created_from``, by the server's clock."""

    job_id: str
    created_from: datetime.datetime


class IbmClient:
    """A client of one instance. ``calls`` counts the calls by purpose: submit, poll, usage, find, and so on.

    Except ``submit``, everything is safe to repeat and raises UnreachableError if no answer came, another BusyError
    if the answer cannot be read, CredentialsError if the credentials were refused.
    """

    def __init__(self, http: HttpClient, *, url: str) -> None:
        """``http`` is closed with this client; ``url``: of the API, for messages."""
        self.calls: Counter[str] = Counter()
        self.clock_lead = datetime.timedelta()
        """How far the server's clock is before this machine's, by its last answer."""
        self._http = http
        self._url = url
        self._has_answered = False

    async def submit(self, body: bytes) -> AcceptedIbmJob:
        """POST a job, once. Raises what ``read_refusal`` says, NotSentError and NoAnswerError."""
        response = await self._post("submit", "/jobs", body)
        if not response.is_success:
            raise read_refusal(response)
        try:
            job_id = decode_accepted(response.body)
        except InvalidResultError as error:
            raise UnknownOutcomeError(
                f"IBM Quantum accepted a job, but its id cannot be read ({error}); it is looked for by its tag"
            ) from error
        return AcceptedIbmJob(job_id, _created_from(response))

    async def job(self, job_id: str, *, purpose: str) -> IbmJobView | None:
        """A job, without its inputs; None if IBM has no such job."""
        if not is_safe_id(job_id):
            return None
        response = await self._ask(purpose, "GET", f"/jobs/{job_id}", query=[("exclude_params", "true")])
        if is_missing(response):
            return None
        found = await self._read(self._check(response), decode_job)
        if found.job_id != job_id:
            raise BusyError(
                f"IBM Quantum was asked for job {job_id} and answered with {found.job_id}; it is asked again"
            )
        return found

    async def jobs(self, query: Query, *, offset: int, purpose: str) -> IbmPage:
        """A page of the list of jobs, from new to old."""
        page = [("limit", str(PAGE_JOBS)), ("offset", str(offset)), ("exclude_params", "true")]
        response = await self._ask(purpose, "GET", "/jobs", query=[*page, *query])
        return await self._read(self._check(response), decode_page)

    async def has_jobs(self, device: str) -> bool:
        """Whether the list shows a job of a device; a list that does not know the device (400, 404) shows none."""
        query = [("limit", "1"), ("offset", "0"), ("exclude_params", "true"), ("backend", device)]
        response = await self._ask("availability", "GET", "/jobs", query=query)
        if response.status == 400 or is_missing(response):
            return False
        return bool((await self._read(self._check(response), decode_page)).jobs)

    async def results(self, job_id: str) -> bytes | None:
        """The results of a job, verbatim; None if there are none yet. Raises JobMissingError if none are left."""
        response = await self._ask("fetch", "GET", f"/jobs/{job_id}/results")
        if is_missing(response):
            raise JobMissingError(f"IBM Quantum has no results of job {job_id}")
        if response.status == 204:
            return None
        return self._check(response)

    async def times(self, job_id: str, *, purpose: str = "poll") -> IbmTimes:
        """When a job began to run and ended, and what it was charged for."""
        response = await self._ask(purpose, "GET", f"/jobs/{job_id}/metrics")
        return await self._read(self._check(response), decode_times)

    async def cancel(self, job_id: str) -> None:
        """Cancel a job; no error if it is over, or does not exist."""
        if not is_safe_id(job_id):
            return
        response = await self._ask("cancel", "POST", f"/jobs/{job_id}/cancel")
        if not response.is_success and response.status not in (400, 404, 409):
            raise read_failure(response)

    async def open_session(self, body: bytes) -> str:
        """POST a session or batch, once; its id. Raises what ``submit`` raises."""
        response = await self._post("open session", "/sessions", body)
        if not response.is_success:
            raise read_refusal(response, what="a session")
        try:
            return decode_session(response.body)[0]
        except InvalidResultError as error:
            raise UnknownOutcomeError(f"IBM Quantum opened a session, but its id cannot be read ({error})") from error

    async def session_ttl(self, session_id: str) -> int | None:
        """The longest time of a session, in seconds; None if IBM has no such session, or does not say."""
        response = await self._ask("find session", "GET", ["sessions", session_id])
        if is_missing(response):
            return None
        return (await self._read(self._check(response), decode_session))[1]

    async def workloads(self, query: Query) -> tuple[tuple[IbmWorkload, ...], str]:
        """A page of the list of sessions and batches, and the cursor of the next; empty on the last."""
        response = await self._ask("find session", "GET", "/workloads", query=query)
        return await self._read(self._check(response), decode_workloads)

    async def close_session(self, session_id: str) -> None:
        """Let a session take no more jobs; no error if it is closed, or does not exist."""
        content = encode_closing()
        response = await self._ask("close session", "PATCH", ["sessions", session_id], content=content)
        if not response.is_success and not is_missing(response) and not is_session_over(response):
            raise read_failure(response, what="the closing of a session")

    async def devices(self) -> tuple[IbmDeviceLine, ...]:
        """The devices of the instance."""
        return await self._read(self._check(await self._ask("availability", "GET", "/backends")), decode_devices)

    async def configuration(self, name: str) -> bytes | None:
        """What a device is; None if the instance has no such device."""
        return await self._ask_device(name, "configuration")

    async def properties(self, name: str) -> bytes | None:
        """How good a device is; None if there is nothing."""
        return await self._ask_device(name, "properties")

    async def state(self, name: str) -> IbmDeviceState | None:
        """How a device is now; None if the instance has no such device."""
        body = await self._ask_device(name, "status")
        return None if body is None else await self._read(body, decode_state)

    async def usage(self) -> IbmInstanceUsage:
        """What the instance has used."""
        response = await self._ask("availability", "GET", "/instances/usage")
        return await self._read(self._check(response), decode_usage)

    async def aclose(self) -> None:
        """Close the connections; may be called twice."""
        await self._http.aclose()

    async def _ask_device(self, name: str, what: str) -> bytes | None:
        response = await self._ask("availability", "GET", ["backends", name, what])
        return None if is_missing(response) else self._check(response)

    async def _post(self, purpose: str, path: str, body: bytes) -> HttpResponse:
        """Send what must not be sent twice. Raises NotSentError and NoAnswerError."""
        self.calls[purpose] += 1
        try:
            response = await self._http.send("POST", path, content=body)
        except NotSentError as error:
            raise NotSentError(self._tell_unreachable(error)) from error
        self._note(response)
        return response

    async def _ask(
        self, purpose: str, method: str, path: str | Sequence[str], *, query: Query = (), content: bytes | None = None
    ) -> HttpResponse:
        self.calls[purpose] += 1
        try:
            response = await self._http.ask(method, path, query=query, content=content)
        except UnreachableError as error:
            raise UnreachableError(self._tell_unreachable(error)) from error
        self._note(response)
        return response

    def _note(self, response: HttpResponse) -> None:
        self._has_answered = True
        date = server_time(response.headers)
        if date is not None:
            self.clock_lead = date - response.received_at

    def _check(self, response: HttpResponse) -> bytes:
        if response.status != 200:
            raise read_failure(response)
        return response.body

    async def _read(self, body: bytes, decode: Callable[[bytes], T]) -> T:
        try:
            return await decode_body(body, decode)
        except InvalidResultError as error:
            raise BusyError(f"IBM Quantum's answer cannot be read ({error}); it is asked again") from error

    def _tell_unreachable(self, problem: BackendError) -> str:
        """The problem and, until the server has answered once, what the user should check."""
        if self._has_answered:
            return str(problem)
        return (
            f"{problem}. Nothing has answered as IBM Quantum at {self._url} so far: look at {URL_NAME} (if it is set),"
            " the region in the CRN and the network; qorch uses no proxy"
        )


async def list_instances(http: HttpClient) -> list[IbmInstance]:
    """All instances of the account. ``http``: a client of the service that searches an account.

    Raises BusyError if the search does not answer, CredentialsError if it refuses.
    """
    found: list[IbmInstance] = []
    cursor = ""
    for _ in range(_MOST_INSTANCE_PAGES):
        document = {"query": _INSTANCES, "fields": ["crn", "name", "doc"]}
        content = msgspec.json.encode(document | ({"search_cursor": cursor} if cursor else {}))
        response = await http.ask("POST", "/v3/resources/search", content=content, query=[("limit", "100")])
        if response.status != 200:
            raise read_failure(response, what="the search for instances")
        try:
            instances, cursor = decode_instances(response.body)
        except InvalidResultError as error:
            raise BusyError(f"the search for instances cannot be read ({error}); it is asked again") from error
        found += instances
        if not cursor:
            break
    return found


def _created_from(response: HttpResponse) -> datetime.datetime:
    """The earliest time, by the server's clock, at which the answered request can have made something."""
    marks, date = response.marks, server_time(response.headers)
    duration = datetime.timedelta(microseconds=(marks.done_ns - marks.begun_ns) / 1000)
    if date is None:
        return response.received_at - duration - _CLOCK_DOUBT
    return date - duration - _DATE_DOUBT
