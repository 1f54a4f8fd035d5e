"""One client for all REST backends: httpx on aiohttp's connections, one try per call, classified failures.

httpx is used at the level of its transport. Its client would keep cookies, read the environment and print every URL to
the log. aiohttp's pool makes a call some ten times cheaper than httpx's own at 200 connections.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import cast
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from qorch.errors import UsageError
from qorch.ports import Clock
from qorch_providers.http.body import MOST_BYTES, Body
from qorch_providers.http.errors import NoAnswerError, NotSentError
from qorch_providers.http.redirects import MOST_HOPS, next_url
from qorch_providers.http.response import HttpResponse
from qorch_providers.http.safety import check_header_value, check_origin, is_safe_path, mask

# Below every usual server's own limit: a POST on a connection that the server is just closing has no known outcome.
KEEP_ALIVE_SECONDS = 4.0
FIRST_CONNECT_SECONDS = 6.0
"""Longest wait for the first connection of a client, name look-up included, if the call is a GET.

At a wrong address a person waits for the error.
"""
_LEAST_SECRET = 16
_PIECE_BYTES = 2**18


class HttpClient:
    """Calls to one origin. Everything happens in one event loop, which the first call decides.

    It follows no redirect but those within the origin that keep method and body (307, 308), keeps no cookie, reads
    nothing of the environment and repeats nothing. The vendors' exceptions hold the request with its secret headers, so
    they are told in words and not chained.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str],
        clock: Clock,
        deadline_seconds: float,
        most_bytes: int = MOST_BYTES,
        most_connections: int = 100,
    ) -> None:
        """``headers`` are secret and go with every call; ``deadline_seconds`` ends any call, whatever it is at.

        Raises UsageError for a URL that is not https (http: to this machine only) and for values no header may have.
        """
        self._base_url = check_origin(base_url)
        for name, value in headers.items():
            check_header_value(name, value)
        common = {"accept": "application/json", "accept-encoding": "gzip", "user-agent": "qorch", **headers}
        self._headers = httpx.Headers(common)
        self._json_headers = httpx.Headers({**common, "content-type": "application/json"})
        # "apiKey K" is secret as a whole, and so is its last word alone.
        self._secrets = [*headers.values(), *(value.split()[-1] for value in headers.values())]
        # A short word, such as the dummy key of an emulator, may stand in an answer for other reasons.
        self._echoes = [secret for secret in self._secrets if len(secret) >= _LEAST_SECRET]
        self._clock = clock
        self._deadline_seconds = deadline_seconds
        self._most_bytes = most_bytes
        self._most_connections = most_connections
        # A connection has half of the time: what fails until then provably sent nothing.
        self._connect_seconds = deadline_seconds / 2
        self._has_connected = False
        self._transport: AiohttpTransport | None = None
        self._is_closed = False

    def __repr__(self) -> str:
        """Never the headers."""
        return f"HttpClient({self._base_url!r})"

    async def request(
        self, method: str, path: str, *, content: bytes | None = None, query: Sequence[tuple[str, str]] = ()
    ) -> HttpResponse:
        """One call, whatever its status. ``path`` starts with "/"; ``content`` is JSON; ``query`` is encoded here.

        Raises NotSentError where provably no byte left, NoAnswerError (TooLargeError) where the request may have
        arrived, UsageError for a path that could lead elsewhere.
        """
        url = self._url(path, query)
        if self._is_closed:
            raise NotSentError(f"the connection to {self._base_url} is closed; open the backend again")
        problem: NotSentError | NoAnswerError
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await self._follow(method, url, content)
        except TimeoutError:
            problem = NoAnswerError(f"{method} {path}: no whole answer in {self._deadline_seconds:g} seconds")
        except NoAnswerError as error:
            problem = type(error)(f"{method} {path}: {error}")
        except Exception as error:
            # Whatever a transport raises; only what is known to happen before sending counts as not sent.
            problem = self._describe(error, f"{method} {path}")
        raise problem

    async def aclose(self) -> None:
        """Close all connections; may be called twice."""
        self._is_closed = True
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()

    def _url(self, path: str, query: Sequence[tuple[str, str]]) -> str:
        if not is_safe_path(path):
            raise UsageError(f"{path[:100]!r} is no path below {self._base_url}; expected plain segments after '/'")
        encoded = urlencode(query, quote_via=quote)
        return f"{self._base_url}{path}?{encoded}" if encoded else f"{self._base_url}{path}"

    async def _follow(self, method: str, url: str, content: bytes | None) -> HttpResponse:
        """The answer at the end of a few redirects; a redirect that leads elsewhere is the answer itself."""
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(self._base_url))
        response = await self._exchange(method, url, content)
        for _ in range(MOST_HOPS):
            target = next_url(response, url, origin=origin)
            if target is None:
                break
            url = target
            response = await self._exchange(method, url, content)
        return response

    async def _exchange(self, method: str, url: str, content: bytes | None) -> HttpResponse:
        headers = self._headers if content is None else self._json_headers
        sent: bytes | AsyncGenerator[bytes, None] | None = content
        if content is not None and len(content) > _PIECE_BYTES:
            headers = httpx.Headers([*headers.items(), ("content-length", str(len(content)))])
            sent = _pieces(content)
        request = httpx.Request(
            method, url, headers=headers, content=sent, extensions={"timeout": self._choose_timeouts(method)}
        )
        response = await self._opened().handle_async_request(request)
        self._has_connected = True
        try:
            body = Body(response.headers.get("content-encoding", ""), most_bytes=self._most_bytes)
            # A generator, though httpx's types do not say so; left unclosed it would outlive the call.
            chunks = cast("AsyncGenerator[bytes, None]", aiter(cast("httpx.AsyncByteStream", response.stream)))
            async with aclosing(chunks):
                async for chunk in chunks:
                    body.add(chunk)
            return self._received(response, body.finish())
        finally:
            await response.aclose()

    def _choose_timeouts(self, method: str) -> dict[str, float | None]:
        seconds = self._connect_seconds
        if method == "GET" and not self._has_connected:
            seconds = min(FIRST_CONNECT_SECONDS, seconds)
        return {"pool": seconds, "connect": seconds, "read": None, "write": None}

    def _received(self, response: httpx.Response, body: bytes) -> HttpResponse:
        """What came back, without our own secrets: answers are stored and quoted, and a server may echo anything."""
        headers = {name: mask(value, self._echoes) for name, value in response.headers.items()}
        for secret in self._echoes:
            body = body.replace(secret.encode(), b"***")
        return HttpResponse(response.status_code, headers, body, self._clock.now())

    def _opened(self) -> AiohttpTransport:
        if self._transport is None:
            context = httpx.create_ssl_context(verify=self._base_url.startswith("https:"), trust_env=False)
            self._transport = AiohttpTransport(
                verify=context, trust_env=False, client=lambda: _open_session(context, self._most_connections)
            )
        return self._transport

    def _describe(self, error: Exception, call: str) -> NotSentError | NoAnswerError:
        cause = error.__cause__ or error
        words = "".join(letter if letter.isprintable() else " " for letter in str(cause)[:2000])
        text = mask(f"{type(cause).__name__}: {words}", self._secrets)[:300]
        # httpx-aiohttp calls every lost connection a failed connect; only aiohttp's own class tells them apart.
        if isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            return NotSentError(f"{call}: no connection to {self._base_url} ({text}); nothing was sent")
        return NoAnswerError(f"{call}: the connection broke before a whole answer came ({text})")


async def _pieces(content: bytes) -> AsyncGenerator[bytes, None]:
    """A large body bit by bit: in one piece it would stop the event loop, of which aiohttp warns."""
    for start in range(0, len(content), _PIECE_BYTES):
        yield content[start : start + _PIECE_BYTES]


def _open_session(context: ssl.SSLContext, most_connections: int) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=most_connections, keepalive_timeout=KEEP_ALIVE_SECONDS, ssl=context)
    session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
    # aiohttp repeats a GET or PUT on a broken connection unseen; here whoever retries also counts.
    session._retry_connection = False
    return session
