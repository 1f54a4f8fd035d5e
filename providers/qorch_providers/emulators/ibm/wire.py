"""What clients send: typed views of the JSON."""

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from qorch.errors import UsageError

Tag = Annotated[str, Meta(min_length=1, max_length=86)]
Tags = Annotated[list[Tag], Meta(max_length=8)]
MAX_COST = 10_800


class IbmJobWire(msgspec.Struct):
    """The body of ``POST /jobs``. ``cost``: how many QPU seconds the job may take."""

    program_id: str
    backend: str
    params: msgspec.Raw = msgspec.Raw(b"{}")
    tags: Tags = []
    cost: Annotated[int, Meta(ge=1, le=MAX_COST)] | None = None
    session_id: str | None = None
    private: bool = False
    calibration_id: str | None = None
    runtime: str | None = None
    log_level: str | None = None
    start_session: bool = False


class IbmTagsWire(msgspec.Struct):
    """The body of ``PUT /jobs/{id}/tags``."""

    tags: Tags


class IbmSessionWire(msgspec.Struct):
    """The body of ``POST /sessions``."""

    backend: str
    mode: str = "dedicated"
    instance: str | None = None
    max_ttl: Annotated[int, Meta(ge=1)] | None = None


class IbmSessionChangeWire(msgspec.Struct):
    """The body of ``PATCH /sessions/{id}``."""

    accepting_jobs: bool


class IbmSearchWire(msgspec.Struct):
    """The body of a global search."""

    query: str
    search_cursor: str | None = None


class CalibrateWire(msgspec.Struct):
    """The body of ``POST /_emulator/calibrate``."""

    backend: str


_Wire = TypeVar("_Wire")


def decode(body: bytes, kind: type[_Wire]) -> _Wire:
    """Read JSON. Raises UsageError, which says what is wrong."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise UsageError(f"the body is not valid: {error}") from error
