"""A loopback server for tests that answers exactly as it is told, down to the byte and the reset."""

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qsl, urlsplit

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Request:
    """One request as it arrived; header names in lower case. ``connection`` counts the connections from 0."""

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes
    connection: int

    @property
    def path(self) -> str:
        """Without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> list[tuple[str, str]]:
        """Decoded pairs, in order."""
        return parse_qsl(urlsplit(self.target).query, keep_blank_values=True)


@dataclass
class ScriptedServer:
    """``answer`` decides on a request; ``interrupt`` may answer before the body is read (None: it is read)."""

    answer: Callable[[Request], Answer]
    interrupt: Callable[[Request], Answer | None] = lambda request: None
    requests: list[Request] = field(default_factory=list)
    n_connections: int = 0

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        self.tasks: set[asyncio.Task[None]] = set()
        self.arrived = asyncio.Event()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop, and drop the clients that still wait."""
        self._server.close()
        for task in tuple(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self._server.wait_closed()

    def count(self, method: str, path: str = "") -> int:
        """The requests that arrived with this method, for this path where one is given."""
        return sum(item.method == method and path in ("", item.path) for item in self.requests)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        number, self.n_connections = self.n_connections, self.n_connections + 1
        try:
            while await self._serve(reader, writer, number):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the other side has gone, or the test is over
        finally:
            writer.close()
            self.tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        early = self.interrupt(Request(method, target, headers, b"", number))
        if early is not None:
            self.requests.append(Request(method, target, headers, b"", number))
            await early(writer)
            return False
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        request = Request(method, target, headers, body, number)
        self.requests.append(request)
        self.arrived.set()
        await self.answer(request)(writer)
        await writer.drain()
        return not writer.transport.is_closing()


def head(status: int, n_bytes: int | None, headers: Mapping[str, str] | None = None) -> bytes:
    """A response head; without ``n_bytes`` the body ends with the connection."""
    lines = [f"HTTP/1.1 {status} Words", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    lines += [f"Content-Length: {n_bytes}"] if n_bytes is not None else []
    return "\r\n".join([*lines, "", ""]).encode()


def reply(status: int, body: bytes | object = b"", headers: Mapping[str, str] | None = None) -> Answer:
    """A whole answer; what is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return send(head(status, len(content), {"Content-Type": "application/json", **(headers or {})}) + content)


def send(content: bytes) -> Answer:
    """These bytes; the connection stays open."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(content)

    return answer


def send_and_close(content: bytes) -> Answer:
    """These bytes, then the end of the connection."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        await writer.drain()
        writer.close()

    return answer


def reset() -> Answer:
    """The connection is reset, not closed."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return answer


def hang() -> Answer:
    """Nothing, ever."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    return answer


def drip(content: bytes, *, every_seconds: float) -> Answer:
    """One byte at a time."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        for value in content:
            writer.write(bytes([value]))
            await writer.drain()
            await asyncio.sleep(every_seconds)

    return answer
