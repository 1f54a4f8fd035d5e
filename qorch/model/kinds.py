"""What users give, checked for its kind: a list, a pub, a text."""

from types import UnionType
from typing import Any

from qorch.errors import UsageError


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


def _shorten(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float | str):
        return f"{value!r:.60}"
    return f"a {type(value).__name__}"
