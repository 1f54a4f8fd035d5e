"""Several origins of one client, paths of segments, and bodies of any type: each credential stays where it belongs."""

import asyncio
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_server import Answer, Request, ScriptedServer, reply

from qorch.errors import UsageError
from qorch.ports.clock import WallClock
from qorch_providers.http import Content, HttpClient, Origin, StaticAuth
from qorch_providers.http.paths import encode_path, encode_url

ARN = "arn:aws:braket:us-east-1::device/qpu/rigetti/Ankaa-3"
CLIMBING = [
    "",
    ".",
    "..",
    "a/../b",
    "../a",
    "a/..",
    "a//b",
    "/a",
    "a/",
    "./a",
    "a\\b",
    "..\\a",
    "a\nb",
    "a\0",
    "x" * 3000,
]


def test_an_arn_is_one_segment() -> None:
    """Colons and slashes arrive encoded, as the vendors' own clients send them."""

    async def main() -> list[str]:
        async with ScriptedServer(lambda request: reply(200)) as server:
            client = HttpClient(f"{server.url}/v1", clock=WallClock(), deadline_seconds=5.0)
            await client.ask("PUT", ["quantum-task", ARN, "cancel"])
            await client.ask("GET", ["device", ARN], query=[("a", ARN)])
            await client.aclose()
            return [request.target for request in server.requests]

    encoded = "arn%3Aaws%3Abraket%3Aus-east-1%3A%3Adevice%2Fqpu%2Frigetti%2FAnkaa-3"
    assert asyncio.run(main()) == [f"/v1/quantum-task/{encoded}/cancel", f"/v1/device/{encoded}?a={encoded}"]


@pytest.mark.parametrize("segment", CLIMBING)
def test_segments_that_climb_are_refused(segment: str) -> None:
    """Before anything is sent, whatever a server would make of their escapes."""
    with pytest.raises(UsageError):
        encode_path(["jobs", segment])


def test_a_path_without_segments_is_refused() -> None:
    """An empty list is not a path."""
    with pytest.raises(UsageError):
        encode_url("https://h", [], ())


@given(st.lists(st.text(max_size=30), min_size=1, max_size=4))
def test_every_segment_comes_back_or_is_refused(segments: list[str]) -> None:
    """What is sent has as many segments as were given, decodes to them, and none of them climbs."""
    try:
        path = encode_path(segments)
    except UsageError:
        return
    assert path.isascii()
    assert [unquote(part) for part in path.split("/")[1:]] == segments
    assert {".", ".."}.isdisjoint(part for segment in segments for part in segment.split("/"))


def open_client(api: str, store: str) -> HttpClient:
    """Two origins with a credential each, and one without."""
    return HttpClient(
        Origin(api, StaticAuth({"Authorization": "Bearer api-secret"}), {"Service-CRN": "crn:v1"}),
        origins={
            "store": Origin(store, StaticAuth({"X-Token": "store-secret"}), {"Accept": "*/*"}),
            "identity": Origin(f"{api}/identity"),
        },
        clock=WallClock(),
        deadline_seconds=5.0,
    )


def test_each_origin_gets_its_own_credentials() -> None:
    """And its own plain headers, its own path, and nothing of the others."""

    async def main() -> list[Request]:
        async with (
            ScriptedServer(lambda request: reply(200)) as api,
            ScriptedServer(lambda request: reply(200)) as store,
        ):
            client = open_client(api.url, store.url)
            await client.ask("GET", "/jobs")
            await client.ask("GET", ["bucket", "results.json"], origin="store")
            await client.ask("POST", "/token", content=Content.form([("a", "b c")]), origin="identity")
            await client.aclose()
            return [*api.requests, *store.requests]

    jobs, token, stored = asyncio.run(main())
    assert (jobs.headers["authorization"], jobs.headers["service-crn"]) == ("Bearer api-secret", "crn:v1")
    assert (stored.headers["x-token"], stored.headers["accept"]) == ("store-secret", "*/*")
    assert token.path == "/identity/token"
    assert "x-token" not in jobs.headers
    assert {"authorization", "service-crn"}.isdisjoint(stored.headers)
    assert {"authorization", "service-crn", "x-token"}.isdisjoint(token.headers)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_redirect_takes_a_credential_to_another_origin(method: str, status: int) -> None:
    """Not even to one that the client knows: the other server is not spoken to."""

    async def main() -> tuple[int, int]:
        async with ScriptedServer(lambda request: reply(200)) as store:
            away = reply(status, b"", {"Location": f"{store.url}/jobs"})
            async with ScriptedServer(lambda request: away) as api:
                client = open_client(api.url, store.url)
                response = await client.ask(method, "/jobs")
                await client.aclose()
                return response.status, store.n_connections

    assert asyncio.run(main()) == (status, 0)


def test_origins_that_are_not_listed_are_not_spoken_to() -> None:
    """The error names the ones that there are."""

    async def main() -> str:
        client = open_client("https://a.invalid", "https://b.invalid")
        with pytest.raises(UsageError) as caught:
            await client.ask("GET", "/a", origin="metrics")
        await client.aclose()
        return str(caught.value)

    assert "'metrics' is not an origin of this client; it has identity, store" in asyncio.run(main())


@pytest.mark.parametrize("url", ["http://h.example", "https://u:p@h", "https://h/?a=b"])
def test_no_origin_is_in_the_clear(url: str) -> None:
    """What holds for the base holds for all of them."""
    with pytest.raises(UsageError):
        Origin(url)


def test_an_origin_has_its_secrets_in_its_auth() -> None:
    """Headers beside an Origin would have no place; values that no header may have are refused."""
    with pytest.raises(UsageError, match="StaticAuth"):
        HttpClient(Origin("https://h"), headers={"a": "b"}, clock=WallClock(), deadline_seconds=1.0)
    with pytest.raises(UsageError):
        Origin("https://h", headers={"a": "b\r\nc: d"})
    with pytest.raises(UsageError):
        Content(b"", "text/plain\r\nx: y")


@pytest.mark.parametrize(
    ("content", "media_type", "body"),
    [
        (b"{}", "application/json", b"{}"),
        (Content.form([("a", "b c&"), ("ü", "")]), "application/x-www-form-urlencoded", b"a=b+c%26&%C3%BC="),
        (Content(b"\0\xff", "application/octet-stream"), "application/octet-stream", b"\0\xff"),
        (Content(b"x" * 600_000, "text/plain"), "text/plain", b"x" * 600_000),
    ],
    ids=["json", "form", "bytes", "large"],
)
def test_bodies_arrive_with_their_type(content: bytes | Content, media_type: str, body: bytes) -> None:
    """Bytes are JSON unless they say otherwise."""
    seen: list[Request] = []

    def answer(request: Request) -> Answer:
        seen.append(request)
        return reply(200)

    async def main() -> None:
        async with ScriptedServer(answer) as server:
            client = HttpClient(server.url, clock=WallClock(), deadline_seconds=5.0)
            await client.send("POST", "/a", content=content)
            await client.aclose()

    asyncio.run(main())
    assert (seen[0].headers["content-type"], seen[0].body) == (media_type, body)
