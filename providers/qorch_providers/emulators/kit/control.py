"""The emulator's own routes under ``/_emulator``: what it accepted and charged, faults, and a new beginning."""

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec
from aiohttp import web

from qorch.errors import UsageError
from qorch_providers.emulators.kit.answers import json_answer
from qorch_providers.emulators.kit.traffic import Traffic


class EmulatedService(Protocol):
    """The service behind an emulator's endpoints."""

    def set_faults(self, text: str) -> None:
        """Replace all faults; they count calls from here. Raises UsageError."""

    def reset(self) -> None:
        """Forget everything that was submitted."""

    async def close(self) -> None:
        """Cancel what is in progress."""


class FaultsWire(msgspec.Struct):
    """The body of ``POST /_emulator/faults``."""

    faults: str


def add_control(
    application: web.Application,
    *,
    service: EmulatedService,
    traffic: Traffic,
    truth: Callable[[], Mapping[str, object]],
    bill: Callable[[], Mapping[str, object]],
) -> None:
    """Add the routes to an application, whose end closes traffic and service.

    ``truth`` and ``bill``: for ``/_emulator/jobs`` and ``/_emulator/bill``.
    """

    async def answer_truth(_request: web.Request) -> web.Response:
        return json_answer(truth())

    async def answer_bill(_request: web.Request) -> web.Response:
        return json_answer(bill())

    async def answer_faults(request: web.Request) -> web.Response:
        service.set_faults(decode_faults(await request.read()))
        return json_answer({"status": "set"})

    async def answer_reset(_request: web.Request) -> web.Response:
        await service.close()
        service.reset()
        traffic.forget()
        return json_answer({"status": "reset"})

    async def close(_application: web.Application) -> None:
        await traffic.close()
        await service.close()

    application.router.add_get("/_emulator/jobs", answer_truth)
    application.router.add_get("/_emulator/bill", answer_bill)
    application.router.add_post("/_emulator/faults", answer_faults)
    application.router.add_post("/_emulator/reset", answer_reset)
    application.on_cleanup.append(close)


def decode_faults(body: bytes) -> str:
    """Read a text of faults. Raises UsageError."""
    try:
        return msgspec.json.decode(body, type=FaultsWire).faults
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise UsageError(f"the body is not valid: {error}") from error
