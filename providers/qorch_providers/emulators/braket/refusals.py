"""How the services say no: error codes beside statuses, in JSON for Braket and in XML for S3 and STS."""

from collections.abc import Mapping
from types import MappingProxyType
from xml.sax.saxutils import escape

from aiohttp import web

from qorch_providers.emulators.kit.answers import RefusedError, json_answer

_BRAKET_CODES = MappingProxyType(
    {
        400: "ValidationException",
        402: "ServiceQuotaExceededException",
        403: "AccessDeniedException",
        404: "ResourceNotFoundException",
        409: "ConflictException",
        410: "DeviceRetiredException",
        424: "DeviceOfflineException",
        429: "ThrottlingException",
    }
)
_S3_CODES = MappingProxyType({400: "InvalidRequest", 403: "AccessDenied", 404: "NoSuchKey", 429: "SlowDown"})
_STS_CODES = MappingProxyType({400: "ValidationError", 403: "AccessDenied", 429: "Throttling"})
_XML_CODES = MappingProxyType({"results": _S3_CODES, "objects": _S3_CODES, "identity": _STS_CODES})


class AwsRefusedError(RefusedError):
    """A refusal whose code does not follow from its status, or that says more than a message."""

    def __init__(self, status: int, code: str, message: str, *, details: Mapping[str, object] | None = None) -> None:
        """``details``: further fields of the JSON, beside `message`."""
        super().__init__(status, message)
        self.code = code
        self.details = dict(details or {})


def expired_token() -> RefusedError:
    """How a call with credentials that are no longer valid is refused."""
    return AwsRefusedError(403, "ExpiredTokenException", "The security token included in the request is expired")


def answer_refusal(word: str, refusal: RefusedError) -> web.Response:
    """The answer of the service to which a route of this name belongs."""
    if word in _XML_CODES:
        return _answer_in_xml(word, refusal)
    code = _code(refusal, _BRAKET_CODES, "InternalServiceException")
    details = refusal.details if isinstance(refusal, AwsRefusedError) else {}
    document = {"message": str(refusal), **details}
    return json_answer(document, status=refusal.status, headers={"x-amzn-errortype": code})


def _answer_in_xml(word: str, refusal: RefusedError) -> web.Response:
    code = _code(refusal, _XML_CODES[word], "InternalError")
    if word != "identity" and code == "ExpiredTokenException":
        code = "ExpiredToken"
    error = f"<Code>{code}</Code><Message>{escape(str(refusal))}</Message>"
    inner = (
        f"<ErrorResponse><Error>{error}</Error></ErrorResponse>" if word == "identity" else f"<Error>{error}</Error>"
    )
    return web.Response(status=refusal.status, text='<?xml version="1.0" encoding="UTF-8"?>' + inner,
                        content_type="application/xml")  # fmt: skip


def _code(refusal: RefusedError, codes: Mapping[int, str], otherwise: str) -> str:
    return refusal.code if isinstance(refusal, AwsRefusedError) else codes.get(refusal.status, otherwise)
