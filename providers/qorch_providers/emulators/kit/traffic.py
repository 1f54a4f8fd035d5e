"""How an emulator handles every call: network latency, faults, rate limits, the call itself, and counting."""

import asyncio
import email.utils
import hashlib
import logging
import math
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from qorch.errors import UsageError
from qorch.model.latency import Latency
from qorch_providers.emulators.kit.answers import RefusedError, raw_answer
from qorch_providers.emulators.kit.clock import ScaledClock
from qorch_providers.emulators.kit.damage import alter_content
from qorch_providers.emulators.kit.faults import (
    CONTENTS,
    STATUSES,
    TOKEN_EXPIRY,
    UNAVAILABLE,
    Fault,
    FaultPlan,
    Moment,
)
from qorch_providers.emulators.kit.rates import CallLimiter
from qorch_providers.emulators.kit.spoiling import spoil

STRUCK: web.RequestKey[list[Fault]] = web.RequestKey("struck", list)
"""The faults that affect this call."""
RECEIVED: web.RequestKey[float] = web.RequestKey("received", float)
"""When the call arrived, in real seconds since 1970."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dialect:
    """How one provider names its calls and words its errors.

    ``name_call``: the route of a request, as faults and limits name it; None for the emulator's own routes, which
    have neither. ``answer_error``: the answer to a call that is refused. ``pretend``: status and JSON of the answer to
    a call of this route that is answered without being processed. ``refuse_key``: the answer to a call with an expired
    key. ``alter``: a body with wrong content, by the kind of the fault.
    """

    name_call: Callable[[web.Request], str | None]
    answer_error: Callable[[web.Request, RefusedError], web.Response]
    pretend: Callable[[str], tuple[int, bytes]]
    refuse_key: Callable[[], RefusedError]
    alter: Callable[[str, bytes], bytes] = alter_content


class Traffic:
    """The middleware of one emulated server, through which all calls pass."""

    def __init__(
        self,
        dialect: Dialect,
        *,
        clock: ScaledClock,
        network: Latency,
        limiter: CallLimiter,
        plan: Callable[[], FaultPlan],
        rng: np.random.Generator,
        retry_after: str,
    ) -> None:
        """``plan`` is called for every call, since faults may change; ``retry_after``: `seconds`, `date` or `none`."""
        self.calls_by_route: Counter[str] = Counter()
        self.calls_by_status: Counter[str] = Counter()
        self.digests_by_route: defaultdict[str, list[str]] = defaultdict(list)
        self._dialect = dialect
        self._clock = clock
        self._network = network
        self._limiter = limiter
        self._plan = plan
        self._rng = rng
        self._retry_after = retry_after
        self._background: set[asyncio.Task[web.Response]] = set()

    @property
    def calls(self) -> dict[str, dict[str, int]]:
        """Numbers of calls by method and route, and by their end: a status, or the fault that broke the connection."""
        return {"by_route": dict(self.calls_by_route), "by_status": dict(self.calls_by_status)}

    def forget(self) -> None:
        """Set all counts to 0."""
        self.calls_by_route.clear()
        self.calls_by_status.clear()
        self.digests_by_route.clear()

    async def close(self) -> None:
        """Cancel the calls that are still processed in the background."""
        for task in tuple(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    @property
    def middleware(self) -> Middleware:
        """The middleware to give to the application."""

        @web.middleware
        async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
            route = self._dialect.name_call(request)
            if route is None:
                return await self._pass(None, request, handler)
            return await self._handle(route, request, handler)

        return handle

    async def _handle(self, route: str, request: web.Request, handler: Handler) -> web.StreamResponse:
        request[RECEIVED] = self._clock.unix()
        self.calls_by_route[_pattern(request)] += 1
        half_seconds = self._network.draw_seconds(self._rng) / 2
        await self._clock.sleep(half_seconds)
        struck = self._plan().draw(route, now_seconds=self._clock.protocol_seconds())
        request[STRUCK] = struck
        fault = next((fault for fault in struck if not fault.concerns_job and fault.kind != UNAVAILABLE), None)
        answer = await self._do(route, request, handler, fault)
        await self._clock.sleep(half_seconds)
        return await self._send(request, answer, fault)

    async def _do(self, route: str, request: web.Request, handler: Handler, fault: Fault | None) -> web.Response:
        """Process the call now, later or never; returns the answer of a server without faults."""
        if fault is None or fault.moment is Moment.AFTER:
            return await self._pass(route, request, handler)
        # The body is read in any case: the faults concern calls that were sent completely.
        await self._read_body(route, request)
        if fault.moment is Moment.DURING:
            task = asyncio.create_task(self._pass(route, request, handler))
            self._background.add(task)
            task.add_done_callback(self._background.discard)
        status, body = self._dialect.pretend(route)
        return raw_answer(body, status=status)

    async def _send(self, request: web.Request, answer: web.Response, fault: Fault | None) -> web.StreamResponse:
        if fault is None:
            sent: web.StreamResponse = answer
        elif fault.kind in STATUSES:
            sent = self._fail(request, fault.kind)
        elif fault.kind in CONTENTS and answer.status >= 400:
            sent = answer
        else:
            if fault.kind in ("reset", "hang", "drip", "truncated"):
                self.calls_by_status[fault.kind] += 1
                return await spoil(fault.kind, request, answer)
            sent = await spoil(fault.kind, request, answer, alter=self._dialect.alter)
        self.calls_by_status[str(sent.status)] += 1
        sent.headers["x-request-id"] = str(uuid.uuid4())
        sent.headers["Date"] = email.utils.formatdate(self._clock.unix(), usegmt=True)
        return sent

    async def _pass(self, route: str | None, request: web.Request, handler: Handler) -> web.Response:
        try:
            await self._read_body(route, request)
            self._limit(route)
            answer = await handler(request)
        except RefusedError as refusal:
            return self._refuse(request, refusal)
        except UsageError as error:
            return self._refuse(request, RefusedError(400, str(error)))
        except web.HTTPException as error:
            return self._refuse(request, RefusedError(error.status, error.reason))
        except Exception:
            _log.exception("the emulator failed on %s %s", request.method, request.path)
            return self._refuse(request, RefusedError(500, "the emulator itself failed; its log says why"))
        if not isinstance(answer, web.Response):
            raise TypeError(f"{request.path} answers with {type(answer).__name__}, not a Response")
        return answer

    async def _read_body(self, route: str | None, request: web.Request) -> None:
        """Wait for the body; of each that has arrived in full a digest is kept, whatever becomes of the call."""
        if not request.can_read_body:
            return  # there is none, or it has been read
        body = await request.read()
        if route is not None:
            self.digests_by_route[route].append(hashlib.sha256(body).hexdigest())

    def _limit(self, route: str | None) -> None:
        if route is None:
            return
        wait_seconds = self._limiter.admit(route, now_seconds=self._clock.protocol_seconds())
        if wait_seconds > 0.0:
            raise RefusedError(429, "too many requests", retry_after_seconds=wait_seconds / self._clock.scale)

    def _fail(self, request: web.Request, kind: str) -> web.Response:
        if kind == TOKEN_EXPIRY:
            return self._refuse(request, self._dialect.refuse_key())
        status = STATUSES[kind]
        if status >= 520:
            body = f"<html><body><h1>Error {status}</h1></body></html>".encode()
            return web.Response(status=status, body=body, content_type="text/html")
        refusal = RefusedError(status, f"the emulator was told to answer {status}", retry_after_seconds=1.0)
        return self._refuse(request, refusal)

    def _refuse(self, request: web.Request, refusal: RefusedError) -> web.Response:
        answer = self._dialect.answer_error(request, refusal)
        if refusal.status in (429, 503) and refusal.retry_after_seconds is not None:
            answer.headers.update(self._retry_header(refusal.retry_after_seconds))
        return answer

    def _retry_header(self, seconds: float) -> dict[str, str]:
        if self._retry_after == "none":
            return {}
        # Rounded up: a client that obeys must not come back too early.
        if self._retry_after == "date":
            return {"Retry-After": email.utils.formatdate(math.ceil(self._clock.unix() + seconds), usegmt=True)}
        return {"Retry-After": str(math.ceil(seconds))}


def _pattern(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return f"{request.method} {resource.canonical if resource is not None else 'unknown'}"
