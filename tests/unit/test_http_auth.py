"""Credentials per request: signatures over what is really sent, tokens fetched once, and nothing of them gets out."""

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

import pytest
from http_failures import every_text_of
from scripted_server import Answer, Request, ScriptedServer, hang, reply, reset

from qorch.errors import BusyError, CredentialsError, QorchError, UnknownOutcomeError, UnreachableError
from qorch.ports.clock import WallClock
from qorch_providers.http import (
    AuthHeaders,
    BearerToken,
    Content,
    HttpClient,
    HttpResponse,
    NoAnswerError,
    NotSentError,
    Origin,
    Outgoing,
    Token,
)
from qorch_providers.http.bearer import REST_SECONDS

KEY = "canary-key-5d0c9a31e7"
TOKEN = "canary-token-77ab01c2"  # noqa: S105
ARN = "arn:aws:braket:us-east-1::device/qpu/rigetti/Ankaa-3"


def sign(method: str, target: str, host: str, media_type: str, body_sha256: str) -> str:
    """The signature of this test's own scheme."""
    text = "\n".join([method, target, host, media_type, body_sha256])
    return hmac.new(KEY.encode(), text.encode(), "sha256").hexdigest()


class Signer:
    """An auth hook that signs what it is shown."""

    async def sign(self, request: Outgoing) -> AuthHeaders:
        """See Auth."""
        host = request.headers["host"]
        target = request.url.partition(host)[2]
        value = sign(request.method, target, host, request.headers.get("content-type", ""), request.body_sha256)
        return AuthHeaders(secret={"authorization": f"TEST-HMAC Signature={value}"}, plain={"x-date": "20261129"})

    async def renew(self, refused: AuthHeaders) -> bool:
        """See Auth."""
        return False


def check_signature(request: Request) -> Answer:
    """201 if the signature is that of the bytes that arrived, else 403."""
    value = sign(
        request.method,
        request.target,
        request.headers["host"],
        request.headers.get("content-type", ""),
        hashlib.sha256(request.body).hexdigest(),
    )
    is_right = request.headers["authorization"] == f"TEST-HMAC Signature={value}"
    return reply(201 if is_right and request.headers["x-date"] == "20261129" else 403)


@pytest.mark.parametrize(
    "content",
    [None, b'{"a": 1}', b"", Content.form([("a b", "ü&=")]), Content(bytes(range(256)) * 4000, "application/x-qpy")],
    ids=["none", "json", "empty", "form", "large"],
)
@pytest.mark.parametrize("path", ["/quantum-task", ["device", ARN], ["a b", "%2F", "~'()*:@!"]])
def test_a_signature_is_made_over_the_bytes_that_arrive(content: bytes | Content | None, path: str | list[str]) -> None:
    """Method, encoded path and query, host, media type and body are at the server what the hook saw."""

    async def main() -> int:
        async with ScriptedServer(check_signature) as server:
            client = HttpClient(Origin(f"{server.url}/v1", Signer()), clock=WallClock(), deadline_seconds=5.0)
            query = [("next", "a/b:c+d e~"), ("names", "QueueInfo")]
            response = await client.send("POST", path, content=content, query=query)
            await client.aclose()
            return response.status

    assert asyncio.run(main()) == 201


def test_a_followed_redirect_is_signed_anew() -> None:
    """The signature at the new place is that of the new place."""

    def answer(request: Request) -> Answer:
        return reply(307, b"", {"Location": "/b?x=%2F"}) if request.path == "/a" else check_signature(request)

    async def main() -> int:
        async with ScriptedServer(answer) as server:
            client = HttpClient(Origin(server.url, Signer()), clock=WallClock(), deadline_seconds=5.0)
            response = await client.send("POST", "/a", content=b"{}")
            await client.aclose()
            return response.status

    assert asyncio.run(main()) == 201


@dataclass
class TokenServer:
    """A token service and an API on one server; ``valid`` is the number of the token that the API takes."""

    valid: int = 1
    issued: int = 0
    refuses: bool = False
    most: int = 1000
    lifetime_seconds: float = 3600.0
    later: Callable[[Request], Answer] = field(default=lambda request: reply(200, {}))

    def answer(self, request: Request) -> Answer:
        """Of both."""
        if request.path == "/identity/token":
            if self.refuses:
                return reply(400, {"message": f"no such key: {KEY}"})
            self.issued = min(self.issued + 1, self.most)
            return reply(200, f"{TOKEN}-{self.issued}".encode())
        is_valid = request.headers.get("authorization") == f"Bearer {TOKEN}-{self.valid}"
        return self.later(request) if is_valid else reply(401, {"message": f"expired: {request.headers}"})

    def open_client(self, url: str, *, clock: "StillClock | None" = None, deadline_seconds: float = 5.0) -> HttpClient:
        """A client whose base takes tokens, which are fetched from another of its origins."""

        async def fetch() -> Token:
            form = Content.form([("grant_type", "apikey"), ("apikey", KEY)])
            response = await client.ask("POST", ["identity", "token"], content=form, origin="identity")
            if not response.is_success:
                raise CredentialsError(f"the token service refused ({response.status}): {response.body.decode()}")
            return Token(response.body.decode(), self.lifetime_seconds)

        clock = clock or StillClock()
        client = HttpClient(
            Origin(url, BearerToken(fetch, clock=clock)),
            origins={"identity": Origin(url)},
            secrets=[KEY],
            clock=clock,
            deadline_seconds=deadline_seconds,
        )
        return client


class StillClock(WallClock):
    """The wall clock, and what a test adds to it."""

    added_seconds = 0.0

    def monotonic_ns(self) -> int:
        """See Clock."""
        return super().monotonic_ns() + int(self.added_seconds * 1e9)


async def ask_all(client: HttpClient, n: int) -> list[HttpResponse | BaseException]:
    """The outcomes of this many questions at once."""
    return await asyncio.gather(*(client.ask("GET", "/jobs") for _ in range(n)), return_exceptions=True)


def statuses(outcomes: list[HttpResponse | BaseException]) -> set[int | str]:
    """The different ones."""
    return {item.status if isinstance(item, HttpResponse) else type(item).__name__ for item in outcomes}


def test_fifty_requests_fetch_one_token() -> None:
    """The first fifty, fifty whose token was revoked, and fifty whose token is about to expire: one fetch each time."""
    service = TokenServer()

    async def main() -> list[int]:
        counts = []
        async with ScriptedServer(service.answer) as server:
            clock = StillClock()
            client = service.open_client(server.url, clock=clock)
            for revoke in (False, True, False):
                service.valid += revoke
                assert statuses(await ask_all(client, 50)) == {200}
                counts.append(server.count("POST", "/identity/token"))
            clock.added_seconds += 3590
            service.valid += 1
            assert statuses(await ask_all(client, 50)) == {200}
            counts.append(server.count("POST", "/identity/token"))
            assert server.count("GET", "/jobs") == 250
            await client.aclose()
        return counts

    assert asyncio.run(main()) == [1, 2, 2, 3]


def test_a_refused_renewal_is_one_error() -> None:
    """Fifty requests with a revoked token, and the ones after them, cost one question to the token service."""
    service = TokenServer()

    async def main() -> None:
        async with ScriptedServer(service.answer) as server:
            clock = StillClock()
            client = service.open_client(server.url, clock=clock)
            assert statuses(await ask_all(client, 1)) == {200}
            service.valid, service.refuses = 2, True
            outcomes = [*await ask_all(client, 50), *await ask_all(client, 5)]
            assert statuses(outcomes) == {"CredentialsError"}
            assert {str(item) for item in outcomes} == {
                'the token service refused (400): {"message": "no such key: ***"}'
            }
            assert server.count("POST", "/identity/token") == 2
            # A key that was unlocked meanwhile is taken without a restart.
            service.refuses = False
            clock.added_seconds += REST_SECONDS + 1
            assert statuses(await ask_all(client, 5)) == {200}
            await client.aclose()

    asyncio.run(main())


def test_a_token_that_never_helps_is_not_fetched_again_and_again() -> None:
    """An account that may not ask gets its 401 as the answer; a replacement that is refused too stays for a while."""
    service = TokenServer(valid=99)

    async def main() -> int:
        async with ScriptedServer(service.answer) as server:
            client = service.open_client(server.url)
            for _ in range(5):
                assert statuses(await ask_all(client, 1)) == {401}
            await client.aclose()
            return server.count("POST", "/identity/token")

    assert asyncio.run(main()) == 2


def test_a_given_up_request_leaves_the_others_their_token() -> None:
    """The fetch goes on for those who still wait."""
    arrived, gate = asyncio.Event(), asyncio.Event()

    async def main() -> str:
        n_fetched = 0

        async def fetch() -> Token:
            nonlocal n_fetched
            n_fetched += 1
            arrived.set()
            await gate.wait()
            return Token("t", 60.0)

        token = BearerToken(fetch, clock=WallClock())
        request = Outgoing("GET", "https://h/", {}, b"")
        first, second = (asyncio.create_task(token.sign(request)) for _ in range(2))
        await arrived.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        gate.set()
        headers = await second
        assert n_fetched == 1
        return headers.secret["authorization"]

    assert asyncio.run(main()) == "Bearer t"


def test_a_submission_is_sent_again_only_after_a_refusal() -> None:
    """After a 401 with the same body and the new token; after a 503, a lost answer or a silence never."""
    service = TokenServer(valid=2)

    async def main() -> list[Request]:
        async with ScriptedServer(service.answer) as server:
            client = service.open_client(server.url)
            response = await client.send("POST", "/jobs", content=b'{"a": 1}')
            assert response.status == 200
            sent = [request for request in server.requests if request.path == "/jobs"]
            service.later = lambda request: reply(503)
            assert (await client.send("POST", "/jobs", content=b"{}")).status == 503
            service.later = lambda request: reset()
            with pytest.raises(NoAnswerError):
                await client.send("POST", "/jobs", content=b"{}")
            assert server.count("POST", "/jobs") == 4
            await client.aclose()
            return sent

    first, second = asyncio.run(main())
    assert first.body == second.body == b'{"a": 1}'
    assert [request.headers["authorization"][-1] for request in (first, second)] == ["1", "2"]


def test_what_is_lost_on_the_second_try_is_lost() -> None:
    """The first try was refused, the second may have arrived: a submission is then open, a question asked again."""
    service = TokenServer(valid=2, later=lambda request: reset())

    async def main() -> None:
        async with ScriptedServer(service.answer) as server:
            clock = StillClock()
            client = service.open_client(server.url, clock=clock)
            with pytest.raises(NoAnswerError):
                await client.send("POST", "/jobs", content=b"{}")
            service.valid = 3
            clock.added_seconds += REST_SECONDS + 1
            with pytest.raises(UnreachableError):
                await client.ask("GET", "/jobs")
            await client.aclose()

    asyncio.run(main())


class FailingAuth:
    """A hook that fails."""

    def __init__(self, error: Exception | None) -> None:
        """None: it never comes back."""
        self.error = error

    async def sign(self, request: Outgoing) -> AuthHeaders:
        """See Auth."""
        if self.error is None:
            await asyncio.Event().wait()
            raise AssertionError
        raise self.error

    async def renew(self, refused: AuthHeaders) -> bool:
        """See Auth."""
        return False


FAILURES: dict[str, tuple[Exception | None, type[QorchError], type[QorchError]]] = {
    "refused": (CredentialsError("no"), CredentialsError, CredentialsError),
    "busy": (BusyError("later", retry_after_seconds=3.0), BusyError, BusyError),
    "unreachable": (UnreachableError("gone"), UnreachableError, UnreachableError),
    "wrong door": (NoAnswerError(KEY), NotSentError, UnreachableError),
    "unknown outcome": (UnknownOutcomeError(KEY), NotSentError, UnreachableError),
    "defect": (RuntimeError(KEY), NotSentError, UnreachableError),
    "silence": (None, NotSentError, UnreachableError),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_request_without_credentials_was_not_sent(name: str) -> None:
    """Whatever a hook raises, nothing left, and both doors say so; the hook's own words stay inside if it is broken."""
    error, of_send, of_ask = FAILURES[name]

    async def main() -> list[Exception]:
        async with ScriptedServer(lambda request: reply(200)) as server:
            client = HttpClient(Origin(server.url, FailingAuth(error)), clock=WallClock(), deadline_seconds=0.2)
            outcomes = await asyncio.gather(
                client.send("POST", "/a", content=b"{}"), client.ask("GET", "/a"), return_exceptions=True
            )
            await client.aclose()
            assert server.n_connections == 0
            return outcomes  # type: ignore[return-value]

    sent, asked = asyncio.run(main())
    assert type(sent) is of_send
    assert type(asked) is of_ask
    assert KEY not in every_text_of(sent) + every_text_of(asked)
    if name == "busy":
        assert [item.retry_after_seconds for item in (sent, asked)] == [3.0, 3.0]  # type: ignore[attr-defined]


async def trouble_of(call: Coroutine[None, None, HttpResponse]) -> Exception:
    """What a call raises, or all that can be printed of its answer; no frame of the test's server is in it."""
    try:
        response = await call
    except Exception as error:
        return error
    return AssertionError(repr(response), response.body, dict(response.headers))


async def fail_with_secrets() -> list[Exception]:
    """Errors of all kinds from a client that holds a key and a token."""
    service = TokenServer()
    async with ScriptedServer(service.answer) as server:
        client = service.open_client(server.url, deadline_seconds=0.5)
        errors: list[Exception] = [AssertionError(repr(client))]
        for answer in (reset(), hang(), reply(200, {"echo": f"{TOKEN}-1"}, {"X-Echo": f"Bearer {TOKEN}-1"})):
            service.later = lambda request, answer=answer: answer  # type: ignore[misc]
            errors.append(await trouble_of(client.send("POST", "/jobs", content=b"{}")))
            errors.append(await trouble_of(client.ask("GET", "/jobs")))
        service.valid, service.refuses = 2, True
        errors += [await trouble_of(client.ask("GET", "/jobs")) for _ in range(2)]
        await client.aclose()
    return errors


def test_keys_and_tokens_appear_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """Not in a log at DEBUG of any library, an error, its causes, a traceback with variables, an answer or a repr."""
    caplog.set_level(logging.DEBUG)
    errors = asyncio.run(fail_with_secrets())
    assert [type(error).__name__ for error in errors] == [
        *("AssertionError", "NoAnswerError", "UnreachableError", "NoAnswerError", "UnreachableError"),
        *("AssertionError", "AssertionError", "CredentialsError", "CredentialsError"),
    ]
    texts = "\n".join([*map(every_text_of, errors), caplog.text])
    assert TOKEN not in texts
    assert KEY not in texts
