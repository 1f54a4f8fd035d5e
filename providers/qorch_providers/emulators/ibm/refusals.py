"""How the services say no: IBM's codes beside statuses. Codes that are not known are those of the status."""

import uuid
from types import MappingProxyType

from aiohttp import web

from qorch_providers.emulators.kit.answers import RefusedError, json_answer

NOT_FOUND_JOB = 1291
NOT_FOUND_SESSION = 1284
NOT_FOUND_BACKEND = 1007
SESSION_CLOSED = 1217
NO_SESSIONS_ON_PLAN = 1352
BAD_BODY = 1208
_CODES = MappingProxyType({400: BAD_BODY, 401: 1200, 403: 1201, 404: 1207, 409: 1212, 429: 1429, 503: 1000})
MORE_INFO = "https://quantum.cloud.ibm.com/docs/errors"
_IAM_CODES = MappingProxyType({400: "BXNIM0415E", 429: "BXNIM0517E"})


class IbmRefusedError(RefusedError):
    """A refusal whose code does not follow from its status. ``solution``: what the user can do."""

    def __init__(self, status: int, code: int, message: str, *, solution: str = "") -> None:
        """``code``: one of the service's registry of errors."""
        super().__init__(status, message)
        self.code = code
        self.solution = solution


def expired_token() -> RefusedError:
    """How a call with a token that is no longer valid is refused."""
    return IbmRefusedError(401, 1200, "The access token is not valid or has expired")


def answer_refusal(word: str, refusal: RefusedError) -> web.Response:
    """The answer of the service to which a route of this name belongs."""
    if word == "identity":
        return _answer_of_iam(refusal)
    code = refusal.code if isinstance(refusal, IbmRefusedError) else _CODES.get(refusal.status, 1000)
    error: dict[str, object] = {"code": code, "message": str(refusal), "more_info": MORE_INFO}
    if isinstance(refusal, IbmRefusedError) and refusal.solution:
        error["solution"] = refusal.solution
    return json_answer({"errors": [error], "trace": uuid.uuid4().hex}, status=refusal.status)


def _answer_of_iam(refusal: RefusedError) -> web.Response:
    document = {
        "errorCode": _IAM_CODES.get(refusal.status, "BXNIM0110E"),
        "errorMessage": str(refusal),
        "context": {"requestId": uuid.uuid4().hex},
    }
    return json_answer(document, status=refusal.status)
