"""Signature Version 4 as credentials of our HTTP client: botocore computes it, and nothing of it is logged."""

from dataclasses import dataclass, field
from types import MappingProxyType

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from qorch.ports.clock import Clock
from qorch_providers.braket.aws.credentials import AwsCredentials, KeyPair
from qorch_providers.http import AuthHeaders, Outgoing

_SIGNED = ("host", "content-type")
"""Of our own headers: what stands between may change the others."""
_SCHEMES = MappingProxyType({"braket": SigV4Auth, "s3": S3SigV4Auth})


@dataclass(frozen=True)
class _SignedHeaders(AuthHeaders):
    """Headers that remember what they were signed with."""

    pair: KeyPair | None = field(default=None, repr=False)


class AwsSignature:
    """Signs requests to one service in one region; see ``qorch_providers.http.Auth``."""

    def __init__(self, credentials: AwsCredentials, service: str, *, region: str, clock: Clock) -> None:
        """``service``: ``braket`` or ``s3``, which sign differently."""
        self._credentials = credentials
        self._service = service
        self._region = region
        self._clock = clock

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
        """The headers to add: plain ones, and secret ones. botocore's ``add_auth`` would log the signature."""
        timestamp = self._clock.now().strftime("%Y%m%dT%H%M%SZ")
        plain = {"x-amz-date": timestamp}
        if self._service == "s3":
            plain["x-amz-content-sha256"] = request.body_sha256
        secret = {} if pair.token is None else {"x-amz-security-token": pair.token}
        own = {name: request.headers[name] for name in _SIGNED if name in request.headers}
        signed = AWSRequest(request.method, request.url, headers={**own, **plain, **secret}, data=request.body)
        signed.context["timestamp"] = timestamp
        scheme = _SCHEMES[self._service](Credentials(pair.access_key, pair.secret_key), self._service, self._region)
        signature = scheme.signature(scheme.string_to_sign(signed, scheme.canonical_request(signed)), signed)
        names = scheme.signed_headers(scheme.headers_to_sign(signed))
        secret["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={scheme.scope(signed)}, SignedHeaders={names}, Signature={signature}"
        )
        return plain, secret
