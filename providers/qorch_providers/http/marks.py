"""Times of the phases of one HTTP call, recorded where aiohttp takes a connection and writes to it."""

import asyncio
from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.connector import Connection
from yarl import URL

from qorch.ports.clock import Clock


class Exchange:
    """One request on the wire: its exact URL, and the times recorded for it."""

    def __init__(self, url: str, *, clock: Clock, used: "WeakSet[asyncio.BaseProtocol]") -> None:
        """``used``: the connections that had an exchange before; this one's is added."""
        self.url = url
        self.connected_ns: int | None = None
        self.sent_ns: int | None = None
        self._clock = clock
        self._used = used

    def note_connection(self, connection: asyncio.BaseProtocol | None) -> None:
        """Record that a connection was obtained, and when, if it is a new one."""
        if connection is not None and connection not in self._used:
            self._used.add(connection)
            self.connected_ns = self._clock.monotonic_ns()

    def note_sent(self) -> None:
        """Record that the last byte was handed to the connection."""
        self.sent_ns = self._clock.monotonic_ns()


CURRENT: ContextVar[Exchange] = ContextVar("qorch_http_exchange")
"""The exchange of this task; a context variable, as httpx's transport passes no values of ours on to aiohttp."""


class MarkedRequest(aiohttp.ClientRequest):
    """An aiohttp request that records its times. aiohttp's tracing callbacks would cost more CPU per call."""

    def __init__(self, method: str, url: URL, **settings: Any) -> None:
        """Send the URL exactly as it was signed: aiohttp would decode escapes that it considers unnecessary."""
        super().__init__(method, url, **settings)
        self._exchange = CURRENT.get()
        self.url = URL(self._exchange.url, encoded=True)

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Send the head of the request, which is all of it if there is no body."""
        self._exchange.note_connection(conn.protocol)
        response = await super().send(conn)
        if not self.body:
            self._exchange.note_sent()
        return response

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        """Send the body."""
        await super().write_bytes(writer, conn, content_length)
        self._exchange.note_sent()
