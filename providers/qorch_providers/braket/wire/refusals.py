"""What an answer of Amazon Braket means for a task: accepted, refused, or unknown. Pure.

After CreateQuantumTask only an answer that proves that nothing was accepted counts as refused. An error of Braket's
own, which names its type, is that proof if its status is a 4xx. An answer without a type comes from something before
Braket: by the meaning of its status a 4xx is a proof too, except 408 and 499, which servers send that waited too long
and may have read the task. A 5xx never is, with any text and any type. What stays unknown is sent again with the same
client token, so that in doubt "unknown" costs one more request and no money.
"""

import re
from collections.abc import Callable
from types import MappingProxyType

import msgspec

from qorch.errors import (
    BackendError,
    BusyError,
    CredentialsError,
    RejectedError,
    SpendingLimitError,
    UnavailableError,
    UnknownOutcomeError,
)
from qorch_providers.http import HttpResponse, clean, is_safe_id, redirect_target, retry_after_seconds

_TIMED_OUT = frozenset({408, 499})
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,80}")
_THROTTLED = frozenset({"ThrottlingException", "Throttling", "ThrottledException", "TooManyRequestsException",
                        "RequestLimitExceeded", "SlowDown"})  # fmt: skip
_EXPIRED = (
    "the session of these credentials has ended; renew it (aws sso login, or new AWS_ACCESS_KEY_ID,"
    " AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN)"
)
_UNKNOWN_KEY = (
    "AWS does not know the access key; look at AWS_ACCESS_KEY_ID and AWS_SESSION_TOKEN, or at the profile, and at the"
    " region"
)
_WRONG_SIGNATURE = (
    "the signature does not fit; look at AWS_SECRET_ACCESS_KEY, and whether this machine's clock is right"
)
_DENIED = "the credentials are valid, but may not do this; allow it in IAM (policy AmazonBraketFullAccess)"
_CREDENTIALS = MappingProxyType(
    {
        "ExpiredTokenException": _EXPIRED,
        "ExpiredToken": _EXPIRED,
        "TokenRefreshRequired": _EXPIRED,
        "UnrecognizedClientException": _UNKNOWN_KEY,
        "InvalidClientTokenId": _UNKNOWN_KEY,
        "InvalidAccessKeyId": _UNKNOWN_KEY,
        "InvalidToken": _UNKNOWN_KEY,
        "MissingAuthenticationTokenException": _UNKNOWN_KEY,
        "MissingAuthenticationToken": _UNKNOWN_KEY,
        "IncompleteSignatureException": _WRONG_SIGNATURE,
        "InvalidSignatureException": _WRONG_SIGNATURE,
        "SignatureDoesNotMatch": _WRONG_SIGNATURE,
        "RequestExpired": "this machine's clock is wrong; set it right",
        "RequestTimeTooSkewed": "this machine's clock is wrong; set it right",
        "OptInRequired": "the account does not use Amazon Braket yet; enable it in the console",
        "SubscriptionRequiredException": "the account does not use Amazon Braket yet; enable it in the console",
        "AccessDeniedException": _DENIED,
        "AccessDenied": _DENIED,
    }
)
"""What to do about credentials that are refused with a type."""
_KINDS = MappingProxyType(
    {402: "ServiceQuotaExceededException", 410: "DeviceRetiredException", 424: "DeviceOfflineException"}
)
"""Of answers that do not name theirs."""
_OF_LIMITS = frozenset({400, 402})
_LIMIT = re.compile(r"\bspending[ _-]?limit", re.IGNORECASE)
_LIMIT_ADVICE = (
    "the spending limit of the device is reached, or now is not within its time. What was accepted is kept. To go on,"
    " raise it (`aws braket update-spending-limit`) and resume the run; or, if spending_limit= in the name has set"
    " it, delete it (`aws braket delete-spending-limit`) and resume: it is set anew, and counts from then on"
)
_MOST_FAILURES = 3


class _ErrorWire(msgspec.Struct):
    message: msgspec.Raw = msgspec.Raw(b"null")
    Message: msgspec.Raw = msgspec.Raw(b"null")
    type_: msgspec.Raw = msgspec.field(name="__type", default=msgspec.Raw(b"null"))
    code: msgspec.Raw = msgspec.Raw(b"null")
    failures: msgspec.Raw = msgspec.field(name="programSetValidationFailures", default=msgspec.Raw(b"null"))


class _FailureWire(msgspec.Struct, rename="camel"):
    program_index: int
    inputs_index: int | None = None
    errors: list[str] = []


def error_type(response: HttpResponse) -> str:
    """The type that AWS gives an error, such as ``ThrottlingException``; "" if the answer has none."""
    wire = _read_error(response.body)
    named = (response.headers.get("x-amzn-errortype", ""), _text(wire.type_), _text(wire.code))
    for text in named:
        name = text.partition(":")[0].rpartition("#")[2].strip()
        if _TYPE.fullmatch(name):
            return name
    return ""


Locate = Callable[[int, int], tuple[int, int]]
"""The block and the row of a job that Braket names by a program of the set and a place in its inputs; IndexError."""


def read_refusal(response: HttpResponse, *, locate: Locate | None = None) -> BackendError:
    """The error for a submission that was answered with anything but an acceptance. ``locate``: names rows of a set.

    BusyError, UnavailableError, CredentialsError, SpendingLimitError or another RejectedError if the answer proves that
    the task was not accepted; else UnknownOutcomeError.
    """
    kind, sentence = error_type(response), _tell(response, "the task", locate)
    if response.status in _OF_LIMITS and _LIMIT.search(_message(response)):
        return SpendingLimitError(f"{sentence}: {_LIMIT_ADVICE}")
    known = _read_known(response, kind, sentence)
    if known is not None:
        return known
    is_refused = 400 <= response.status < 500 and response.status not in _TIMED_OUT
    if is_refused or redirect_target(response):
        return RejectedError(sentence)
    return UnknownOutcomeError(f"{sentence}; whether it took the task is not known")


def read_failure(response: HttpResponse, *, what: str = "a question") -> BackendError:
    """The error for a call that is safe to repeat and was answered with a failure."""
    sentence = _tell(response, what)
    known = _read_known(response, error_type(response), sentence)
    if isinstance(known, CredentialsError | BusyError):
        return known
    return BusyError(sentence, retry_after_seconds=_wait(response))


def what_to_do(kind: str) -> str:
    """What to do about credentials that were refused with an error of this type."""
    return _CREDENTIALS.get(kind, _DENIED)


def is_about_credentials(kind: str) -> bool:
    """Whether an error of this type, whatever its status, says that the credentials are of no use."""
    return kind in _CREDENTIALS


def is_invalid(response: HttpResponse) -> bool:
    """Whether Braket itself says that what it was asked for cannot be."""
    return response.status == 400 and error_type(response) == "ValidationException"


def is_missing(response: HttpResponse) -> bool:
    """Whether Braket itself, not something before it, says that the requested object does not exist."""
    return response.status == 404 and error_type(response) in ("ResourceNotFoundException", "NotFoundException")


def _read_known(response: HttpResponse, kind: str, sentence: str) -> BackendError | None:
    """The error for what a client may get over, or is told to do something about; None for other answers."""
    if not 400 <= response.status < 500:
        return None
    kind = kind or _KINDS.get(response.status, "")
    if kind in _THROTTLED or response.status == 429:
        return BusyError(sentence, retry_after_seconds=_wait(response))
    if kind in _CREDENTIALS or response.status in (401, 403):
        return CredentialsError(f"{sentence}: {what_to_do(kind)}")
    if kind == "ServiceQuotaExceededException":
        # Without a time: how soon a running task ends is not known, and the pace adapts.
        return BusyError(f"{sentence} (another task is sent when one of them is over)")
    if kind == "DeviceOfflineException":
        return UnavailableError(sentence, retry_after_seconds=_wait(response))
    if kind == "DeviceRetiredException":
        return RejectedError(f"{sentence}; choose another device")
    return None


def _wait(response: HttpResponse) -> float | None:
    return retry_after_seconds(response.headers, now=response.received_at)


def _message(response: HttpResponse) -> str:
    wire = _read_error(response.body)
    return clean(_text(wire.message) or _text(wire.Message))


def _tell(response: HttpResponse, what: str, locate: Locate | None = None) -> str:
    wire, message = _read_error(response.body), _message(response)
    kind = error_type(response)
    words = f"{kind}: {message}" if kind and message else kind or message
    words = words or _tell_redirect(response) or "without a sentence that can be read"
    request_id = response.headers.get("x-amzn-requestid", "")
    reference = f" (request {request_id})" if is_safe_id(request_id) else ""
    return f"Amazon Braket answered {response.status} to {what}: {words}{_tell_failures(wire, locate)}{reference}"


def _tell_failures(wire: _ErrorWire, locate: Locate | None) -> str:
    """Of a program set: which rows of which blocks of the job are at fault, all counted from 0."""
    try:
        failures = msgspec.json.decode(wire.failures, type=list[_FailureWire] | None) or []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    told = [f"{_place(each, locate)}: {clean('; '.join(each.errors), limit=120)}" for each in failures[:_MOST_FAILURES]]
    more = f", and {len(failures) - _MOST_FAILURES} more" if len(failures) > _MOST_FAILURES else ""
    return f" ({'. '.join(told)}{more})" if told else ""


def _place(failure: _FailureWire, locate: Locate | None) -> str:
    program, inputs = failure.program_index, failure.inputs_index
    try:
        block, row = locate(program, inputs or 0) if locate is not None else (program, inputs or 0)
    except IndexError:
        return f"program {program}"
    return f"block {block}" if inputs is None else f"block {block}, row {row}"


def _tell_redirect(response: HttpResponse) -> str:
    target = clean(redirect_target(response))
    return f"the server redirects to {target}; look at AWS_ENDPOINT_URL_BRAKET and the region" if target else ""


def _read_error(body: bytes) -> _ErrorWire:
    try:
        return msgspec.json.decode(body, type=_ErrorWire)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _ErrorWire()


def _text(raw: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(raw, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
