"""AWS credentials and signatures: found as AWS's own tools find them, refreshed once, and never shown."""

import asyncio
import datetime
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import botocore.auth
import numpy as np
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.exceptions import CredentialRetrievalError, EndpointConnectionError
from http_failures import every_text_of
from scripted_server import ScriptedServer, reply

from qorch.errors import CredentialsError, UnreachableError, UsageError
from qorch.ports.clock import WallClock
from qorch_providers.braket.aws.credentials import REST_SECONDS, AwsCredentials
from qorch_providers.braket.aws.session import find_region, open_session
from qorch_providers.braket.aws.signing import AwsSignature
from qorch_providers.http import HttpClient, Origin, Outgoing
from qorch_providers.http.paths import encode_url

NOW = datetime.datetime(2026, 11, 30, 1, 2, 3, tzinfo=datetime.UTC)
SECRET, TOKEN = "canary-secret-5d0c9a31e7", "canary-session-token-77ab01c2"
ARN = "arn%3Aaws%3Abraket%3Aus-east-1%3A123456789012%3Aquantum-task%2Fabc"
REQUESTS = {
    "braket": Outgoing(
        "POST",
        f"https://braket.us-east-1.amazonaws.com/quantum-task/{ARN}?b=2&additionalAttributeNames=QueueInfo",
        {"host": "braket.us-east-1.amazonaws.com", "content-type": "application/json", "user-agent": "qorch"},
        b'{"a":1}',
    ),
    "s3": Outgoing("GET", "https://b.s3.amazonaws.com/tasks/x%20y/results.json", {"host": "b.s3.amazonaws.com"}, b""),
}


class SetClock(WallClock):
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime.datetime:
        """See Clock."""
        return NOW + datetime.timedelta(seconds=self.seconds)

    def monotonic_ns(self) -> int:
        """See Clock."""
        return round(self.seconds * 1e9)


def chain(environment: Mapping[str, str]) -> Callable[[], Any]:
    """How the backend asks botocore's chain."""
    return lambda: open_session(environment).get_component("credential_provider").load_credentials()


@pytest.fixture
def clock() -> SetClock:
    """A clock that stands still."""
    return SetClock()


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment whose files are in a folder of the test, without an instance service."""
    return {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize("service", REQUESTS)
def test_signatures_are_those_of_botocore(
    service: str, token: str | None, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The header is what botocore's own signer adds to the same request."""
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_: NOW)
    keys, request = Credentials("AKIAEXAMPLE", SECRET, token), REQUESTS[service]
    headers = {name: value for name, value in request.headers.items() if name != "user-agent"}
    theirs = AWSRequest(request.method, request.url, headers=headers, data=request.body)
    scheme = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
    scheme(keys, service, "us-east-1").add_auth(theirs)
    signature = AwsSignature(AwsCredentials(lambda: keys, clock=clock), service, region="us-east-1", clock=clock)
    ours = asyncio.run(signature.sign(request))
    ours.check()
    assert ours.secret["authorization"] == theirs.headers["Authorization"]
    assert ours.plain["x-amz-date"] == theirs.headers["X-Amz-Date"]
    assert ours.secret.get("x-amz-security-token") == token


def requests_of(random: np.random.Generator, service: str, *, count: int) -> Iterator[Outgoing]:
    """Requests of the paths, names and bodies that there can be."""
    letters = list("aZ09 -._~:/+%=&?#@!$'()*,;é漢\"")

    def text() -> str:
        return "x" + "".join(random.choice(letters, size=random.integers(0, 12)))

    for _ in range(count):
        host = f"{service}.eu-north-1.amazonaws.com"
        path = [text().replace("/", "|") for _ in range(random.integers(1, 4))]
        query = [(text(), text()) for _ in range(random.integers(0, 4))]
        headers = {"host": host, "user-agent": "qorch"} | ({} if random.random() < 0.5 else {"content-type": "a/b"})
        body = random.bytes(random.integers(0, 40))
        method = str(random.choice(["GET", "PUT", "POST"]))
        yield Outgoing(method, encode_url(f"https://{host}", path, query), headers, body)


@pytest.mark.parametrize("service", REQUESTS)
def test_any_request_is_signed_as_by_botocore(service: str, clock: SetClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """One signer, over days and with keys that change: no header is that of an earlier day or key."""
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_: clock.now())
    keys = [Credentials("AKIAONE", SECRET), Credentials("ASIATWO", f"{SECRET}/2", TOKEN)]
    found = AwsCredentials(lambda: keys[0], clock=clock)
    signature = AwsSignature(found, service, region="eu-north-1", clock=clock)
    scheme = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth

    async def main() -> None:
        for number, request in enumerate(requests_of(np.random.default_rng(7), service, count=60)):
            clock.seconds = 20_000.0 * number
            if number % 7 == 0:
                keys.reverse()
                await found.replace(await found.current())
            own = {name: value for name, value in request.headers.items() if name != "user-agent"}
            theirs = AWSRequest(request.method, request.url, headers=own, data=request.body)
            scheme(keys[0], service, "eu-north-1").add_auth(theirs)
            assert (await signature.sign(request)).secret["authorization"] == theirs.headers["Authorization"]

    asyncio.run(main())


def test_nothing_of_the_credentials_is_shown(clock: SetClock, caplog: pytest.LogCaptureFixture) -> None:
    """Not in a log at its most talkative, in a repr, in an answer that echoes them, or in an error."""
    caplog.set_level(logging.DEBUG)
    credentials = AwsCredentials(lambda: Credentials("AKIAEXAMPLE", SECRET, TOKEN), clock=clock)
    signature = AwsSignature(credentials, "braket", region="us-east-1", clock=clock)

    async def main() -> str:
        pair = await credentials.current()
        texts = [repr(pair), repr(await signature.sign(REQUESTS["braket"])), repr(credentials), repr(signature)]
        async with ScriptedServer(lambda request: reply(403, {"message": dict(request.headers)})) as server:
            client = HttpClient(Origin(server.url, auth=signature), clock=WallClock(), deadline_seconds=10.0)
            answer = await client.ask("GET", "/quantum-task")
            texts += [answer.body.decode(), str(answer)]
            assert server.requests[0].headers["x-amz-security-token"] == TOKEN
            signed = server.requests[0].headers["authorization"]
            await client.aclose()
        assert signed.rpartition("Signature=")[2] not in "\n".join(texts)
        return "\n".join(texts)

    shown = asyncio.run(main()) + caplog.text
    assert SECRET not in shown
    assert TOKEN not in shown


def test_the_mapping_decides(home: dict[str, str], clock: SetClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys, profile and region come from the environment that is passed in, and not from this process's."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOTHER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "other")
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    given = {**home, "AWS_ACCESS_KEY_ID": "AKIAGIVEN", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "eu-north-1"}
    pair = asyncio.run(AwsCredentials(chain(given), clock=clock).current())
    assert (pair.access_key, pair.method) == ("AKIAGIVEN", "env")
    assert find_region(open_session(given), given) == "eu-north-1"
    with pytest.raises(CredentialsError, match="there are no AWS credentials: set AWS_ACCESS_KEY_ID"):
        asyncio.run(AwsCredentials(chain(home), clock=clock).current())
    assert find_region(open_session(home), home) == ""


def test_a_profile_gives_keys_and_region(home: dict[str, str], clock: SetClock) -> None:
    """As AWS_PROFILE names it; one that there is not is named in the error."""
    Path(home["AWS_CONFIG_FILE"]).write_text("[profile lab]\nregion = eu-west-2\n")
    Path(home["AWS_SHARED_CREDENTIALS_FILE"]).write_text(
        f"[lab]\naws_access_key_id = AKIALAB\naws_secret_access_key = {SECRET}\n"
    )
    given = {**home, "AWS_PROFILE": "lab"}
    pair = asyncio.run(AwsCredentials(chain(given), clock=clock).current())
    assert (pair.access_key, pair.method) == ("AKIALAB", "shared-credentials-file")
    assert find_region(open_session(given), given) == "eu-west-2"
    with pytest.raises(UsageError, match="there is no AWS profile 'lost'; look at AWS_PROFILE"):
        open_session({**home, "AWS_PROFILE": "lost"})


def test_half_a_key_is_named(home: dict[str, str], clock: SetClock) -> None:
    """A key without its secret says which variable is missing."""
    credentials = AwsCredentials(chain({**home, "AWS_ACCESS_KEY_ID": "AKIA"}), clock=clock)
    with pytest.raises(CredentialsError, match="are incomplete: AWS_SECRET_ACCESS_KEY is missing in env"):
        asyncio.run(credentials.current())


def refreshable(refresh: Callable[[], dict[str, str]], *, left_seconds: float) -> RefreshableCredentials:
    """Credentials that end in so many seconds."""
    ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=left_seconds)
    return RefreshableCredentials("AKIAOLD", "old", TOKEN, ends, refresh, "sso")


def metadata(key: str) -> dict[str, str]:
    """What a service answers that issues credentials for an hour."""
    ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    return {"access_key": key, "secret_key": "new", "token": TOKEN, "expiry_time": ends.isoformat()}


def test_credentials_are_refreshed_once_for_all_that_wait(clock: SetClock) -> None:
    """Twenty requests at the same time refresh what is about to end once, and off the event loop."""
    refreshed = []

    def refresh() -> dict[str, str]:
        refreshed.append(1)
        return metadata("AKIANEW")

    source = refreshable(refresh, left_seconds=60.0)
    credentials = AwsCredentials(lambda: source, clock=clock)

    async def main() -> set[str]:
        return {pair.access_key for pair in await asyncio.gather(*(credentials.current() for _ in range(20)))}

    assert asyncio.run(main()) == {"AKIANEW"}
    assert len(refreshed) == 1


def test_a_failed_refresh_rests_and_what_is_valid_goes_on(clock: SetClock) -> None:
    """While the old ones are valid they are used; once they have ended, the failure is told, and not at every call."""
    tries = []

    def refresh() -> dict[str, str]:
        tries.append(1)
        raise CredentialRetrievalError(provider="sso", error_msg=f"it said {SECRET}")

    ended = AwsCredentials(lambda: refreshable(refresh, left_seconds=-5.0), clock=clock)

    async def main() -> None:
        for _ in range(5):
            with pytest.raises(CredentialsError) as caught:
                await ended.current()
            assert SECRET not in every_text_of(caught.value)
        assert len(tries) == 1
        clock.seconds = REST_SECONDS + 1.0
        with pytest.raises(CredentialsError, match="aws sts get-caller-identity"):
            await ended.current()
        assert len(tries) == 2

    asyncio.run(main())


def test_a_service_that_does_not_answer_is_no_refusal(clock: SetClock) -> None:
    """What issues credentials may be asked again later."""

    def load() -> Any:
        raise EndpointConnectionError(endpoint_url="https://sts.example")

    with pytest.raises(UnreachableError, match="issues AWS credentials does not answer"):
        asyncio.run(AwsCredentials(load, clock=clock).current())


def test_a_refused_key_is_replaced_once(clock: SetClock) -> None:
    """A 403 makes the chain look again: a new key is used at once, the same one is believed to be refused."""
    keys = ["AKIAONE"]
    looks = []

    def load() -> Credentials:
        looks.append(1)
        return Credentials(keys[0], SECRET)

    signature = AwsSignature(AwsCredentials(load, clock=clock), "braket", region="us-east-1", clock=clock)

    async def main() -> None:
        def answer(request: Any) -> Any:
            is_new = "Credential=AKIATWO/" in request.headers["authorization"]
            return reply(200 if is_new else 403, {})

        async with ScriptedServer(answer) as server:
            client = HttpClient(Origin(server.url, auth=signature), clock=WallClock(), deadline_seconds=10.0)
            for _ in range(3):
                assert (await client.ask("GET", "/x")).status == 403
            assert (len(looks), len(server.requests)) == (2, 3)
            keys[0] = "AKIATWO"
            assert (await client.ask("GET", "/x")).status == 403
            clock.seconds = REST_SECONDS + 1.0
            assert (await client.ask("GET", "/x")).status == 200
            await client.aclose()

    asyncio.run(main())


def test_all_requests_that_were_refused_together_get_the_new_key(clock: SetClock) -> None:
    """A session that ends refuses all that are on their way: the chain is asked once, and none of them fails."""
    looks = []

    def load() -> Credentials:
        looks.append(1)
        time.sleep(0.05)
        return Credentials(f"AKIA{len(looks)}", SECRET)

    credentials = AwsCredentials(load, clock=clock)

    async def main() -> None:
        for n_looks in (2, 3):
            refused = await credentials.current()
            assert all(await asyncio.gather(*(credentials.replace(refused) for _ in range(100))))
            assert len(looks) == n_looks

    asyncio.run(main())


def test_what_sts_issues_is_not_logged(
    home: dict[str, str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At DEBUG botocore logs requests and answers as a whole; who else uses it in this process keeps that."""
    caplog.set_level(logging.DEBUG)
    keys = {"AccessKeyId": "ASIAROLE", "SecretAccessKey": f"{SECRET}/role", "SessionToken": f"{TOKEN}/role"}
    issued = "".join(f"<{name}>{value}</{name}>" for name, value in keys.items())
    result = f"<Credentials>{issued}<Expiration>2100-01-01T00:00:00Z</Expiration></Credentials>"
    body = f"<AssumeRoleResponse><AssumeRoleResult>{result}</AssumeRoleResult></AssumeRoleResponse>".encode()
    Path(home["AWS_CONFIG_FILE"]).write_text(
        "[profile lab]\nregion = us-east-1\nrole_arn = arn:aws:iam::123456789012:role/x\nsource_profile = base\n"
    )
    Path(home["AWS_SHARED_CREDENTIALS_FILE"]).write_text(
        f"[base]\naws_access_key_id = AKIA\naws_secret_access_key = {SECRET}\naws_session_token = {TOKEN}\n"
    )

    async def main() -> None:
        async with ScriptedServer(lambda request: reply(200, body)) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
            pair = await AwsCredentials(chain({**home, "AWS_PROFILE": "lab"}), clock=WallClock()).current()
            assert (pair.method, pair.token) == ("assume-role", keys["SessionToken"])

    asyncio.run(main())
    assert SECRET not in caplog.text
    assert TOKEN not in caplog.text
    logging.getLogger("botocore.auth").debug("of others")
    assert "of others" in caplog.text
