"""Redirects: followed within one server where they lose nothing, and never anywhere else."""

import asyncio

import pytest
from scripted_server import Answer, Request, ScriptedServer, hang, reply

from qorch.ports.clock import WallClock
from qorch_providers.http import AnswerLostError, HttpClient, HttpResponse

CANARY = "canary-9f2c51d7e0"


def open_client(url: str, *, deadline_seconds: float = 60.0) -> HttpClient:
    """A client with the canary as its key."""
    headers = {"Authorization": f"apiKey {CANARY}"}
    return HttpClient(url, headers=headers, clock=WallClock(), deadline_seconds=deadline_seconds)


def run_call(answer: Answer) -> HttpResponse:
    """A call to a server that answers so; checks that it arrived once."""

    async def main() -> HttpResponse:
        async with ScriptedServer(lambda request: answer) as server:
            client = open_client(server.url)
            response = await client.request("GET", "/v0.4/jobs")
            await client.aclose()
            assert len(server.requests) == 1
            return response

    return asyncio.run(main())


def redirect(location: str, *, status: int = 307) -> Answer:
    """Elsewhere."""
    return reply(status, b"", {"Location": location})


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [307, 308])
def test_redirects_within_the_server_keep_everything(status: int, method: str) -> None:
    """Method, body and headers go to the path that is named, relative or as a whole URL, and so does its query."""

    async def main() -> tuple[HttpResponse, list[Request]]:
        def answer(request: Request) -> Answer:
            places = {"/v0.4/jobs": "/v0.4/jobs/?a=b%2Fc", "/v0.4/jobs/": f"{server.url}/v1/jobs"}
            target = places.get(request.path)
            return redirect(target, status=status) if target else reply(200, {"id": "a"})

        async with ScriptedServer(answer) as server:
            client = open_client(server.url)
            response = await client.request(method, "/v0.4/jobs", content=b"{}" if method == "POST" else None)
            await client.aclose()
            return response, server.requests

    response, requests = asyncio.run(main())
    assert (response.status, response.body) == (200, b'{"id": "a"}')
    assert [request.path for request in requests] == ["/v0.4/jobs", "/v0.4/jobs/", "/v1/jobs"]
    assert requests[1].query == [("a", "b/c")]
    assert {request.method for request in requests} == {method}
    assert {request.body for request in requests} == {b"{}" if method == "POST" else b""}
    assert {request.headers["authorization"] for request in requests} == {f"apiKey {CANARY}"}


@pytest.mark.parametrize(
    "location",
    ["", "//evil.example/v0.4/jobs", "https://evil.example/", "http://127.0.0.1:1/v0.4/jobs", "/a//b", "/a/%2e%2e/b",
     "/a b", "/a\\b", "\\\\evil.example/", "http://[::1", "/a#b", "http://user@127.0.0.1/"],
)  # fmt: skip
def test_redirects_to_what_is_no_path_of_the_server_are_answers(location: str) -> None:
    """Other origins, climbing and strange paths: one request, and the redirect itself comes back."""
    assert run_call(redirect(location)).status == 307


def test_redirects_in_a_circle_end() -> None:
    """After three of them the redirect is the answer."""

    async def main() -> tuple[int, int]:
        async with ScriptedServer(lambda request: redirect("/a")) as server:
            client = open_client(server.url)
            response = await client.request("POST", "/a", content=b"{}")
            await client.aclose()
            return response.status, len(server.requests)

    assert asyncio.run(main()) == (307, 4)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_answers_and_followed_nowhere(status: int) -> None:
    """No request, and so no key, reaches another server that a redirect names."""

    async def main() -> tuple[int, int]:
        async with ScriptedServer(lambda request: reply(200, {})) as other:
            answer = redirect(f"{other.url}/v0.4/jobs", status=status)
            async with ScriptedServer(lambda request: answer) as server:
                client = open_client(server.url)
                response = await client.request("GET", "/v0.4/jobs")
                await client.aclose()
                return response.status, other.n_connections

    assert asyncio.run(main()) == (status, 0)


def test_one_deadline_bounds_all_redirects() -> None:
    """A place that never answers ends with the call, whose outcome is then not known."""

    async def main() -> None:
        async with ScriptedServer(lambda request: hang() if request.path == "/b" else redirect("/b")) as server:
            client = open_client(server.url, deadline_seconds=0.5)
            with pytest.raises(AnswerLostError, match=r"POST /a: no whole answer in 0\.5 seconds"):
                await client.request("POST", "/a", content=b"{}")
            await client.aclose()

    asyncio.run(main())
