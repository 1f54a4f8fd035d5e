"""What each answer of IBM Quantum means for a job: accepted, refused, or unknown."""

import datetime
import json

import pytest

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
from qorch.model.exchange_times import ExchangeTimes
from qorch_providers.http import HttpResponse
from qorch_providers.ibm.wire.refusals import error_code, is_missing, read_failure, read_iam_failure, read_refusal

NOW = datetime.datetime(2026, 11, 30, tzinfo=datetime.UTC)
PAGE = b"<html><head><title>403 Forbidden</title></head><body>nginx</body></html>"


def answer(
    status: int, code: object = None, message: str = "told", *, body: bytes | None = None, **headers: str
) -> HttpResponse:
    """An answer as IBM gives it."""
    content = body
    if content is None:
        content = json.dumps({"errors": [{"code": code, "message": message}], "trace": "t-1"}).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpResponse(status, names, content, NOW, ExchangeTimes(0, None, None, 1, 2))


@pytest.mark.parametrize(
    ("status", "code", "message", "kind", "words"),
    [
        (400, 1208, "the body is not valid", RejectedError, "400 to the job: the body is not valid (code 1208)"),
        (401, 1200, "told", CredentialsError, "look at the API key (QISKIT_IBM_TOKEN"),
        (402, None, "told", RejectedError, "the billing of the instance"),
        (403, 1201, "told", CredentialsError, "look at QISKIT_IBM_INSTANCE"),
        (404, 1007, "Backend not found", RejectedError, "choose another device"),
        (409, 1212, "Usage exceeds instance limit", SpendingLimitError, "wait for the next period, raise the limit"),
        (409, 1217, "told", SessionEndedError, "409 to the job: told (code 1217)"),
        (404, 1284, "Session not found", SessionEndedError, "code 1284"),
        (400, None, "The session d0 is not accepting jobs", SessionEndedError, "not accepting jobs"),
        (400, 1352, "told", RejectedError, "choose mode=batch, or leave mode= out"),
        (413, None, "told", RejectedError, "rows=N"),
        (429, None, "Too many requests", BusyError, "429"),
        (400, 1202, "told", BusyError, "code 1202"),
        (400, 3458, "too many pending jobs", BusyError, "code 3458"),
        (400, 1004, "told", UnavailableError, "code 1004"),
        (400, None, "The backend ibm_fez is not available", UnavailableError, "not available"),
        (400, None, "Backend ibm_fez is unavailable for the next hour", UnavailableError, "next hour"),
        (400, None, "Backend ibm_fez is not available on your plan", RejectedError, "on your plan"),
        (400, None, "The device is unavailable in this region", RejectedError, "in this region"),
        (408, None, "told", UnknownOutcomeError, "is not known"),
        (499, None, "told", UnknownOutcomeError, "is not known"),
        (500, 9999, "told", UnknownOutcomeError, "is not known"),
        (503, None, "under maintenance", UnknownOutcomeError, "is not known"),
        (504, None, "told", UnknownOutcomeError, "is not known"),
        (524, None, "told", UnknownOutcomeError, "is not known"),
        (302, None, "told", UnknownOutcomeError, "is not known"),
    ],
)
def test_every_answer_to_a_submission_has_its_error(
    status: int, code: int | None, message: str, kind: type[BackendError], words: str
) -> None:
    """By status and code, with a sentence that says what to do where something can be done."""
    error = read_refusal(answer(status, code, message))
    assert type(error) is kind
    assert words in str(error)
    assert "(trace t-1)" in str(error)


def test_the_usage_limit_is_the_only_conflict_that_has_its_advice() -> None:
    """A closed session has nothing to do with money."""
    assert "raise the limit" not in str(read_refusal(answer(409, 1217, "The session is closed")))


def test_the_time_to_wait_is_the_servers() -> None:
    """As Retry-After has it."""
    limited = read_refusal(answer(429, retry_after="7"))
    assert isinstance(limited, BusyError)
    assert limited.retry_after_seconds == 7.0


def test_a_redirect_elsewhere_is_a_refusal() -> None:
    """It says where to, and which variable decides; one that servers also send after an acceptance is none."""
    error = read_refusal(answer(308, body=b"", location="https://eu-de.quantum.cloud.ibm.com/api/v1/jobs"))
    assert type(error) is RejectedError
    assert "redirects to https://eu-de.quantum.cloud.ibm.com/api/v1/jobs; look at QISKIT_IBM_URL" in str(error)
    assert type(read_refusal(answer(303, body=b"", location="https://x.example/y"))) is UnknownOutcomeError


@pytest.mark.parametrize("code", [1291, "1291"])
@pytest.mark.parametrize("form", ["errors", "error"])
def test_both_forms_of_errors_are_read(form: str, code: object) -> None:
    """A list of them, as the specification has it, or a single one, as IBM's client reads it."""
    error = {"code": code, "message": "Job not found", "more_info": "x"}
    found = answer(404, body=json.dumps({form: [error] if form == "errors" else error}).encode())
    assert error_code(found) == 1291
    assert is_missing(found)
    assert "Job not found (code 1291)" in str(read_failure(found))


def test_a_firewalls_page_says_nothing_of_the_key() -> None:
    """It refuses some jobs by their content: that is no reason to look for another key, or to send nothing more."""
    for error in (read_refusal(answer(403, body=PAGE)), read_failure(answer(403, body=PAGE))):
        assert "a firewall in front of IBM Quantum" in str(error)
        assert "QISKIT_IBM" not in str(error)
    assert type(read_refusal(answer(403, body=PAGE))) is RejectedError
    assert type(read_failure(answer(403, body=PAGE))) is BusyError
    assert type(read_refusal(answer(401, body=PAGE))) is CredentialsError
    assert "firewall" not in str(read_refusal(answer(400, body=PAGE)))
    for body in (b"", b'{"message": "Forbidden"}'):
        assert type(read_refusal(answer(403, body=body))) is CredentialsError
        assert type(read_failure(answer(403, body=body))) is CredentialsError


@pytest.mark.parametrize(("status", "code"), [(404, "not_found"), (404, None), (410, "gone"), (410, 1291)])
def test_what_is_gone_may_have_a_word_in_place_of_a_number(status: int, code: object) -> None:
    """Else a job or device that is not there would be asked for again and again."""
    assert is_missing(answer(status, code, "it is no longer in the system"))


@pytest.mark.parametrize(
    "body", [PAGE, b"", b'{"message": "no Route matched"}', b'{"errors": []}', b'{"errors": [{}]}']
)
def test_that_something_is_gone_is_believed_of_ibm_alone(body: bytes) -> None:
    """A gateway answers 404 and 410 for reasons of its own."""
    assert not is_missing(answer(404, body=body))
    assert not is_missing(answer(410, body=body))


def test_a_page_of_something_before_ibm_speaks_for_its_status_alone() -> None:
    """A 4xx is a refusal by what it means; that something does not exist is believed of IBM itself only."""
    assert type(read_refusal(answer(404, body=PAGE))) is RejectedError
    assert type(read_refusal(answer(504, body=PAGE))) is UnknownOutcomeError
    assert not is_missing(answer(404, body=PAGE))


@pytest.mark.parametrize(
    "body", [b"", b"[1]", b"\xff", b'{"errors": {"a": 1}}', b'{"errors": [1]}', b'{"error": "x"}', b"[" * 10_000]
)
def test_unreadable_answers_have_a_sentence_too(body: bytes) -> None:
    """Nothing that a server may send breaks the reading of it."""
    assert "without a sentence that can be read" in str(read_refusal(answer(400, body=body)))
    assert "without a sentence that can be read" in str(read_iam_failure(answer(400, body=body)))


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, BusyError), (401, CredentialsError), (403, CredentialsError), (404, BusyError), (429, BusyError),
     (500, BusyError), (503, BusyError)],
)  # fmt: skip
def test_a_question_that_fails_is_asked_again(status: int, kind: type[BackendError]) -> None:
    """But for refused credentials no job is lost over it."""
    assert type(read_failure(answer(status))) is kind


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "BXNIM0415E", CredentialsError),
        (401, "BXNIM0308E", CredentialsError),
        (403, "", CredentialsError),
        (400, "", BusyError),
        (404, "", BusyError),
        (429, "BXNIM0517E", BusyError),
        (500, "BXNIM0110E", BusyError),
        (503, "", BusyError),
    ],
)
def test_only_a_refused_token_is_an_error_of_the_key(status: int, code: str, kind: type[BackendError]) -> None:
    """IAM says 400 and a code of its own for a key that it does not know; what may pass is waited for."""
    body = json.dumps({"errorCode": code, "errorMessage": "Provided API key could not be found."}).encode()
    error = read_iam_failure(answer(status, body=body))
    assert type(error) is kind
    assert ": Provided API key could not be found" in str(error)
    assert "found." not in str(error)
    assert ("QISKIT_IBM_TOKEN" in str(error)) is (kind is CredentialsError)
