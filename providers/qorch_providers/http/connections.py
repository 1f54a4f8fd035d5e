"""The connections to one origin: aiohttp's pool, one try per exchange, and its failures as errors.

aiohttp is told to keep no cookies and to read no environment; it writes no URL to a log. At 200 connections a call
costs a tenth of what it does with httpx's pool.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from weakref import WeakSet

import aiohttp
import certifi
from yarl import URL

from qorch.ports.clock import Clock
from qorch_providers.http.auth import AuthHeaders, Outgoing
from qorch_providers.http.body import Body
from qorch_providers.http.content import Content
from qorch_providers.http.errors import AnswerLostError, RequestUnsentError, TransportError
from qorch_providers.http.marks import CURRENT, Exchange, MarkedRequest, Marks
from qorch_providers.http.origins import Origin
from qorch_providers.http.response import HttpResponse
from qorch_providers.http.safety import mask

# Shorter than servers usually keep idle connections: a POST on one that the server just closes has no known outcome.
KEEP_ALIVE_SECONDS = 4.0
FIRST_CONNECT_SECONDS = 6.0
"""Time limit for the first connection of a call that may be repeated, name look-up included: if the address is wrong,
the user waits for the error.
"""
_COMMON = {"accept": "application/json", "accept-encoding": "gzip", "user-agent": "qorch"}
_PIECE_BYTES = 2**18


class Connections:
    """The connections to one origin; they stay in the event loop of the first exchange."""

    def __init__(
        self, origin: Origin, *, clock: Clock, connect_seconds: float, most_bytes: int, most_connections: int
    ) -> None:
        """``connect_seconds``: time limit for getting a connection; an exchange that fails before has sent nothing."""
        self.origin = origin
        own = {name.lower(): value for name, value in origin.headers.items()}
        self._headers = {**_COMMON, **own, "host": _host_of(URL(origin.url))}
        self._clock = clock
        self._connect_seconds = connect_seconds
        self._most_bytes = most_bytes
        self._most_connections = most_connections
        self._has_connected = False
        self._used: WeakSet[asyncio.BaseProtocol] = WeakSet()
        self._session: aiohttp.ClientSession | None = None

    def prepare(self, method: str, url: str, content: Content | None) -> Outgoing:
        """The request as it will be sent, without its credentials."""
        if content is None:
            return Outgoing(method, url, self._headers, b"")
        return Outgoing(method, url, {**self._headers, "content-type": content.media_type}, content.data)

    async def exchange(
        self, outgoing: Outgoing, credentials: AuthHeaders, *, begun_ns: int, echoes: Sequence[str]
    ) -> HttpResponse:
        """The answer, with the ``echoes`` masked. Raises the errors of aiohttp, and AnswerLostError."""
        exchange = Exchange(outgoing.url, clock=self._clock, used=self._used)
        CURRENT.set(exchange)
        async with self._send(outgoing, credentials) as response:
            first_byte_ns, sent_ns = self._clock.monotonic_ns(), exchange.sent_ns
            self._has_connected = True
            body = await self._read(response)
        done_ns = self._clock.monotonic_ns()
        marks = Marks(begun_ns, exchange.connected_ns, sent_ns, first_byte_ns, done_ns)
        # Answers are stored and quoted in messages, and a server may echo a secret.
        headers = {name: mask(value, echoes) for name, value in _read_headers(response.raw_headers).items()}
        for secret in echoes:
            body = body.replace(secret.encode(), b"***")
        return HttpResponse(response.status, headers, body, self._clock.now(), marks)

    async def aclose(self) -> None:
        """Close all connections; may be called twice."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def describe(self, error: Exception, secrets: Sequence[str]) -> TransportError:
        """The error for an exception of ``exchange``: only failures known to precede sending count as not sent.

        The exceptions of aiohttp hold the request with its secret headers: they are described, never chained.
        """
        if isinstance(error, TransportError):
            return type(error)(str(error))
        words = "".join(letter if letter.isprintable() else " " for letter in str(error)[:2000])
        text = mask(f"{type(error).__name__}: {words}", secrets)[:300]
        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            return RequestUnsentError(f"no connection to {self.origin.url} ({text}); nothing was sent")
        return AnswerLostError(f"the connection broke before a whole answer came ({text})")

    def _send(
        self, outgoing: Outgoing, credentials: AuthHeaders
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """The answer, as soon as its headers are there; the connection is given back at the end of the context."""
        headers = {**outgoing.headers, **credentials.plain, **credentials.secret}
        sent: bytes | AsyncGenerator[bytes, None] | None = outgoing.body or None
        if len(outgoing.body) > _PIECE_BYTES:
            headers["content-length"] = str(len(outgoing.body))
            sent = _pieces(outgoing.body)
        return self._opened().request(
            outgoing.method,
            URL(outgoing.url, encoded=True),
            headers=headers,
            data=sent,
            allow_redirects=False,
            timeout=self._choose_timeout(outgoing.method),
        )

    def _choose_timeout(self, method: str) -> aiohttp.ClientTimeout:
        seconds = self._connect_seconds
        if method == "GET" and not self._has_connected:
            seconds = min(FIRST_CONNECT_SECONDS, seconds)
        return aiohttp.ClientTimeout(connect=seconds, sock_connect=seconds)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        body = Body(response.headers.get("content-encoding", ""), most_bytes=self._most_bytes)
        # As they came from the wire: pieces of a chosen size would be cut out and joined again.
        async for chunk, _ in response.content.iter_chunks():
            body.add(chunk)
        return body.finish()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            is_secure = self.origin.url.startswith("https:")
            context = ssl.create_default_context(cafile=certifi.where()) if is_secure else None
            self._session = _open_session(context, self._most_connections)
        return self._session


def _host_of(url: URL) -> str:
    """The header Host: the port is left out if it is the scheme's own."""
    return url.host_port_subcomponent or ""


def _read_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The headers by name in lower case; several values of one are joined by commas."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1").lower(), _read_text(raw_value)
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _read_text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


async def _pieces(content: bytes) -> AsyncGenerator[bytes, None]:
    """A large body in pieces: as a whole it would block the event loop, about which aiohttp warns."""
    for start in range(0, len(content), _PIECE_BYTES):
        yield content[start : start + _PIECE_BYTES]


def _open_session(context: ssl.SSLContext | None, most_connections: int) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=most_connections, keepalive_timeout=KEEP_ALIVE_SECONDS, ssl=True if context is None else context
    )
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        skip_auto_headers=["content-type"],
        request_class=MarkedRequest,
    )
    # aiohttp silently repeats a GET or PUT on a broken connection; every retry must be counted by the engine.
    session._retry_connection = False
    return session
