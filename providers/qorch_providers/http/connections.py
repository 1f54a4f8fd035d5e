"""The connections to one origin: httpx on aiohttp's pool, one try per exchange, and its failures as errors.

httpx is used at the level of its transport. Its client would keep cookies, read the environment and print every URL to
the log. aiohttp's pool makes a call some ten times cheaper than httpx's own at 200 connections.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import cast
from weakref import WeakSet

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from httpx_aiohttp.transport import AiohttpResponseStream

from qorch.model.exchange_times import ExchangeTimes
from qorch.ports.clock import Clock
from qorch.ports.exchange_log import note_exchange
from qorch_providers.http.auth import AuthHeaders, Outgoing
from qorch_providers.http.body import Body
from qorch_providers.http.content import Content
from qorch_providers.http.errors import AnswerLostError, RequestUnsentError
from qorch_providers.http.marks import CURRENT, Exchange, MarkedRequest
from qorch_providers.http.origins import Origin
from qorch_providers.http.response import DateReader, HttpResponse
from qorch_providers.http.safety import mask

# Shorter than servers usually keep idle connections: a POST on one that the server just closes has no known outcome.
KEEP_ALIVE_SECONDS = 4.0
FIRST_CONNECT_SECONDS = 6.0
"""Time limit for the first connection of a call that may be repeated, name look-up included: if the address is wrong,
the user waits for the error.
"""
_COMMON = {"accept": "application/json", "accept-encoding": "gzip", "user-agent": "qorch"}
_PIECE_BYTES = 2**18
_BUFFER_BYTES = 2**19
"""Of one answer that has arrived and is not read: with less, each arrival of a large one stops and resumes reading."""


class Connections:
    """The connections to one origin; they stay in the event loop of the first exchange."""

    def __init__(
        self, origin: Origin, *, clock: Clock, connect_seconds: float, most_bytes: int, most_connections: int
    ) -> None:
        """``connect_seconds``: time limit for getting a connection; an exchange that fails before has sent nothing."""
        self.origin = origin
        own = {name.lower(): value for name, value in origin.headers.items()}
        # Reading a URL costs httpx as much CPU time as the rest of a request, so that of the origin serves for all.
        self._url = httpx.URL(origin.url)
        self._headers = {**_COMMON, **own, "host": self._url.netloc.decode("ascii")}
        self._clock = clock
        self._connect_seconds = connect_seconds
        self._most_bytes = most_bytes
        self._most_connections = most_connections
        self._has_connected = False
        self._used: WeakSet[asyncio.BaseProtocol] = WeakSet()
        self._transport: AiohttpTransport | None = None
        self._dates = DateReader()

    def prepare(self, method: str, url: str, content: Content | None) -> Outgoing:
        """The request as it will be sent, without its credentials."""
        if content is None:
            return Outgoing(method, url, self._headers, b"")
        return Outgoing(method, url, {**self._headers, "content-type": content.media_type}, content.data)

    async def exchange(
        self, outgoing: Outgoing, credentials: AuthHeaders, *, begun_ns: int, echoes: Sequence[str]
    ) -> HttpResponse:
        """The answer, with the ``echoes`` masked. Raises the errors of aiohttp and httpx, and AnswerLostError."""
        exchange = Exchange(outgoing.url, clock=self._clock, used=self._used)
        CURRENT.set(exchange)
        response = await self._opened().handle_async_request(self._encode(outgoing, credentials))
        first_byte_ns, sent_ns = self._clock.monotonic_ns(), exchange.sent_ns
        self._has_connected = True
        try:
            body = await self._read(response)
        finally:
            await response.aclose()
        done_ns = self._clock.monotonic_ns()
        server_at = self._dates.read(response.headers.get("date", ""))
        marks = ExchangeTimes(begun_ns, exchange.connected_ns, sent_ns, first_byte_ns, done_ns, server_at)
        note_exchange(marks)
        # Answers are stored and quoted in messages, and a server may echo a secret.
        headers = _mask_headers(dict(response.headers.items()), echoes)
        return HttpResponse(response.status_code, headers, _mask_body(body, echoes), self._clock.now(), marks)

    async def aclose(self) -> None:
        """Close all connections; may be called twice."""
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()

    def describe(self, error: Exception, secrets: Sequence[str]) -> RequestUnsentError | AnswerLostError:
        """The error for an exception of ``exchange``: only failures known to precede sending count as not sent.

        The exceptions of httpx and aiohttp hold the request with its secret headers: they are described, never chained.
        """
        cause = error.__cause__ or error
        words = "".join(letter if letter.isprintable() else " " for letter in str(cause)[:2000])
        text = mask(f"{type(cause).__name__}: {words}", secrets)[:300]
        # httpx-aiohttp calls every lost connection a failed connect; only aiohttp's own class tells them apart.
        if isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            return RequestUnsentError(f"no connection to {self.origin.url} ({text}); nothing was sent")
        return AnswerLostError(f"the connection broke before a whole answer came ({text})")

    def _encode(self, outgoing: Outgoing, credentials: AuthHeaders) -> httpx.Request:
        headers: Mapping[str, str] = {**outgoing.headers, **credentials.plain, **credentials.secret}
        sent: bytes | AsyncGenerator[bytes, None] | None = outgoing.body or None
        if len(outgoing.body) > _PIECE_BYTES:
            headers = {**headers, "content-length": str(len(outgoing.body))}
            sent = _pieces(outgoing.body)
        timeouts = self._choose_timeouts(outgoing.method)
        # Whither it goes below the origin is for MarkedRequest, which has it exactly as it was signed.
        return httpx.Request(
            outgoing.method, self._url, headers=headers, content=sent, extensions={"timeout": timeouts}
        )

    def _choose_timeouts(self, method: str) -> dict[str, float | None]:
        seconds = self._connect_seconds
        if method == "GET" and not self._has_connected:
            seconds = min(FIRST_CONNECT_SECONDS, seconds)
        return {"pool": seconds, "connect": seconds, "read": None, "write": None}

    async def _read(self, response: httpx.Response) -> bytes:
        body = Body(response.headers.get("content-encoding", ""), most_bytes=self._most_bytes)
        if isinstance(response.stream, AiohttpResponseStream):
            response.stream.CHUNK_SIZE = _PIECE_BYTES  # each piece costs as much CPU time as 16 kB of it
        # A generator, though httpx's types do not say so; left unclosed it would outlive the call.
        chunks = cast("AsyncGenerator[bytes, None]", aiter(cast("httpx.AsyncByteStream", response.stream)))
        async with aclosing(chunks):
            async for chunk in chunks:
                body.add(chunk)
        return body.finish()

    def _opened(self) -> AiohttpTransport:
        if self._transport is None:
            context = httpx.create_ssl_context(verify=self.origin.url.startswith("https:"), trust_env=False)
            self._transport = AiohttpTransport(
                verify=context, trust_env=False, client=lambda: _open_session(context, self._most_connections)
            )
        return self._transport


def _mask_headers(headers: dict[str, str], echoes: Sequence[str]) -> dict[str, str]:
    together = "\n".join(headers.values())
    if mask(together, echoes) == together:
        return headers
    return {name: mask(value, echoes) for name, value in headers.items()}


def _mask_body(body: bytes, echoes: Sequence[str]) -> bytes:
    """The body without secrets. It is searched only for those that contain no other: without them there is none."""
    least = [secret for secret in echoes if not any(other in secret for other in echoes if other != secret)]
    if any(secret.encode() in body for secret in least):
        for secret in echoes:
            body = body.replace(secret.encode(), b"***")
    return body


async def _pieces(content: bytes) -> AsyncGenerator[bytes, None]:
    """A large body in pieces: as a whole it would block the event loop, about which aiohttp warns."""
    for start in range(0, len(content), _PIECE_BYTES):
        yield content[start : start + _PIECE_BYTES]


def _open_session(context: ssl.SSLContext, most_connections: int) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=most_connections, keepalive_timeout=KEEP_ALIVE_SECONDS, ssl=context)
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        skip_auto_headers=["content-type"],
        request_class=MarkedRequest,
        read_bufsize=_BUFFER_BYTES,
    )
    # aiohttp silently repeats a GET or PUT on a broken connection; every retry must be counted by the engine.
    session._retry_connection = False
    return session
