"""The marks of an answer: in order, within the wall time, and each delay in the phase where it was."""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from scripted_server import Answer, Request, ScriptedServer, head, reply

from qorch.model.exchange_times import ExchangeTimes
from qorch.ports.clock import WallClock
from qorch_providers.http import HttpClient, HttpResponse

PHASES = ("connect", "send", "wait", "read")
DELAY_SECONDS = 0.4
# More than all buffers between two sockets of one machine hold.
LARGE = bytes(24 * 2**20)

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def call(url: str, *, n: int = 1, content: bytes | None = None) -> tuple[list[HttpResponse], int, int]:
    """The answers to this many calls, one after the other, and when they began and ended."""
    clock = WallClock()
    client = HttpClient(url, clock=clock, deadline_seconds=20.0)
    begun_ns = clock.monotonic_ns()
    method = "GET" if content is None else "POST"
    responses = [await client.request(method, "/a", content=content) for _ in range(n)]
    done_ns = clock.monotonic_ns()
    await client.aclose()
    return responses, begun_ns, done_ns


def known(marks: ExchangeTimes) -> list[int]:
    """Those that were observed, in the order in which they must be."""
    moments = (marks.begun_ns, marks.connected_ns, marks.sent_ns, marks.first_byte_ns, marks.done_ns)
    return [moment for moment in moments if moment is not None]


@pytest.mark.parametrize("content", [None, b"{}", bytes(2**20)], ids=["none", "small", "large"])
def test_marks_are_in_order_and_within_the_wall_time(content: bytes | None) -> None:
    """A first call has all five; the next one on its connection has no connect."""

    async def main() -> tuple[list[HttpResponse], int, int]:
        async with ScriptedServer(lambda request: reply(200, {"a": 1})) as server:
            return await call(server.url, n=3, content=content)

    responses, begun_ns, done_ns = asyncio.run(main())
    moments = [moment for response in responses for moment in known(response.marks)]
    assert [begun_ns, *moments, done_ns] == sorted([begun_ns, *moments, done_ns])
    assert [len(known(response.marks)) for response in responses] == [5, 4, 4]
    assert [response.marks.connected_ns is None for response in responses] == [False, True, True]


def test_after_a_redirect_the_marks_are_those_of_the_last_request() -> None:
    """The call began before the first one, and is done after the last."""

    def answer(request: Request) -> Answer:
        return reply(307, b"", {"Location": "/b"}) if request.path == "/a" else reply(200)

    async def main() -> tuple[list[HttpResponse], int, int]:
        async with ScriptedServer(answer) as server:
            return await call(server.url)

    (response,), begun_ns, done_ns = asyncio.run(main())
    marks = known(response.marks)
    assert response.marks.connected_ns is None
    assert [begun_ns, *marks, done_ns] == sorted([begun_ns, *marks, done_ns])


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[int]:
    """The port of a server that deals with each connection so; all of it is over at the end."""
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def slow_server(phase: str) -> Serve:
    """A server that is late in one phase."""

    async def late(where: str) -> None:
        if where == phase:
            await asyncio.sleep(DELAY_SECONDS)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await late("send")
        await reader.readexactly(len(LARGE))
        await late("wait")
        writer.write(head(200, 10) + b"hello")
        await writer.drain()
        await late("read")
        writer.write(b"hello")
        await writer.drain()

    return serve


@pytest.mark.serial
@pytest.mark.flaky(reruns=2)
@pytest.mark.parametrize("phase", PHASES)
def test_a_delay_is_seen_in_its_phase(phase: str) -> None:
    """A slow name look-up, a slow reader, a slow decision and a slow writer are told apart by the marks."""

    async def main() -> ExchangeTimes:
        loop = asyncio.get_running_loop()
        look_up = loop.getaddrinfo

        async def slow_look_up(*args: Any, **settings: Any) -> Any:
            if phase == "connect":
                await asyncio.sleep(DELAY_SECONDS)
            return await look_up(*args, **{**settings, "family": socket.AF_INET})

        loop.getaddrinfo = slow_look_up  # type: ignore[method-assign]
        async with listening(slow_server(phase)) as port:
            (response,), _, _ = await call(f"http://localhost:{port}", content=LARGE)
        return response.marks

    moments = known(asyncio.run(main()))
    seconds = {
        name: (end - start) / 1e9 for name, (start, end) in zip(PHASES, itertools.pairwise(moments), strict=True)
    }
    assert seconds[phase] > 0.9 * DELAY_SECONDS
    assert max(seconds, key=lambda name: seconds[name]) == phase


def test_an_answer_before_the_end_of_the_request_has_no_sent_mark() -> None:
    """A server that refuses a large body early is not said to have got all of it."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head(413, 0))
        await writer.drain()
        await refused.wait()

    refused = asyncio.Event()

    async def main() -> HttpResponse:
        async with listening(refuse) as port:
            (response,), _, _ = await call(f"http://127.0.0.1:{port}", content=LARGE)
            refused.set()
        return response

    response = asyncio.run(main())
    assert response.status == 413
    assert response.marks.sent_ns is None
