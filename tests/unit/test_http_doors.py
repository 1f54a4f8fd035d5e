"""The two doors of the HTTP client: a lost question is never a lost job, and a lost job never a lost question."""

import asyncio
from dataclasses import dataclass

import pytest
from http_failures import LOST, free_port
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_server import Answer, Request, ScriptedServer, hang, head, reply, send_and_close

from qorch.errors import BackendError, BusyError, RejectedError, UnknownOutcomeError, UnreachableError, UsageError
from qorch.ports.clock import WallClock
from qorch_providers.http import AuthHeaders, HttpClient, NoAnswerError, NotSentError, Origin, Outgoing

BEFORE = ("first", "redirected", "refused")
FAILURES = {**LOST, "silence": hang(), "too large": send_and_close(head(200, 10_000) + b"x" * 10_000)}


@dataclass
class Renewing:
    """A hook that has one more key whenever one is refused."""

    n: int = 0

    async def sign(self, request: Outgoing) -> AuthHeaders:
        """See Auth."""
        return AuthHeaders(secret={"authorization": f"key {self.n}"})

    async def renew(self, refused: AuthHeaders) -> bool:
        """See Auth."""
        self.n += 1
        return True


def script(before: str, failure: Answer) -> "_Script":
    """A server that fails at once, after a redirect within it, or after the first key was refused."""
    return _Script(before, failure)


@dataclass
class _Script:
    before: str
    failure: Answer

    def __call__(self, request: Request) -> Answer:
        if self.before == "redirected" and request.path == "/a":
            return reply(307, b"", {"Location": "/b"})
        if self.before == "refused" and request.headers["authorization"] == "key 0":
            return reply(401)
        return self.failure


def outcome_of(door: str, method: str, server_script: _Script | None) -> BackendError | UsageError:
    """What the door raises; without a script no server listens."""

    async def call(url: str) -> BackendError | UsageError:
        client = HttpClient(Origin(url, Renewing()), clock=WallClock(), deadline_seconds=0.25, most_bytes=1000)
        content = None if method in ("GET", "HEAD", "OPTIONS") else b"{}"
        with pytest.raises((BackendError, UsageError)) as caught:
            await (client.send if door == "send" else client.ask)(method, "/a", content=content)
        await client.aclose()
        return caught.value

    async def main() -> BackendError | UsageError:
        if server_script is None:
            return await call(f"http://127.0.0.1:{free_port()}")
        async with ScriptedServer(server_script) as server:
            error = await call(server.url)
            assert isinstance(error, UsageError) == (not server.requests)
            return error

    return asyncio.run(main())


@settings(deadline=None, max_examples=60)
@given(
    method=st.sampled_from(["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]),
    door=st.sampled_from(["ask", "send"]),
    failure=st.sampled_from([*FAILURES, "nobody"]),
    before=st.sampled_from(BEFORE),
)
def test_a_lost_question_is_never_a_lost_job(method: str, door: str, failure: str, before: str) -> None:
    """Over all doors, methods, failures and moments: only a submission that may have arrived has an unknown outcome."""
    if method == "HEAD" and failure not in ("reset", "closed", "half a head", "no http", "long header", "silence"):
        return  # its answer has no body that could break
    server_script = None if failure == "nobody" else script(before, FAILURES[failure])
    error = outcome_of(door, method, server_script)
    if door == "ask":
        assert type(error) is (BusyError if failure == "too large" else UnreachableError)
    elif method in ("GET", "HEAD", "OPTIONS"):
        assert type(error) is UsageError
    else:
        assert type(error) is (NotSentError if failure == "nobody" else NoAnswerError)
    assert isinstance(error, UnknownOutcomeError) == (type(error) is NoAnswerError)


def test_what_was_not_sent_is_rejected_and_busy() -> None:
    """The engine sends such a job again without looking for it."""
    error = outcome_of("send", "POST", None)
    assert isinstance(error, RejectedError)
    assert isinstance(error, BusyError)
    assert "nothing was sent" in str(error)


def test_both_doors_tell_what_happened() -> None:
    """The sentence is that of the transport, with method and path."""
    for door, method in (("ask", "GET"), ("send", "POST")):
        error = outcome_of(door, method, script("first", hang()))
        assert str(error) == f"{method} /a: no whole answer in 0.25 seconds"


@pytest.mark.parametrize("door", ["ask", "send"])
def test_an_answer_is_an_answer_at_both_doors(door: str) -> None:
    """Whatever its status."""

    async def main() -> int:
        async with ScriptedServer(lambda request: reply(500)) as server:
            client = HttpClient(server.url, clock=WallClock(), deadline_seconds=5.0)
            response = await (client.send if door == "send" else client.ask)("POST", "/a", content=b"{}")
            await client.aclose()
            return response.status

    assert asyncio.run(main()) == 500
