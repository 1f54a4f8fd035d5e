"""Signature Version 4 as credentials of our HTTP client: byte for byte botocore's, at a fifth of its CPU time.

Rules: AWS, "Create a signed AWS API request". A key of the day is derived once; nothing is logged.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote, urlsplit

from qorch.ports.clock import Clock
from qorch_providers.braket.aws.credentials import AwsCredentials, KeyPair
from qorch_providers.http import AuthHeaders, Outgoing

_SIGNED = ("host", "content-type")
"""Of our own headers: what stands between may change the others."""
_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True)
class _SignedHeaders(AuthHeaders):
    """Headers that remember what they were signed with."""

    pair: KeyPair | None = field(default=None, repr=False)


@dataclass(frozen=True)
class _HeldKey:
    """A signing key of one day, and the credentials that it was derived from."""

    pair: KeyPair
    day: str
    key: bytes = field(repr=False)


class AwsSignature:
    """Signs requests to one service in one region; see ``qorch_providers.http.Auth``."""

    def __init__(self, credentials: AwsCredentials, service: str, *, region: str, clock: Clock) -> None:
        """``service``: ``braket`` or ``s3``, which sign differently."""
        self._credentials = credentials
        self._service = service
        self._region = region
        self._clock = clock
        self._held: _HeldKey | None = None

    async def sign(self, request: Outgoing) -> AuthHeaders:
        """See Auth. Raises CredentialsError if there are no credentials, UnreachableError if not now."""
        pair = await self._credentials.current()
        plain, secret = self._compute(request, pair)
        return _SignedHeaders(secret=secret, plain=plain, pair=pair)

    async def renew(self, refused: AuthHeaders) -> bool:
        """See Auth: True if there are other credentials than the refused ones."""
        pair = refused.pair if isinstance(refused, _SignedHeaders) else None
        return pair is not None and await self._credentials.replace(pair)

    def _compute(self, request: Outgoing, pair: KeyPair) -> tuple[dict[str, str], dict[str, str]]:
        """The headers to add: plain ones, and secret ones."""
        timestamp = self._clock.now().strftime("%Y%m%dT%H%M%SZ")
        body_sha256 = request.body_sha256
        plain = {"x-amz-date": timestamp}
        if self._service == "s3":
            plain["x-amz-content-sha256"] = body_sha256
        secret = {} if pair.token is None else {"x-amz-security-token": pair.token}
        own = {name: request.headers[name] for name in _SIGNED if name in request.headers}
        signed = sorted({**own, **plain, **secret}.items())
        lines = "".join([f"{name}:{value}\n" for name, value in signed])
        names = ";".join([name for name, _ in signed])
        path, query = _canonical_place(request.url, escapes_again=self._service != "s3")
        canonical = f"{request.method.upper()}\n{path}\n{query}\n{lines}\n{names}\n{body_sha256}"
        scope = f"{timestamp[:8]}/{self._region}/{self._service}/aws4_request"
        text = f"{_ALGORITHM}\n{timestamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(self._key_of(pair, timestamp[:8]), text.encode(), "sha256").hex()
        secret["authorization"] = (
            f"{_ALGORITHM} Credential={pair.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return plain, secret

    def _key_of(self, pair: KeyPair, day: str) -> bytes:
        """The signing key of a day, derived again only if the day or the credentials are others."""
        held = self._held
        if held is None or held.day != day or held.pair is not pair:
            key = f"AWS4{pair.secret_key}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._held = held = _HeldKey(pair, day, key)
        return held.key


@lru_cache(maxsize=256)
def _canonical_place(url: str, *, escapes_again: bool) -> tuple[str, str]:
    """Path and query as they are signed: all services but S3 escape the path, which is escaped already, once more."""
    parts = urlsplit(url)
    path = quote(parts.path, safe="/~") if escapes_again else parts.path
    pairs = sorted(pair.partition("=")[::2] for pair in parts.query.split("&") if pair)
    return path or "/", "&".join([f"{name}={value}" for name, value in pairs])
