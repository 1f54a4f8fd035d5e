"""Reads IBM's JSON leniently: a document must have its shape, a field that is of another kind counts as missing."""

import datetime
from typing import TypeVar

import msgspec

from qorch.errors import InvalidResultError

NOTHING = msgspec.Raw(b"null")

T = TypeVar("T")


def decode_document(body: bytes, kind: type[T]) -> T:
    """A document of this shape. Raises InvalidResultError."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidResultError(f"expected a document of IBM Quantum: {error}") from error


def read_field(raw: msgspec.Raw, kind: type[T]) -> T | None:
    """What a field says; None if it is of another kind, so that a field that is not needed breaks nothing."""
    try:
        return msgspec.json.decode(raw, type=kind | None)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def read_time(raw: msgspec.Raw) -> datetime.datetime | None:
    """A time, in UTC unless it says otherwise; None if it is none."""
    try:
        moment = datetime.datetime.fromisoformat(read_field(raw, str) or "")
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=datetime.UTC)
