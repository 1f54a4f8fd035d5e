"""A client for Amazon Braket's control plane, one try per call: answers as documents, failures as errors of qorch."""

import datetime
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from qorch.errors import BackendError, BusyError, InvalidResultError, UnknownOutcomeError, UnreachableError
from qorch.model.money import Money
from qorch_providers.braket.wire.documents import BraketTask, decode_accepted, decode_page, decode_task, is_task_arn
from qorch_providers.braket.wire.quotas import BraketQuotas, CallQuota
from qorch_providers.braket.wire.refusals import Locate, is_invalid, is_missing, read_failure, read_refusal
from qorch_providers.braket.wire.spending_documents import (
    SpendingLimit,
    decode_limits,
    encode_changed_limit,
    encode_new_limit,
    encode_search,
)
from qorch_providers.http import HttpClient, HttpResponse, NotSentError, decode_body, server_time

PAGE_TASKS = 100
"""Tasks on one page of a search, at most."""
_MOST_LIMIT_PAGES = 20
KEPT_SEARCHES = 10
"""Of the searches that the quota allows at once, so many are kept for what cannot be found out without one."""
_DATE_DOUBT = datetime.timedelta(seconds=2)
_CLOCK_DOUBT = datetime.timedelta(minutes=6)
"""AWS accepts no signature of a clock that is further from its own than five minutes."""

T = TypeVar("T")


@dataclass(frozen=True)
class AcceptedTask:
    """A task that was accepted; a new one was not made before ``created_from``, by Braket's clock."""

    arn: str
    created_from: datetime.datetime


@dataclass(frozen=True)
class TaskPage:
    """A page of a search; ``token`` names the next one, None on the last."""

    tasks: tuple[BraketTask, ...]
    token: str | None


@dataclass(frozen=True)
class SearchFilter:
    """One condition of a search."""

    name: str
    operator: str
    value: str


class BraketClient:
    """A client of one region. ``calls`` counts the calls by purpose: submit, poll, find, fetch, cancel, availability,
    limit.

    Except ``submit``, everything is safe to repeat and raises UnreachableError if no answer came, another BusyError
    if the answer cannot be read, CredentialsError if the credentials were refused. It keeps Braket's quotas.
    """

    def __init__(self, http: HttpClient, *, endpoint: str, quotas: BraketQuotas) -> None:
        """``http`` is closed with this client; ``endpoint``: its URL, for messages."""
        self.calls: Counter[str] = Counter()
        self._http = http
        self._endpoint = endpoint
        self._quotas = quotas
        self._has_answered = False

    async def submit(self, body: bytes, *, locate: Locate | None = None) -> AcceptedTask:
        """CreateQuantumTask, once. Raises what ``read_refusal`` says, NotSentError and NoAnswerError."""
        self.calls["submit"] += 1
        try:
            response = await self._http.send("POST", "/quantum-task", content=body)
        except NotSentError as error:
            raise NotSentError(self._tell_unreachable(error)) from error
        self._has_answered = True
        if not response.is_success:
            raise read_refusal(response, locate=locate)
        try:
            arn = decode_accepted(response.body)
        except InvalidResultError as error:
            raise UnknownOutcomeError(
                f"Amazon Braket accepted a task, but its ARN cannot be read ({error}); it is asked for by its token"
            ) from error
        return AcceptedTask(arn, _created_from(response))

    async def task(self, arn: str, *, purpose: str) -> BraketTask | None:
        """A task with its place in the queue; None if Braket has no such task, or the ARN is not one."""
        if not is_task_arn(arn):
            return None
        query = [("additionalAttributeNames", "QueueInfo")]
        response = await self._ask(purpose, self._quotas.task, "GET", ["quantum-task", arn], query=query)
        if is_missing(response):
            return None
        found = await self._read(self._check(response), decode_task)
        if found.arn != arn:
            raise BusyError(f"Amazon Braket was asked for {arn} and answered with {found.arn}; it is asked again")
        return found

    async def search(self, filters: Sequence[SearchFilter], *, token: str | None = None, purpose: str) -> TaskPage:
        """One page of SearchQuantumTasks, the first without ``token``."""
        document: dict[str, object] = {
            "filters": [{"name": each.name, "operator": each.operator, "values": [each.value]} for each in filters],
            "maxResults": PAGE_TASKS,
        }
        if token is not None:
            document["nextToken"] = token
        content = msgspec.json.encode(document)
        response = await self._ask(purpose, self._quotas.search, "POST", "/quantum-tasks", content=content)
        tasks, following = await self._read(self._check(response), decode_page)
        return TaskPage(tuple(tasks), following)

    @property
    def has_spare_searches(self) -> bool:
        """Whether a search would go at once, and leave enough for others."""
        return self._quotas.search.left > KEPT_SEARCHES

    async def cancel(self, arn: str, *, token: str) -> None:
        """CancelQuantumTask; no error if the task is over, or does not exist."""
        if not is_task_arn(arn):
            return
        content = msgspec.json.encode({"clientToken": token})
        response = await self._ask(
            "cancel", self._quotas.cancel, "PUT", ["quantum-task", arn, "cancel"], content=content
        )
        if not response.is_success and response.status not in (400, 404, 409):
            raise read_failure(response)

    async def device(self, arn: str) -> bytes | None:
        """GetDevice: the device's document; None if Braket has no such device in this region."""
        response = await self._ask("availability", self._quotas.device, "GET", ["device", arn])
        return None if is_missing(response) or is_invalid(response) else self._check(response)

    async def spending_limits(self, device_arn: str, *, purpose: str) -> list[SpendingLimit]:
        """SearchSpendingLimits: all limits of a device in this region. Raises BusyError if there are too many pages."""
        found: list[SpendingLimit] = []
        token: str | None = None
        for _ in range(_MOST_LIMIT_PAGES):
            content = encode_search(device_arn, token=token)
            response = await self._ask(purpose, self._quotas.device, "POST", "/spending-limits", content=content)
            page, token = await self._read(self._check(response), decode_limits)
            found += page
            if token is None:
                return found
        raise BusyError(f"Amazon Braket's list of spending limits has more than {_MOST_LIMIT_PAGES} pages")

    async def create_spending_limit(self, device_arn: str, limit: Money, *, token: str) -> str:
        """CreateSpendingLimit, the same however often the token comes; why Braket refuses it, empty if it does not."""
        content = encode_new_limit(device_arn, limit, token=token)
        return await self._set_limit("POST", "/spending-limit", content)

    async def update_spending_limit(self, arn: str, limit: Money, *, token: str) -> str:
        """UpdateSpendingLimit, the same however often the token comes; why Braket refuses it, empty if it does not."""
        content = encode_changed_limit(limit, token=token)
        return await self._set_limit("PATCH", ["spending-limit", arn, "update"], content)

    async def _set_limit(self, method: str, path: str | Sequence[str], content: bytes) -> str:
        response = await self._ask("limit", self._quotas.device, method, path, content=content)
        if response.is_success:
            return ""
        failure = read_failure(response, what="a spending limit")
        if is_invalid(response):
            return str(failure)
        raise failure

    async def aclose(self) -> None:
        """Close the connections; may be called twice."""
        await self._http.aclose()

    async def _ask(
        self,
        purpose: str,
        quota: CallQuota,
        method: str,
        path: str | Sequence[str],
        *,
        content: bytes | None = None,
        query: Sequence[tuple[str, str]] = (),
    ) -> HttpResponse:
        def call() -> Awaitable[HttpResponse]:
            self.calls[purpose] += 1
            return self._http.ask(method, path, content=content, query=query)

        try:
            response = await quota.call(call)
        except UnreachableError as error:
            raise UnreachableError(self._tell_unreachable(error)) from error
        self._has_answered = True
        return response

    def _check(self, response: HttpResponse) -> bytes:
        if response.status != 200:
            raise read_failure(response)
        return response.body

    async def _read(self, body: bytes, decode: Callable[[bytes], T]) -> T:
        try:
            return await decode_body(body, decode)
        except InvalidResultError as error:
            raise BusyError(f"Amazon Braket's answer cannot be read ({error}); it is asked again") from error

    def _tell_unreachable(self, problem: BackendError) -> str:
        """The problem and, until the server has answered once, what the user should check."""
        if self._has_answered:
            return str(problem)
        return (
            f"{problem}. Nothing has answered as Amazon Braket at {self._endpoint} so far: look at"
            " AWS_ENDPOINT_URL_BRAKET (if it is set), the region and the network; qorch uses no proxy"
        )


def _created_from(response: HttpResponse) -> datetime.datetime:
    """The earliest time, by the server's clock, at which the answered request can have made something."""
    marks, date = response.marks, server_time(response.headers)
    duration = datetime.timedelta(microseconds=(marks.done_ns - marks.begun_ns) / 1000)
    if date is None:
        return response.received_at - duration - _CLOCK_DOUBT
    return date - duration - _DATE_DOUBT
