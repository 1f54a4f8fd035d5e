"""What an HTTP answer of IonQ means for a job: accepted, refused, or unknown. Pure.

After a POST only an answer that proves that nothing was accepted counts as refused. By the meaning of the status a 4xx
is that proof, except 408: a server that waited too long may have read the job. A 5xx is not, with any text: gateways
answer 502, 504 and 52x, and IonQ itself 500 and 503, also after the job was accepted. So a 503 that mentions
maintenance stays unknown too, and availability() tells the rest. A redirect is a proof if it says that the request
belongs elsewhere (301, 307, 308), but not one that servers also send after they accepted a request (302, 303).
"""

import re
from collections.abc import Iterable

from qorch.errors import (
    BackendError,
    BusyError,
    CredentialsError,
    InvalidResultError,
    RejectedError,
    SessionEndedError,
    SpendingLimitError,
    UnavailableError,
    UnknownOutcomeError,
)
from qorch_providers.http import HttpResponse, clean, is_safe_id, mask, redirect_target, retry_after_seconds
from qorch_providers.ionq.access import KEY_NAME, URL_NAME
from qorch_providers.ionq.wire.documents import decode_accepted, decode_error
from qorch_providers.ionq.wire.session_documents import decode_session

REFUSED_QUERY = frozenset({400, 422})
"""Statuses by which a server refuses the parameters of a GET."""
NOT_OFFERED = frozenset({405, 501})
"""Statuses by which a server says that it has no such endpoint at all."""
_REFUSED = frozenset({400, 402, 404, 405, 406, 409, 410, 411, 413, 414, 415, 422, 424, 431})
_PERHAPS_NOT_OFFERED = frozenset({404, *REFUSED_QUERY})
_ASLEEP = re.compile(
    r"(?:under|in|for|scheduled) maintenance|maintenance window"
    r"|(?:is|being|under) calibrat|calibration (?:window|in progress)"
    r"|\b(?:backend|target|device|qpu|system|simulator)\b.{0,60}(?:\bunavailable\b|\bnot available\b|\boffline\b)",
    re.IGNORECASE | re.DOTALL,
)
_GATEWAY = re.compile(
    r"cloudflare|cloudfront|nginx|openresty|varnish|haproxy|envoy|traefik|akamai|fastly|awselb|gateway|proxy|balancer",
    re.IGNORECASE,
)
_GATEWAY_HEADERS = frozenset({"cf-ray", "via", "x-cache", "x-served-by", "x-amz-cf-id", "x-azure-ref"})
_WANTS_TLS = re.compile(rb"plain HTTP|HTTP request to an HTTPS server|SSL-enabled server port", re.IGNORECASE)
_PAGE_BYTES = 20_000
_SESSION = re.compile(r"\bsession\b", re.IGNORECASE)
_AT_LIMIT = re.compile(r"\blimit|\bexceed|\bexhaust|\bbudget|\bquota", re.IGNORECASE)
_SESSION_OVER = re.compile(
    r"\bsession\b.{0,80}(?:\bnot open\b|\bnot active\b|\binactive\b|\bended\b|\bclosed\b|\bexpired\b|\bno longer\b"
    r"|\bnot found\b)",
    re.IGNORECASE | re.DOTALL,
)
_LIMIT_ADVICE = (
    "a limit of the session is reached. What it accepted is kept: resume the run, which opens a session with the same"
    " limits, or start one with higher limits (max_cost=, max_jobs=, max_ttl=)"
)
_NO_SESSIONS = (
    "IonQ enables sessions for an organisation on request (support@ionq.co); without them leave mode=session,"
    " max_cost=, max_jobs= and max_ttl= out"
)


def read_opening(response: HttpResponse, *, secrets: Iterable[str]) -> str:
    """The id of the session that was opened. Raises what ``read_submission`` raises, of a session."""
    if response.status in (200, 201):
        try:
            return decode_session(response.body).session_id
        except InvalidResultError as error:
            told = mask(str(error), secrets)
        raise UnknownOutcomeError(f"IonQ opened a session, but its id cannot be read ({told}); it is looked for")
    sentence = _tell(response, "the opening of a session", secrets)
    if response.status in (403, 404, 405):
        raise RejectedError(f"{sentence}: {_NO_SESSIONS}")
    raise _refusal(response, sentence, what="the session")


def read_submission(response: HttpResponse, *, secrets: Iterable[str], is_in_session: bool = False) -> str:
    """The id of the job that was accepted.

    Raises BusyError, UnavailableError, CredentialsError or another RejectedError if the answer proves that it was not,
    UnknownOutcomeError in every other case. Of a job in a session also SessionEndedError, and SpendingLimitError if a
    limit of the session is reached.
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
    sentence = _tell(response, "the job", secrets)
    raise (_refusal_of_session(response, sentence) if is_in_session else None) or _refusal(response, sentence)


def read_failure(response: HttpResponse, *, secrets: Iterable[str]) -> BackendError:
    """The error for a call that is safe to repeat and was answered with a failure."""
    sentence = _tell(response, "a question", secrets)
    if response.status in (401, 403):
        return _credentials(sentence)
    return BusyError(sentence, retry_after_seconds=_wait(response))


def is_missing(response: HttpResponse) -> bool:
    """Whether IonQ itself, not a gateway before it, says that the requested object does not exist."""
    return response.status == 404 and decode_error(response.body) != ""


def is_not_offered(response: HttpResponse) -> bool:
    """Whether the server itself says that it has no such endpoint, as servers with a part of the protocol do.

    It says so in an error message, or in a page of its framework; a page of a gateway does not speak for the server.
    """
    if response.status in NOT_OFFERED:
        return True
    return response.status in _PERHAPS_NOT_OFFERED and (decode_error(response.body) != "" or not _is_gateway(response))


def is_tls_wanted(response: HttpResponse) -> bool:
    """Whether the server answers that it expects https on this port."""
    return response.status == 400 and _WANTS_TLS.search(response.body[:_PAGE_BYTES]) is not None


def _is_gateway(response: HttpResponse) -> bool:
    page = response.body[:_PAGE_BYTES].decode("latin-1")
    named = _GATEWAY.search(response.headers.get("server", "")) or _GATEWAY.search(page)
    return named is not None or not _GATEWAY_HEADERS.isdisjoint(response.headers)


def _refusal_of_session(response: HttpResponse, sentence: str) -> RejectedError | None:
    """The error if a job was refused because of its session; None if that is not why."""
    words = decode_error(response.body)
    if response.status not in _REFUSED and response.status != 403:
        return None
    if _SESSION.search(words) and _AT_LIMIT.search(words):
        return SpendingLimitError(f"{sentence}; {_LIMIT_ADVICE}")
    return SessionEndedError(sentence) if _SESSION_OVER.search(words) else None


def _refusal(response: HttpResponse, sentence: str, *, what: str = "the job") -> BackendError:
    if response.status == 429:
        return BusyError(sentence, retry_after_seconds=_wait(response))
    if response.status in (401, 403):
        return _credentials(sentence)
    if response.status not in _REFUSED and not redirect_target(response):
        return UnknownOutcomeError(f"{sentence}; whether it took {what} is not known")
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
    words = decode_error(response.body) or _tell_redirect(response) or "without a sentence that can be read"
    request_id = response.headers.get("x-request-id", "")
    reference = f" (x-request-id {request_id})" if is_safe_id(request_id) else ""
    # Only the server's text may hold a secret; ours is not masked, as masking could damage it.
    return f"IonQ answered {response.status} to {what}: {mask(words + reference, secrets)}"


def _tell_redirect(response: HttpResponse) -> str:
    target = clean(redirect_target(response))
    if not target:
        return ""
    base = target.partition("/jobs")[0] or "that server"
    return f"the server redirects to {target}; if that is IonQ's API, set {URL_NAME} to {base}"
