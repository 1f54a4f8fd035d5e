"""JSON answers of an emulator, and the error by which it refuses a call."""

from collections.abc import Mapping

import msgspec
from aiohttp import web

from qorch.errors import RejectedError


class RefusedError(RejectedError):
    """The emulated service refuses a call with this status."""

    def __init__(self, status: int, message: str, *, retry_after_seconds: float | None = None) -> None:
        """``retry_after_seconds`` are real seconds, for statuses that tell the client when to come back."""
        super().__init__(message)
        self.status = status
        self.retry_after_seconds = retry_after_seconds


def json_answer(document: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer with this document, encoded as JSON."""
    return raw_answer(msgspec.json.encode(document), status=status, headers=headers)


def raw_answer(body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer with this body, which is JSON already."""
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)
