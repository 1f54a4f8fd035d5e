"""How a request gets its credentials: a hook sees the request as it will be sent, and returns headers for it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from qorch_providers.http.safety import check_header_value


@dataclass(frozen=True)
class Outgoing:
    """A request as it will be sent, without its credentials: what a signature is computed over.

    ``url`` is encoded as on the wire. ``headers`` have names in lower case, ``host`` among them; ``body`` is b"" if
    there is none.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def body_sha256(self) -> str:
        """SHA-256 of the body in lower-case hexadecimal digits, as signature schemes require."""
        return hashlib.sha256(self.body).hexdigest()


@dataclass(frozen=True)
class AuthHeaders:
    """The headers that a hook adds to a request. Values of ``secret`` are hidden in answers, messages and logs."""

    secret: Mapping[str, str] = field(default_factory=dict, repr=False)
    plain: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raise UsageError, which holds no value, for a value that no header may have."""
        for name, value in (*self.secret.items(), *self.plain.items()):
            check_header_value(name, value)


class Auth(Protocol):
    """The credentials of one origin. ``sign`` is awaited once per request on the wire, a followed redirect included.

    ``sign`` and ``renew`` may ask another server, but only through ``HttpClient.ask``. They raise CredentialsError if
    the credentials are refused, BusyError if they cannot be had now: in both cases the request itself was not sent.
    """

    async def sign(self, request: Outgoing) -> AuthHeaders:
        """The headers for this request."""
        ...

    async def renew(self, refused: AuthHeaders) -> bool:
        """Whether a request that was answered 401 or 403 is to be sent once more, with new headers."""
        ...


class StaticAuth:
    """The same secret headers for every request."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        """Raises UsageError for a value that no header may have."""
        self._headers = AuthHeaders(secret={name.lower(): value for name, value in headers.items()})
        self._headers.check()

    async def sign(self, request: Outgoing) -> AuthHeaders:
        """See Auth."""
        return self._headers

    async def renew(self, refused: AuthHeaders) -> bool:
        """See Auth: there is nothing to renew."""
        return False
