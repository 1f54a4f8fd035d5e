"""How a request gets its credentials: a hook that sees the request as it will leave, and answers with headers."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from qorch_providers.http.safety import check_header_value


@dataclass(frozen=True)
class Outgoing:
    """A request as it will leave, but for its credentials: what a signature is made over.

    ``url`` is encoded as on the wire. ``headers`` have names in lower case, ``host`` among them; ``body`` is b"" if
    there is none.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def body_sha256(self) -> str:
        """Of the body, in lower-case hexadecimal digits, as signatures want it."""
        return hashlib.sha256(self.body).hexdigest()


@dataclass(frozen=True)
class AuthHeaders:
    """What a hook adds to a request. The values of ``secret`` are hidden in answers, messages and logs."""

    secret: Mapping[str, str] = field(default_factory=dict, repr=False)
    plain: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raise UsageError, which holds no value, for a value that no header may have."""
        for name, value in (*self.secret.items(), *self.plain.items()):
            check_header_value(name, value)


class Auth(Protocol):
    """The credentials of one origin. ``sign`` is awaited once per request on the wire, a followed redirect included.

    Either may ask another server, but through ``HttpClient.ask`` only. It raises CredentialsError if the credentials
    are refused, and BusyError if they cannot be had now: both say that the request itself was not sent.
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
