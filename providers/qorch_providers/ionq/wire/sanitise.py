"""Checks or cleans text from a server (ids, paths, messages) before it is used or shown."""

import re
import unicodedata

from qorch.errors import InvalidResultError

MAX_TEXT = 300
_ID = re.compile(r"[A-Za-z0-9:_.-]{1,256}", re.ASCII)
_PATH = re.compile(r"/v0\.[0-9]{1,2}(?:/[A-Za-z0-9:_.-]{1,256}){1,12}", re.ASCII)
_UNWANTED = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def check_id(text: str) -> str:
    """The id itself. Raises InvalidResultError unless it is 1 to 256 of letters, digits and ``:_.-`` without ``..``."""
    if not _ID.fullmatch(text) or ".." in text or text == ".":
        raise InvalidResultError(f"expected an id of letters, digits and ':_.-', found {clean(text, limit=60)!r}")
    return text


def is_path(text: str) -> bool:
    """Whether a text is a path of this API on the same server, and cannot lead elsewhere."""
    return bool(_PATH.fullmatch(text)) and ".." not in text and "." not in text.split("/")


def clean(text: str, *, limit: int = MAX_TEXT) -> str:
    """The text in one line without control, bidirectional and other invisible characters, cut to ``limit``."""
    kept = (" " if unicodedata.category(letter) in _UNWANTED else letter for letter in text[: 8 * limit])
    line = " ".join("".join(kept).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
