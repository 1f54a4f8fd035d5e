"""IAM: tokens for API keys, and a book of who asked for them.

A token is a JWT, as clients read its times; the signature is the server's own and only the server can check it.
"""

import base64
import hashlib
import hmac
import secrets
from collections import Counter
from collections.abc import Mapping
from urllib.parse import parse_qs

import msgspec

from qorch.errors import UsageError
from qorch_providers.emulators.ibm.refusals import expired_token
from qorch_providers.emulators.kit.answers import RefusedError
from qorch_providers.emulators.kit.clock import ScaledClock

GRANT = "urn:ibm:params:oauth:grant-type:apikey"


class TokenDesk:
    """Issues and checks tokens. ``issued``, ``refused``: numbers of requests; ``most_at_once``: requests in progress.

    A client that asks for one token at a time, however many of its threads need it, has ``most_at_once`` 1.
    """

    def __init__(self, *, clock: ScaledClock, api_key: str, token_seconds: float) -> None:
        """``api_key``: the only one that is let in, any if empty."""
        self.refused = 0
        self.most_at_once = 0
        self._issued: Counter[str] = Counter()
        self._in_progress = 0
        self._clock = clock
        self._api_key = api_key
        self._token_seconds = token_seconds
        self._secret = secrets.token_bytes(32)
        self._ends_by_token: dict[str, float] = {}

    @property
    def issued(self) -> int:
        """How many tokens were issued."""
        return self._issued.total()

    async def issue(self, body: bytes, *, seconds: float) -> dict[str, object]:
        """The answer to a request for a token after so many seconds. Raises UsageError, RefusedError (400)."""
        self._in_progress += 1
        self.most_at_once = max(self.most_at_once, self._in_progress)
        try:
            await self._clock.sleep(seconds)
            key = _read_key(body)
            if not self._knows(key):
                self.refused += 1
                raise RefusedError(400, "Provided API key could not be found.")
            return self._make(key)
        finally:
            self._in_progress -= 1

    def check(self, authorization: str | None) -> None:
        """Raises RefusedError (401) if a call carries neither a valid token nor, as some clients do, the key itself."""
        scheme, _, secret = (authorization or "").partition(" ")
        if scheme.lower() == "apikey" and self._knows(secret):
            return
        ends_seconds = self._ends_by_token.get(secret)
        if scheme.lower() != "bearer" or ends_seconds is None or self._clock.protocol_seconds() >= ends_seconds:
            raise expired_token()

    def revoke(self) -> None:
        """No token that was issued so far is valid any longer."""
        self._ends_by_token.clear()

    def book(self) -> dict[str, object]:
        """What the desk remembers."""
        return {"issued": self.issued, "refused": self.refused, "most_at_once": self.most_at_once}

    def _knows(self, key: str) -> bool:
        return bool(key) and self._api_key in ("", key)

    def _make(self, key: str) -> dict[str, object]:
        self._issued[key] += 1
        issued_unix = int(self._clock.unix())
        ends_unix = issued_unix + max(1, round(self._token_seconds / self._clock.scale))
        identity = hashlib.sha256(key.encode()).hexdigest()[:10]
        claims = {"iam_id": f"IBMid-{identity}", "sub": identity, "iat": issued_unix, "exp": ends_unix,
                  "jti": secrets.token_hex(8)}  # fmt: skip
        token = self._sign(claims)
        self._ends_by_token[token] = self._clock.protocol_seconds() + self._token_seconds
        return {
            "access_token": token,
            "refresh_token": "not_supported",
            "token_type": "Bearer",
            "expires_in": ends_unix - issued_unix,
            "expiration": ends_unix,
            "scope": "ibm openid",
        }

    def _sign(self, claims: Mapping[str, object]) -> str:
        signed = f"{_encode({'alg': 'HS256', 'typ': 'JWT'})}.{_encode(claims)}"
        return f"{signed}.{_in_base64(hmac.digest(self._secret, signed.encode(), 'sha256'))}"


def _read_key(body: bytes) -> str:
    try:
        fields = parse_qs(body.decode("ascii"))
    except UnicodeDecodeError as error:
        raise UsageError("the body is not a form") from error
    if fields.get("grant_type") != [GRANT]:
        raise UsageError(f"grant_type must be {GRANT}")
    return fields.get("apikey", [""])[0]


def _encode(document: Mapping[str, object]) -> str:
    return _in_base64(msgspec.json.encode(document))


def _in_base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
