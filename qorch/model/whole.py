"""Whole numbers as users give them: Python's, or NumPy's."""

import operator
from typing import Any

from qorch.errors import UsageError

MAX_WHOLE = 2**63 - 1
"""The largest that a database holds."""


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
