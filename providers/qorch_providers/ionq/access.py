"""Where IonQ's API is and which key opens it, read from the environment that is passed in."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from qorch.errors import UsageError
from qorch_providers.http import check_header_value, check_origin

KEY_NAME, URL_NAME = "IONQ_API_KEY", "IONQ_API_URL"
DEFAULT_URL = "https://api.ionq.co"
CONSOLE = "https://cloud.ionq.com"
_VERSION_AT_END = re.compile(r"/(v[0-9]+(?:\.[0-9]+)*)$")


@dataclass(frozen=True)
class Access:
    """``base_url`` is without the version, which every path begins with: ``/v0.4/jobs``."""

    base_url: str
    key: str = field(repr=False)

    @property
    def account(self) -> str:
        """A name for what shares the account's limits; 48 bits of a hash tell nothing of the key."""
        parts = urlsplit(self.base_url)
        digest = hashlib.sha256(f"{parts.scheme}://{parts.netloc}\n{self.key}".encode()).hexdigest()
        return f"ionq:{digest[:12]}"

    @property
    def headers(self) -> dict[str, str]:
        """What goes with every call."""
        return {"authorization": f"apiKey {self.key}"}


def read_access(environment: Mapping[str, str], *, version: str) -> Access:
    """Key and URL. Raises UsageError if the key is missing or the URL cannot be, without showing the key."""
    key = environment.get(KEY_NAME, "").strip()
    if not key:
        raise UsageError(
            f"there is no IonQ key: make one at {CONSOLE} (Settings, API keys) and set {KEY_NAME}=<key>;"
            " qorch emulate ionq takes any word"
        )
    check_header_value(f"IonQ ({KEY_NAME})", key)
    return Access(_read_url(environment.get(URL_NAME, "").strip() or DEFAULT_URL, version), key)


def _read_url(text: str, version: str) -> str:
    url = check_origin(text)
    found = _VERSION_AT_END.search(url)
    if found is None:
        return url
    if found[1] != version:
        raise UsageError(
            f"{URL_NAME} ends with {found[1]}, but the backend speaks {version};"
            f" add version={found[1]} to the backend's name, or leave the version out of the URL"
        )
    return url[: found.start()]
