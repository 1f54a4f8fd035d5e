"""What each answer of Amazon Braket means for a task: accepted, refused, or unknown."""

import datetime
import json

import pytest

from qorch.errors import (
    BackendError,
    BusyError,
    CredentialsError,
    RejectedError,
    UnavailableError,
    UnknownOutcomeError,
)
from qorch.model.exchange_times import ExchangeTimes
from qorch_providers.braket.wire.refusals import error_type, is_missing, read_failure, read_refusal
from qorch_providers.http import HttpResponse

NOW = datetime.datetime(2026, 11, 30, tzinfo=datetime.UTC)
PAGE = b"<html><head><title>403 Forbidden</title></head><body>nginx</body></html>"


def answer(status: int, kind: str = "", message: str = "told", **fields: object) -> HttpResponse:
    """An answer as Braket gives it; ``kind`` empty: without a type."""
    headers = {"x-amzn-requestid": "r-1"} | ({"x-amzn-errortype": kind} if kind else {})
    headers |= {str(name): str(value) for name, value in fields.pop("headers", {}).items()}  # type: ignore[attr-defined]
    body = fields.pop("body", None)
    content = body if isinstance(body, bytes) else json.dumps({"message": message, **fields}).encode()
    return HttpResponse(status, headers, content, NOW, ExchangeTimes(0, None, None, 1, 2))


@pytest.mark.parametrize(
    ("status", "kind", "kind_of_error", "words"),
    [
        (400, "ValidationException", RejectedError, "400 to the task: ValidationException: told"),
        (402, "ServiceQuotaExceededException", BusyError, "another task is sent when one of them is over"),
        (403, "AccessDeniedException", CredentialsError, "allow it in IAM"),
        (403, "UnrecognizedClientException", CredentialsError, "look at AWS_ACCESS_KEY_ID"),
        (403, "ExpiredTokenException", CredentialsError, "aws sso login"),
        (400, "ExpiredTokenException", CredentialsError, "aws sso login"),
        (403, "InvalidSignatureException", CredentialsError, "clock is right"),
        (403, "RequestTimeTooSkewed", CredentialsError, "clock is wrong"),
        (403, "", CredentialsError, "allow it in IAM"),
        (404, "ResourceNotFoundException", RejectedError, "ResourceNotFoundException"),
        (409, "ConflictException", RejectedError, "ConflictException"),
        (410, "DeviceRetiredException", RejectedError, "choose another device"),
        (424, "DeviceOfflineException", UnavailableError, "DeviceOfflineException"),
        (429, "ThrottlingException", BusyError, "ThrottlingException"),
        (400, "ThrottlingException", BusyError, "ThrottlingException"),
        (429, "", BusyError, "429"),
        (402, "", BusyError, "another task is sent when one of them is over"),
        (410, "", RejectedError, "choose another device"),
        (424, "", UnavailableError, "424"),
        (408, "", UnknownOutcomeError, "is not known"),
        (499, "", UnknownOutcomeError, "is not known"),
        (500, "InternalServiceException", UnknownOutcomeError, "is not known"),
        (503, "ServiceUnavailableException", UnknownOutcomeError, "is not known"),
        (502, "", UnknownOutcomeError, "is not known"),
        (302, "", UnknownOutcomeError, "is not known"),
        (200, "", UnknownOutcomeError, "is not known"),
    ],
)
def test_every_answer_to_a_submission_has_its_error(
    status: int, kind: str, kind_of_error: type[BackendError], words: str
) -> None:
    """By type and status, with a sentence that says what to do where something can be done."""
    error = read_refusal(answer(status, kind))
    assert type(error) is kind_of_error
    assert words in str(error)
    if isinstance(error, BusyError):
        assert error.retry_after_seconds is None


def test_the_time_to_wait_is_the_servers() -> None:
    """As Retry-After has it."""
    throttled = read_refusal(answer(429, "ThrottlingException", headers={"retry-after": "7"}))
    assert isinstance(throttled, BusyError)
    assert throttled.retry_after_seconds == 7.0


@pytest.mark.parametrize("where", ["header", "header_with_place", "type", "code"])
def test_the_type_is_found_where_aws_puts_it(where: str) -> None:
    """In the header, with or without more behind it, or in the body with a namespace before it."""
    found = {
        "header": answer(429, "ThrottlingException"),
        "header_with_place": answer(429, "ThrottlingException:http://internal.amazon.com/coral/com.amazon.coral/"),
        "type": answer(429, __type="com.amazon.braket#ThrottlingException"),
        "code": answer(429, code="ThrottlingException"),
    }[where]
    assert error_type(found) == "ThrottlingException"


def test_a_page_of_something_before_braket_speaks_for_its_status_alone() -> None:
    """A 4xx is a refusal by what it means; that something does not exist is believed of Braket itself only."""
    assert type(read_refusal(answer(413, body=PAGE))) is RejectedError
    assert type(read_refusal(answer(403, body=PAGE))) is CredentialsError
    assert type(read_refusal(answer(504, body=PAGE))) is UnknownOutcomeError
    assert not is_missing(answer(404, body=PAGE))
    assert is_missing(answer(404, "ResourceNotFoundException"))


def test_a_program_set_that_is_not_valid_names_rows() -> None:
    """The sentence says which rows of which blocks of the job are at fault, and why."""
    failures = [
        {"programIndex": 0, "inputsIndex": 2, "errors": ["theta is not finite", "and more"]},
        {"programIndex": 1, "errors": ["a gate is unknown"]},
        {"programIndex": 9, "inputsIndex": 0, "errors": ["lost"]},
        {"programIndex": 3, "errors": ["x"]},
    ]
    fields = {"reason": "ProgramSetValidationFailed", "programSetValidationFailures": failures}

    def locate(program: int, inputs: int) -> tuple[int, int]:
        if program == 9:
            raise IndexError(program)
        return 10 + program, inputs

    told = str(read_refusal(answer(400, "ValidationException", "not valid", **fields), locate=locate))
    assert (
        "(block 10, row 2: theta is not finite; and more. block 11: a gate is unknown. program 9: lost, and 1 more)"
        in told
    )


@pytest.mark.parametrize("body", [b"", b"[1]", b"\xff", b'{"message": {"a": 1}}', b"[" * 10_000])
def test_unreadable_answers_have_a_sentence_too(body: bytes) -> None:
    """Nothing that a server may send breaks the reading of it."""
    told = str(read_refusal(answer(400, body=body)))
    assert "without a sentence that can be read" in told


@pytest.mark.parametrize(
    ("status", "kind", "kind_of_error"),
    [
        (400, "ValidationException", BusyError),
        (403, "AccessDeniedException", CredentialsError),
        (404, "", BusyError),
        (429, "ThrottlingException", BusyError),
        (500, "InternalServiceException", BusyError),
        (503, "", BusyError),
    ],
)
def test_a_question_that_fails_is_asked_again(status: int, kind: str, kind_of_error: type[BackendError]) -> None:
    """But for refused credentials no job is lost over it."""
    assert isinstance(read_failure(answer(status, kind)), kind_of_error)
