"""Paths below an origin, given as a plain string or as segments that are encoded here."""

import re
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import quote, urlencode

from qorch.errors import UsageError
from qorch_providers.http.safety import is_safe_path

_LONGEST_SEGMENT = 2048
_SEPARATORS = re.compile(r"[/\\]")


def encode_url(base_url: str, path: str | Sequence[str], query: Sequence[tuple[str, str]]) -> str:
    """The URL as it goes over the wire: ``path`` as ``encode_path`` takes it, ``query`` encoded.

    Raises UsageError for a path that could lead elsewhere.
    """
    if isinstance(path, str) and not is_safe_path(path):
        raise UsageError(f"{path[:100]!r} is not a path below {base_url}; expected plain segments after '/'")
    pairs = _encode_query(tuple(query)) if query else ""
    return f"{base_url}{encode_path(path)}" + (f"?{pairs}" if pairs else "")


def encode_path(path: str | Sequence[str]) -> str:
    """A string as it is; segments such as ``["device", "arn:aws:braket:::device/x"]`` encoded, and joined by "/".

    Raises UsageError for no segment, and for one that is empty, unprintable, longer than 2,048 characters, or that
    would climb if a server decoded it: "..", "a/../b", "a//b" or a backslash.
    """
    if isinstance(path, str):
        return path
    if not path:
        raise UsageError("a path without segments; expected at least one")
    return "".join(f"/{_encode_segment(segment)}" for segment in path)


@lru_cache(maxsize=64)
def _encode_query(query: tuple[tuple[str, str], ...]) -> str:
    return urlencode(query, quote_via=quote, safe="")


@lru_cache(maxsize=512)
def _encode_segment(segment: str) -> str:
    is_plain = 0 < len(segment) <= _LONGEST_SEGMENT and segment.isprintable() and "\\" not in segment
    if not is_plain or not {"", ".", ".."}.isdisjoint(_SEPARATORS.split(segment)):
        raise UsageError(f"{segment[:100]!r} cannot be a segment of a path; expected a name without dots or gaps")
    return quote(segment, safe="")
