"""Whole numbers as users give them: Python's, or NumPy's."""

import operator
from typing import Any

from qorch.errors import UsageError

MAX_WHOLE = 2**63 - 1
"""The largest that a database holds."""


def as_whole(value: Any, name: str) -> int:
    """The number. Raises UsageError for a fraction, text, a truth value, and what is not from 0 to 2^63 - 1."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise UsageError(f"{name} is {value!r}; it must be a whole number from 0 to {MAX_WHOLE}")
    if not 0 <= number <= MAX_WHOLE:
        raise UsageError(f"{name} is {number}; it must be from 0 to {MAX_WHOLE}")
    return number
