"""When the parts of one call happened, as aiohttp tells of its connections."""

from contextvars import ContextVar
from dataclasses import dataclass
from types import SimpleNamespace
from typing import cast

import aiohttp
from yarl import URL

from qorch.ports import Clock


@dataclass(frozen=True)
class Marks:
    """Nanoseconds on the clock's monotonic time, in order; None if a moment was not observed.

    ``begun_ns``: the call was made, before credentials were fetched. The others are of the request that got the answer,
    the last one after a redirect or a refused token. ``connected_ns``: a connection was made, name look-up and TLS
    included; None if one was reused. ``sent_ns``: the last byte was handed to the connection; None if the answer
    came earlier. ``first_byte_ns``: the status and the headers of the answer were read. ``done_ns``: its body was.
    """

    begun_ns: int
    connected_ns: int | None
    sent_ns: int | None
    first_byte_ns: int
    done_ns: int


class Exchange:
    """One request on the wire: where aiohttp's callbacks write what they see of it."""

    def __init__(self, url: str, *, clock: Clock, is_streamed: bool) -> None:
        """``is_streamed``: the body goes in pieces, and whoever makes them calls ``note_sent`` after the last."""
        self.url = url
        self.connected_ns: int | None = None
        self.sent_ns: int | None = None
        self._clock = clock
        self._is_streamed = is_streamed

    def note_connected(self) -> None:
        """A new connection is there."""
        self.connected_ns = self._clock.monotonic_ns()

    def note_sent(self) -> None:
        """Everything so far was handed over."""
        self.sent_ns = self._clock.monotonic_ns()

    def note_piece(self) -> None:
        """A piece was handed over, which is the last one of a body that is not streamed."""
        if not self._is_streamed:
            self.note_sent()


CURRENT: ContextVar[Exchange] = ContextVar("qorch_http_exchange")
"""The exchange of this task: httpx's transport hands nothing through to aiohttp's callbacks."""


def trace_exchanges() -> aiohttp.TraceConfig:
    """The callbacks that write into the exchange of the task that made the request."""
    config = aiohttp.TraceConfig(trace_config_ctx_factory=cast("type[SimpleNamespace]", _current_exchange))
    config.on_connection_create_end.append(_note_connected)
    config.on_request_headers_sent.append(_note_piece)
    config.on_request_chunk_sent.append(_note_piece)
    return config


async def keep_url(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send the URL as it was signed: aiohttp's own reading of it undoes escapes that it takes for needless."""
    request.url = URL(CURRENT.get().url, encoded=True)
    return await handler(request)


def _current_exchange(trace_request_ctx: object = None) -> Exchange:
    return CURRENT.get()


async def _note_connected(session: aiohttp.ClientSession, exchange: object, params: object) -> None:
    cast("Exchange", exchange).note_connected()


async def _note_piece(session: aiohttp.ClientSession, exchange: object, params: object) -> None:
    cast("Exchange", exchange).note_piece()
