"""What an HTTP answer of IonQ means: accepted, refused, or nobody knows. Pure.

After a POST only what proves that nothing was accepted counts as refused. By the meaning of the status a 4xx is that
proof, but for 408: a server that waited too long may have read the job. A 5xx is none, whoever wrote it and whatever
it says: gateways answer 502, 504 and 52x, and IonQ itself 500 and 503, also after the job was taken. So a 503 that
speaks of maintenance stays unknown too, and availability() tells the rest. A redirect is no proof either.
"""

import re
from collections.abc import Iterable

from qorch.errors import (
    BackendError,
    BusyError,
    CredentialsError,
    InvalidResultError,
    RejectedError,
    UnavailableError,
    UnknownOutcomeError,
)
from qorch_providers.http import HttpResponse, is_safe_id, mask, retry_after_seconds
from qorch_providers.ionq.access import KEY_NAME
from qorch_providers.ionq.documents import decode_accepted, decode_error

_REFUSED = frozenset({400, 402, 404, 405, 406, 409, 410, 411, 413, 414, 415, 422, 424, 431})
_ASLEEP = re.compile(
    r"(?:under|in|for|scheduled) maintenance|maintenance window"
    r"|(?:is|being|under) calibrat|calibration (?:window|in progress)"
    r"|\b(?:backend|target|device|qpu|system|simulator)\b.{0,60}(?:\bunavailable\b|\bnot available\b|\boffline\b)",
    re.IGNORECASE | re.DOTALL,
)


def read_submission(response: HttpResponse, *, secrets: Iterable[str]) -> str:
    """The id of the job that was accepted.

    Raises BusyError, UnavailableError, CredentialsError or RejectedError where the answer proves that it was not,
    UnknownOutcomeError in every other case.
    """
    if response.status in (200, 201):
        try:
            return decode_accepted(response.body)
        except InvalidResultError as error:
            told = mask(str(error), secrets)
        # Not chained: the error's own text is the server's, which may echo the key.
        raise UnknownOutcomeError(
            f"IonQ accepted a job, but its id cannot be read ({told}); it is looked for by its key"
        )
    raise _refusal(response, _tell(response, "the job", secrets))


def read_failure(response: HttpResponse, *, secrets: Iterable[str]) -> BackendError:
    """The error for a call that is safe to repeat and was not answered with what was asked for."""
    sentence = _tell(response, "a question", secrets)
    if response.status in (401, 403):
        return _credentials(sentence)
    return BusyError(sentence, retry_after_seconds=_wait(response))


def is_missing(response: HttpResponse) -> bool:
    """Whether IonQ itself, not something on the way to it, says that there is no such thing."""
    return response.status == 404 and decode_error(response.body) != ""


def is_not_offered(response: HttpResponse) -> bool:
    """Whether the server itself says that it has no such question, as those that speak a part of the protocol."""
    return response.status in (405, 501) or is_missing(response)


def _refusal(response: HttpResponse, sentence: str) -> BackendError:
    if response.status == 429:
        return BusyError(sentence, retry_after_seconds=_wait(response))
    if response.status in (401, 403):
        return _credentials(sentence)
    if response.status not in _REFUSED:
        return UnknownOutcomeError(f"{sentence}; whether it took the job is not known")
    if _ASLEEP.search(decode_error(response.body)):
        return UnavailableError(sentence, retry_after_seconds=_wait(response))
    return RejectedError(sentence)


def _credentials(sentence: str) -> CredentialsError:
    return CredentialsError(
        f"{sentence}; look at the key in {KEY_NAME}: is it whole, still valid, and allowed to do this?"
    )


def _wait(response: HttpResponse) -> float | None:
    return retry_after_seconds(response.headers, now=response.received_at)


def _tell(response: HttpResponse, what: str, secrets: Iterable[str]) -> str:
    words = decode_error(response.body) or "without a sentence that can be read"
    request_id = response.headers.get("x-request-id", "")
    reference = f" (x-request-id {request_id})" if is_safe_id(request_id) else ""
    return mask(f"IonQ answered {response.status} to {what}: {words}{reference}", secrets)
