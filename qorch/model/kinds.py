"""Checks the kind of values that users give: a list, a pub, a text, a whole number."""

import operator
from types import UnionType
from typing import Any

from qorch.errors import UsageError

MAX_WHOLE = 2**63 - 1
"""The largest that a database holds."""


def check_kind(value: Any, kind: type | UnionType, name: str, *, wanted: str) -> None:
    """Raise UsageError, with the name and what is wanted, unless the value is of this kind."""
    if not isinstance(value, kind):
        raise UsageError(f"{name} is {_shorten(value)}; give {wanted}")


def as_items(values: Any, name: str, *, wanted: str) -> tuple[Any, ...]:
    """The items of a list, or of anything else that has some. Raises UsageError."""
    try:
        return tuple(values)
    except TypeError as error:  # a 0-d array has an iterator, too, which fails
        raise UsageError(f"{name} is {_shorten(values)}; give {wanted}") from error


def as_whole(value: Any, name: str, *, least: int = 0, most: int = MAX_WHOLE) -> int:
    """The number. Raises UsageError for a fraction, text, a truth value, and what is not from ``least`` to ``most``."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise UsageError(f"{name} is {value!r}; it must be a whole number from {least} to {most}")
    if not least <= number <= most:
        raise UsageError(f"{name} is {number}; it must be from {least} to {most}")
    return number


def _shorten(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float | str):
        return f"{value!r:.60}"
    return f"a {type(value).__name__}"
