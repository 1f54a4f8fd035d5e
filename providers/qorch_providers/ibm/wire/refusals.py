"""What an answer of IBM Quantum means for a job: accepted, refused, or unknown. Pure.

After a POST only an answer that proves that nothing was accepted counts as refused. By the meaning of its status a 4xx
is that proof, except 408 and 499, which servers send that waited too long and may have read the job. A 5xx is not, with
any text: IBM's client repeats those, as its authors hold that safe, but gateways answer 502, 504 and 52x also after a
job was accepted, and IBM remembers no keys, so that a second POST would be a second job. What is unknown is looked for
by its tag, and held if no list shows it. A 403 with a page says nothing of the key: the firewall in front of the API
(Cloudflare) refuses jobs by their content (qiskit issue 16047). A redirect is a proof if it says that the request
belongs elsewhere (301, 307, 308).
"""

import re
from types import MappingProxyType

import msgspec

from qorch.errors import (
    BackendError,
    BusyError,
    CredentialsError,
    RejectedError,
    SessionEndedError,
    SpendingLimitError,
    UnavailableError,
    UnknownOutcomeError,
)
from qorch_providers.http import HttpResponse, clean, is_safe_id, redirect_target, retry_after_seconds
from qorch_providers.ibm.account import INSTANCE_NAME, TOKEN_NAME, URL_NAME

_TIMED_OUT = frozenset({408, 499})
_BUSY_CODES = frozenset({1012, 1202, 3458})
"""Too many jobs in progress, too many requests, too many pending jobs."""
_CLOSED_CODES = frozenset({1004})
"""The backend is not available."""
_NO_DEVICE = 1007
_SESSION_CODES = frozenset({1217, 1284})
"""The session is closed, or not there."""
_NO_SESSIONS = 1352
_SESSION_OVER = re.compile(
    r"\bsession\b.{0,60}(?:\bclosed\b|\bexpired\b|\bended\b|\bnot accepting\b|\bno longer\b|\bnot found\b)",
    re.IGNORECASE | re.DOTALL,
)
_USAGE = re.compile(r"usage|quota|limit|allocation", re.IGNORECASE)
_ASLEEP = re.compile(
    r"(?:under|in|for|scheduled) maintenance|maintenance (?:window|mode)"
    r"|\b(?:backend|device|system|qpu)\b.{0,60}(?:\bunavailable\b|\bnot available\b|\boffline\b|\bpaused\b)"
    r"(?!\s+(?:in|on|for|to|with|under)\s+(?:this|that|your)\b)",  # a plan or region without it has it never
    re.IGNORECASE | re.DOTALL,
)
_KEY_ADVICE = f"look at the API key ({TOKEN_NAME}, or the saved account): is it whole, and not deleted?"
_ADVICE = MappingProxyType(
    {
        401: _KEY_ADVICE,
        402: "look at the plan and the billing of the instance",
        403: (
            f"the key may not use this instance; look at {INSTANCE_NAME}, and at the access of the key's account to it"
        ),
        413: "the job is too large; send fewer rows in one (rows=N)",
    }
)
_FIREWALL_ADVICE = (
    "a firewall in front of IBM Quantum writes such answers, which say nothing of the key; try again later, or with"
    " smaller jobs (rows=N), and ask IBM's support if it stays"
)
_USAGE_ADVICE = (
    "wait for the next period, raise the limit of the instance in IBM Cloud, or use another instance"
    f" ({INSTANCE_NAME} or instance=), then resume the run, which keeps what it has"
)


class _ErrorWire(msgspec.Struct):
    code: msgspec.Raw = msgspec.Raw(b"null")
    message: msgspec.Raw = msgspec.Raw(b"null")


class _BodyWire(msgspec.Struct):
    errors: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")
    trace: msgspec.Raw = msgspec.Raw(b"null")


class _IamWire(msgspec.Struct):
    code: str = msgspec.field(name="errorCode", default="")
    message: str = msgspec.field(name="errorMessage", default="")


def read_refusal(response: HttpResponse, *, what: str = "the job") -> BackendError:
    """The error for a job, or another thing that is paid for, that was answered with anything but an acceptance.

    BusyError, UnavailableError, CredentialsError, SessionEndedError, SpendingLimitError or another RejectedError if the
    answer proves that it was not accepted; else UnknownOutcomeError.
    """
    sentence, code = _tell(response, what), error_code(response)
    is_refused = 400 <= response.status < 500 and response.status not in _TIMED_OUT
    if not is_refused and not redirect_target(response):
        return UnknownOutcomeError(f"{sentence}; whether it took {what} is not known")
    if response.status == 429 or code in _BUSY_CODES:
        return BusyError(sentence, retry_after_seconds=_wait(response))
    if _refuses_key(response):
        return CredentialsError(f"{sentence}: {_ADVICE[response.status]}")
    if is_session_over(response):
        return SessionEndedError(sentence)
    if response.status == 409 and _USAGE.search(_words(response)):
        return SpendingLimitError(f"{sentence}: {_USAGE_ADVICE}")
    if code in _CLOSED_CODES or _ASLEEP.search(_words(response)):
        return UnavailableError(sentence, retry_after_seconds=_wait(response))
    return RejectedError(f"{sentence}{_advise(response, code)}")


def read_failure(response: HttpResponse, *, what: str = "a question") -> BackendError:
    """The error for a call that is safe to repeat and was answered with a failure."""
    sentence = _tell(response, what)
    if _refuses_key(response):
        return CredentialsError(f"{sentence}: {_ADVICE[response.status]}")
    return BusyError(f"{sentence}{_advise_of_gateway(response)}", retry_after_seconds=_wait(response))


def read_iam_failure(response: HttpResponse) -> BackendError:
    """The error for a request of a token that was answered with anything but one.

    IAM says 400 for a key that it does not know.
    """
    try:
        wire = msgspec.json.decode(response.body, type=_IamWire)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        wire = _IamWire()
    words = (
        clean(": ".join(filter(None, (wire.code, wire.message)))).rstrip(". ") or "without a sentence that can be read"
    )
    sentence = f"IBM Cloud's IAM answered {response.status} to the request of a token: {words}"
    if response.status in (401, 403) or (response.status == 400 and wire.code):
        return CredentialsError(f"{sentence}; {_KEY_ADVICE}")
    return BusyError(sentence, retry_after_seconds=_wait(response))


def is_missing(response: HttpResponse) -> bool:
    """Whether IBM itself, not a gateway before it, says that the requested object does not exist, or no more."""
    return response.status in (404, 410) and _is_ibms(response)


def is_session_over(response: HttpResponse) -> bool:
    """Whether the answer says that a session takes no jobs any more."""
    if not 400 <= response.status < 500 or response.status in _TIMED_OUT:
        return False
    return error_code(response) in _SESSION_CODES or bool(_SESSION_OVER.search(_words(response)))


def error_code(response: HttpResponse) -> int | None:
    """IBM's number of an error; None if the answer has none."""
    wire = _read_error(response.body)
    for kind in (int, str):
        try:
            text = str(msgspec.json.decode(wire.code, type=kind))
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if text.isdecimal() and len(text) < 10:
            return int(text)
    return None


def _refuses_key(response: HttpResponse) -> bool:
    """Whether the key or its access is refused. A 403 with a page is a firewall's, which knows no keys."""
    return response.status == 401 or (response.status == 403 and not _is_page(response))


def _is_page(response: HttpResponse) -> bool:
    """Whether an answer is a text or a page of HTML, where a service writes an object of JSON."""
    body = response.body.strip()
    return bool(body) and not body.startswith(b"{")


def _is_ibms(response: HttpResponse) -> bool:
    """Whether a refusal is in one of IBM's forms: with a number, a word ("gone") or a sentence of an error."""
    wire = _read_error(response.body)
    return error_code(response) is not None or bool(_text(wire.code) or _text(wire.message))


def _advise(response: HttpResponse, code: int | None) -> str:
    if code == _NO_SESSIONS:
        return ": choose mode=batch, or leave mode= out"
    if code == _NO_DEVICE:
        return ": choose another device"
    if response.status == 403:
        return _advise_of_gateway(response)
    advice = _ADVICE.get(response.status)
    return f": {advice}" if advice else ""


def _advise_of_gateway(response: HttpResponse) -> str:
    return f": {_FIREWALL_ADVICE}" if response.status == 403 and _is_page(response) else ""


def _wait(response: HttpResponse) -> float | None:
    return retry_after_seconds(response.headers, now=response.received_at)


def _tell(response: HttpResponse, what: str) -> str:
    code = error_code(response)
    words = _words(response) or _tell_redirect(response) or "without a sentence that can be read"
    numbered = f" (code {code})" if code is not None else ""
    trace = _text(_read_body(response.body).trace)
    reference = f" (trace {trace})" if is_safe_id(trace) else ""
    return f"IBM Quantum answered {response.status} to {what}: {words}{numbered}{reference}"


def _words(response: HttpResponse) -> str:
    return clean(_text(_read_error(response.body).message)).rstrip(". ")


def _tell_redirect(response: HttpResponse) -> str:
    target = clean(redirect_target(response))
    return f"the server redirects to {target}; look at {URL_NAME} and at the region in the CRN" if target else ""


def _read_error(body: bytes) -> _ErrorWire:
    """The first error of an answer, in either form."""
    wire = _read_body(body)
    try:
        errors = msgspec.json.decode(wire.errors, type=list[_ErrorWire] | None) or []
        single = msgspec.json.decode(wire.error, type=_ErrorWire | None)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _ErrorWire()
    return next(iter(errors), single or _ErrorWire())


def _read_body(body: bytes) -> _BodyWire:
    try:
        return msgspec.json.decode(body, type=_BodyWire)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _BodyWire()


def _text(raw: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(raw, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
