"""Checks of what goes into a request (origins, header values, paths, ids); cleans what is shown, and masks secrets."""

import ipaddress
import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import urlsplit

from qorch.errors import UsageError

_ID = re.compile(r"[A-Za-z0-9:_.-]{1,256}")
_PATH = re.compile(r"(?:/[A-Za-z0-9:_.~-]+)+")
_VALUE = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")
_MASK = "***"
MAX_TEXT = 300
"""How much of a server's text is shown, if nothing else is asked for."""
_UNWANTED = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_SHORT_SECRET = 8
"""Shorter secrets, such as an emulator's dummy key, are masked as whole words only: they are parts of other words."""


def is_safe_id(text: str) -> bool:
    """Whether an id that a server gave may become a segment of a path or the name of anything."""
    return _ID.fullmatch(text) is not None and ".." not in text and text != "."


def is_safe_path(path: str) -> bool:
    """Whether a path stays below the origin: plain segments, none of them dots, nothing escaped."""
    return _PATH.fullmatch(path) is not None and not any(part in (".", "..") for part in path.split("/"))


def check_header_value(name: str, value: str) -> None:
    """Raise UsageError, which never holds the value, unless it is printable ASCII with single spaces inside.

    Anything else could smuggle a second header in, and libraries print the value that they refuse.
    """
    if _VALUE.fullmatch(value) is None:
        raise UsageError(
            f"the value for {name} is empty or has characters that no header may have (spaces at an end, line breaks,"
            " letters beyond ASCII); copy it again without them"
        )


def check_origin(url: str) -> str:
    """The URL without a slash at its end. Raises UsageError unless it is https, or http to this machine, and no more.

    User names, queries and fragments are refused: a URL is printed, and secrets do not belong in it.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError("the URL of the backend cannot be read; expected https://host/path") from error
    if parts.scheme not in ("https", "http") or not host or not url.isascii() or re.search(r"[\s\\]", url):
        raise UsageError("the URL of the backend cannot be read; expected https://host/path")
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise UsageError(
            f"the URL of the backend at {host} has a user, a query or a fragment; leave only host and path"
        )
    if parts.path.strip("/") and not is_safe_path(parts.path.rstrip("/")):
        raise UsageError(f"the URL of the backend at {host} has a path with dots, escapes or empty parts; correct it")
    if parts.scheme == "http" and not is_loopback(host):
        raise UsageError(f"http://{host} would carry the key readable for everyone on the way; use https://{host}")
    return url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def mask(text: str, secrets: Iterable[str]) -> str:
    """The text with every secret replaced by stars, the longest first; a short one only if it is a whole word."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        if len(secret.split()[-1]) < _SHORT_SECRET:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", _MASK, text)
        else:
            text = text.replace(secret, _MASK)
    return text


def clean(text: str, *, limit: int = MAX_TEXT) -> str:
    """The text in one line without control, bidirectional and other invisible characters, cut to ``limit``."""
    kept = (" " if unicodedata.category(letter) in _UNWANTED else letter for letter in text[: 8 * limit])
    line = " ".join("".join(kept).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
