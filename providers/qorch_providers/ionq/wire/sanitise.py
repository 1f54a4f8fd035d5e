"""Checks ids and paths from a server before they are used, and takes paths out of URLs."""

import re

from qorch.errors import InvalidResultError
from qorch_providers.http import clean

_ID = re.compile(r"[A-Za-z0-9:_.-]{1,256}", re.ASCII)
_PATH = re.compile(r"/v0\.[0-9]{1,2}(?:/[A-Za-z0-9:_.-]{1,256}){1,12}", re.ASCII)
_ORIGIN = re.compile(r"^(?:https?:)?//[^/?#]*", re.ASCII | re.IGNORECASE)


def check_id(text: str) -> str:
    """The id itself. Raises InvalidResultError unless it is 1 to 256 of letters, digits and ``:_.-`` without ``..``."""
    if not _ID.fullmatch(text) or ".." in text or text == ".":
        raise InvalidResultError(f"expected an id of letters, digits and ':_.-', found {clean(text, limit=60)!r}")
    return text


def is_path(text: str) -> bool:
    """Whether a text is a path of this API on the same server, and cannot lead elsewhere."""
    return bool(_PATH.fullmatch(text)) and ".." not in text and "." not in text.split("/")


def path_of(name: str) -> str:
    """The path of a URL; the server's name, which may be another one behind a gateway, and the query are dropped."""
    return _ORIGIN.sub("", name).partition("?")[0].partition("#")[0]
