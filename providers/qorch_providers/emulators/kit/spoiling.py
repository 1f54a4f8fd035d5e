"""Send an answer wrongly: reset the connection, send nothing, send slowly, stop early, or send something else."""

import asyncio
import socket
import struct
from collections.abc import Callable

from aiohttp import web

from qorch_providers.emulators.kit.damage import alter_content, deep_json, gzip_bomb, html_page, malform
from qorch_providers.emulators.kit.faults import CONTENTS

DRIP_SECONDS = 0.1
_ABORT_AT_ONCE = struct.pack("ii", 1, 0)


async def spoil(
    kind: str, request: web.Request, answer: web.Response, *, alter: Callable[[str, bytes], bytes] = alter_content
) -> web.StreamResponse:
    """Send ``answer`` with the fault of this kind; returns the response that ends the call.

    ``alter``: what makes the content of a body wrong, by kind.
    """
    if kind == "reset":
        reset(request)
        return answer
    if kind == "hang":
        await _wait_for_client_to_leave(request)
        return answer
    if kind == "drip":
        return await _drip(request, answer)
    if kind == "truncated":
        return await _truncate(request, answer)
    return await _replace(kind, answer, alter)


def reset(request: web.Request) -> None:
    """Close the connection with RST instead of an orderly end."""
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT_AT_ONCE)
    transport.abort()


async def _replace(kind: str, answer: web.Response, alter: Callable[[str, bytes], bytes]) -> web.Response:
    body = _body_of(answer)
    if kind == "gzip-bomb":
        bomb = await asyncio.to_thread(gzip_bomb)
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        return web.Response(status=answer.status, body=bomb, headers=headers)
    if kind == "html":
        return web.Response(status=answer.status, body=html_page(answer.status), content_type="text/html")
    spoiled = deep_json() if kind == "deep-json" else malform(body)
    if kind in CONTENTS:
        spoiled = alter(kind, body)
    return web.Response(status=answer.status, body=spoiled, content_type="application/json")


async def _wait_for_client_to_leave(request: web.Request) -> None:
    while not _is_gone(request):  # noqa: ASYNC110 -- aiohttp has no event for it
        await asyncio.sleep(DRIP_SECONDS)


async def _drip(request: web.Request, answer: web.Response) -> web.StreamResponse:
    stream = await _open_stream(request, answer)
    for byte in _body_of(answer):
        if _is_gone(request):
            break
        await stream.write(bytes([byte]))
        await asyncio.sleep(DRIP_SECONDS)
    return stream


async def _truncate(request: web.Request, answer: web.Response) -> web.StreamResponse:
    stream = await _open_stream(request, answer)
    body = _body_of(answer)
    await stream.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return stream


async def _open_stream(request: web.Request, answer: web.Response) -> web.StreamResponse:
    stream = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
    stream.content_length = len(_body_of(answer))
    await stream.prepare(request)
    return stream


def _body_of(answer: web.Response) -> bytes:
    return answer.body if isinstance(answer.body, bytes) else b""


def _is_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()
