"""Targets of redirects. Only those within one origin that keep method and body (307, 308) are followed."""

from urllib.parse import urljoin, urlsplit

from qorch_providers.http.response import HttpResponse
from qorch_providers.http.safety import is_safe_path

MOST_HOPS = 3
_KEEP_METHOD = (307, 308)


def next_url(response: HttpResponse, url: str, *, origin: str) -> str | None:
    """The URL to send the same request to; None if this is not a redirect or it leads out of the origin."""
    location = response.headers.get("location", "")
    if response.status not in _KEEP_METHOD or not location or not _is_plain(location):
        return None
    try:
        target = urljoin(url, location)
        parts = urlsplit(target)
    except ValueError:
        return None
    is_inside = f"{parts.scheme}://{parts.netloc}".lower() == origin.lower()
    return target if is_inside and is_safe_path(parts.path.removesuffix("/")) and not parts.fragment else None


def redirect_target(response: HttpResponse) -> str:
    """The target of a redirect that proves that the request was not processed, without user and query; else "".

    302 and 303 do not prove that: many servers send them after they accepted a request.
    """
    location = response.headers.get("location", "")
    if response.status not in (301, *_KEEP_METHOD) or not _is_plain(location):
        return ""
    try:
        parts = urlsplit(location)
    except ValueError:
        return ""
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" if parts.scheme and host else parts.path


def _is_plain(location: str) -> bool:
    return location.isascii() and location.isprintable() and "\\" not in location and " " not in location
