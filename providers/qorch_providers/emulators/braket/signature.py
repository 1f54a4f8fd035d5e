"""Read who calls from a signature of AWS (version 4). It is not verified: the secret key is not known here."""

import re
from dataclasses import dataclass
from types import MappingProxyType

from qorch_providers.emulators.braket.refusals import AwsRefusedError

_SIGNATURE = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/\s,]+)/[0-9]{8}/([a-z0-9-]+)/(braket|s3|sts)/aws4_request,"
    r"\s*SignedHeaders=[a-z0-9;-]+,\s*Signature=[0-9a-f]{64}"
)
_UNKNOWN_KEY = MappingProxyType(
    {"braket": "UnrecognizedClientException", "s3": "InvalidAccessKeyId", "sts": "InvalidClientTokenId"}
)


@dataclass(frozen=True)
class Caller:
    """Who calls: the id of the key, and the region and service for which the call was signed."""

    access_key: str
    region: str
    service: str


def read_signature(authorization: str | None, *, access_key: str) -> Caller:
    """The caller whom an Authorization header names.

    ``access_key``: the only id that is let in; any if it is empty. Raises AwsRefusedError (403).
    """
    if not authorization:
        raise AwsRefusedError(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
    found = _SIGNATURE.fullmatch(authorization)
    if found is None:
        raise AwsRefusedError(403, "IncompleteSignatureException", "the Authorization header is not of Signature V4")
    caller = Caller(found[1], found[2], found[3])
    if access_key not in ("", caller.access_key):
        code = _UNKNOWN_KEY[caller.service]
        raise AwsRefusedError(403, code, "The security token included in the request is invalid.")
    return caller
