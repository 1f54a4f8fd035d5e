"""Lists of jobs of other servers than IonQ's: none, ill ones, and lists that do not tell a job from its children."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence

import pytest
from ionq_servers import (
    KEY,
    SINCE,
    drive,
    job_document,
    not_found,
    page,
    request_of,
    routed,
    serve_offsets,
    submit,
    submitted,
)
from scripted_server import Answer, Request, ScriptedServer, reply, reset

from qorch.errors import BackendError, BusyError, UnknownOutcomeError, UnreachableError
from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import WallClock
from qorch_providers.ionq import IonqBackend, open_backend
from qorch_providers.ionq.wire.client import NoListError
from qorch_providers.list_health import CHECK_SECONDS, CHECKS

JOBS = "/v0.4/jobs"
MINUTE_NS = round(CHECK_SECONDS * 1e9)
ONES = {f"GET {JOBS}/{name}": reply(200, job_document(name, "ready")) for name in ("a", "b")}

NONE = {
    "fastapi": reply(404, {"detail": "Not Found"}),
    "aiohttp": reply(404, b"404: Not Found", {"Content-Type": "text/plain"}),
    "flask": reply(404, b"<!doctype html><title>404 Not Found</title><h1>Not Found</h1>"),
    "empty": reply(404),
    "query refused": reply(400, {"message": "unknown query parameter"}),
    "query not valid": reply(422, {"detail": [{"loc": ["query", "ids"], "msg": "extra inputs"}]}),
}
ILL = {
    "500": reply(500, {"message": "hm"}),
    "array": reply(200, b"[]"),
    "nginx": reply(404, b"<html><center><h1>404 Not Found</h1></center><hr><center>nginx</center></html>"),
    "cloudflare": reply(404, b"<html>not here</html>", {"Server": "cloudflare", "CF-RAY": "8a-FRA"}),
}


def ask_twice(listing: Answer, question: str) -> tuple[BackendError | None, list[str]]:
    """What a search or two polls of two jobs raise where the list is answered so, and the paths that were asked."""

    async def work(backend: RemoteBackend, server: ScriptedServer) -> tuple[BackendError | None, list[str]]:
        try:
            for _ in range(2):
                if question == "poll":
                    assert set(await backend.poll(["a", "b"])) == {"a", "b"}
                else:
                    await backend.find([KEY], since=SINCE)
        except BackendError as error:
            return error, [request.path for request in server.requests]
        return None, [request.path for request in server.requests]

    return drive(routed({f"GET {JOBS}": listing, **ONES}), work)


@pytest.mark.parametrize("name", NONE)
def test_a_list_that_no_framework_knows_is_not_there(name: str) -> None:
    """Jobs are asked for one by one without another look at the list, and a search is refused at once."""
    error, asked = ask_twice(NONE[name], "poll")
    assert error is None
    assert asked.count(JOBS) == (2 if "query" in name else 1)
    assert isinstance(ask_twice(NONE[name], "find")[0], NoListError)


@pytest.mark.parametrize("name", ILL)
def test_jobs_are_asked_for_one_by_one_while_the_list_is_ill(name: str) -> None:
    """Every poll looks at the list again, and a search is asked again: a gateway's page is no proof of anything."""
    error, asked = ask_twice(ILL[name], "poll")
    assert error is None
    assert asked.count(JOBS) == 2
    assert type(ask_twice(ILL[name], "find")[0]) is BusyError


def test_a_list_that_wants_no_filters_is_read_without_them() -> None:
    """The refusal is met once; afterwards jobs are found in the plain list, by id and by key."""
    mine = job_document("mine", "ready", metadata={"qorch_key": KEY}, submitted_at=submitted(5))
    seen: list[list[str]] = []

    def decide(request: Request) -> Answer:
        seen.append([name for name, _ in request.query])
        return reply(400, {"message": "unknown query parameter"}) if request.query else reply(200, page([mine]))

    async def work(backend: RemoteBackend, server: ScriptedServer) -> None:
        assert set(await backend.poll(["mine", "a"])) == {"mine", "a"}
        assert await backend.find([KEY], since=SINCE) == {KEY: "mine"}

    routes = {f"GET {JOBS}": decide, f"GET {JOBS}/mine": reply(200, mine), **ONES}
    drive(routed(routes), work)
    assert seen == [["ids", "ids", "limit"], [], []]


@pytest.mark.parametrize("name", NONE)
def test_a_list_that_was_there_is_never_taken_for_lost(name: str) -> None:
    """A server that has listed before may be rebuilding: a search waits instead of believing that there is no list."""
    answers = iter([reply(200, page([]))])

    def decide(request: Request) -> Answer:
        return next(answers, NONE[name])

    async def work(backend: RemoteBackend, server: ScriptedServer) -> None:
        assert await backend.find([KEY], since=SINCE) == {}
        with pytest.raises(BusyError):
            await backend.find([KEY], since=SINCE)

    drive(routed({f"GET {JOBS}": decide}), work)


class HandClock(WallClock):
    """Its monotonic time goes on by hand."""

    def __init__(self) -> None:
        """Start."""
        self.now_ns = 10**12

    def monotonic_ns(self) -> int:
        """See Clock."""
        return self.now_ns


def drive_slowly(
    script: Callable[[Request], Answer], work: Callable[[IonqBackend, HandClock], Awaitable[None]]
) -> None:
    """Work with a backend whose time goes on by hand."""

    async def main() -> None:
        clock = HandClock()
        async with ScriptedServer(script) as server:
            environment = {"IONQ_API_URL": server.url, "IONQ_API_KEY": "dummy"}
            backend = open_backend("simulator,deadline=2", clock=clock, environment=environment)
            assert isinstance(backend, IonqBackend)
            await work(backend, clock)
            await backend.close()

    asyncio.run(main())


async def search(backend: IonqBackend, clock: HandClock, *, minutes: int) -> None:
    """A failing search a minute."""
    for _ in range(minutes):
        with pytest.raises(BusyError):
            await backend.find([KEY], since=SINCE)
        clock.now_ns += MINUTE_NS


def test_a_search_ends_where_only_the_list_is_ill() -> None:
    """While the server answers other questions a job is looked for some minutes, and then it is in doubt."""

    async def work(backend: IonqBackend, clock: HandClock) -> None:
        await search(backend, clock, minutes=CHECKS)
        with pytest.raises(UnknownOutcomeError, match="list of jobs cannot be read"):
            await backend.find([KEY], since=SINCE)

    drive_slowly(routed({f"GET {JOBS}": reply(500)}), work)


def test_a_refused_job_is_not_looked_for_without_end() -> None:
    """After a 429 the list is looked at before the job is sent again: where it stays ill, the job is in doubt."""

    async def work(backend: IonqBackend, clock: HandClock) -> None:
        for _ in range(1 + CHECKS):
            with pytest.raises(BusyError):
                await submit(backend, request_of(1), key=KEY)
            clock.now_ns += MINUTE_NS
        with pytest.raises(UnknownOutcomeError, match="list of jobs cannot be read"):
            await submit(backend, request_of(1), key=KEY)
        assert backend.calls["submit"] == 1

    drive_slowly(routed({f"GET {JOBS}": reply(500), f"POST {JOBS}": reply(429)}), work)


def test_an_outage_is_waited_out() -> None:
    """Where nothing is answered, or the list says when to come again, the minutes do not count."""

    async def work(backend: IonqBackend, clock: HandClock) -> None:
        await search(backend, clock, minutes=60)

    drive_slowly(lambda request: reply(503), work)
    drive_slowly(routed({f"GET {JOBS}": reply(503, b"", {"Retry-After": "1"})}), work)


def test_only_minutes_on_end_count() -> None:
    """A list that is read in between is not ill, and an outage in between begins the count again."""
    kinds = [*["ill"] * CHECKS, "fine", *["ill"] * CHECKS, "out", *["ill"] * (CHECKS - 1)]
    kind = iter(kinds)
    current = ""

    def answer(request: Request) -> Answer:
        nonlocal current
        if request.path == JOBS:
            current = next(kind)
            return reply(200, page([])) if current == "fine" else reply(500)
        return reply(500) if current == "out" else not_found()

    async def work(backend: IonqBackend, clock: HandClock) -> None:
        await search(backend, clock, minutes=CHECKS)
        assert await backend.find([KEY], since=SINCE) == {}
        await search(backend, clock, minutes=2 * CHECKS)

    drive_slowly(answer, work)


FAMILY = [f"c{number}" for number in range(30)]


def listed(job_id: str, **more: object) -> dict[str, object]:
    """A listed job with the key of all."""
    return job_document(job_id, "ready", metadata={"qorch_key": KEY}, submitted_at=submitted(5), **more)


def find_in(
    jobs: Sequence[dict[str, object]], documents: dict[str, dict[str, object]]
) -> tuple[dict[str, str], list[str]]:
    """What a search finds in a list with pages of 25, whose jobs have these documents; and the paths it asked."""

    def decide(request: Request) -> Answer:
        start = int(dict(request.query).get("next", "0"))
        return reply(200, page(jobs[start : start + 25], str(start + 25) if start + 25 < len(jobs) else None))

    async def work(backend: RemoteBackend, server: ScriptedServer) -> tuple[dict[str, str], list[str]]:
        found = await backend.find([KEY], since=SINCE)
        return found, [request.path for request in server.requests]

    singles = {f"GET {JOBS}/{name}": reply(200, document) for name, document in documents.items()}
    return drive(routed({f"GET {JOBS}": decide, **singles}), work)


@pytest.mark.parametrize("names_parents", [True, False])
@pytest.mark.parametrize("order", [1, -1])
def test_a_child_is_never_taken_for_the_job(order: int, names_parents: bool) -> None:
    """Lists that name neither parents nor children: the documents of single jobs name one of the two."""
    jobs = [listed(name) for name in [*FAMILY, "mine"]][::order]
    child = {"parent_job_id": "mine"} if names_parents else {}
    documents = {name: listed(name, **child) for name in FAMILY} | {"mine": listed("mine", child_job_ids=FAMILY)}
    found, asked = find_in(jobs, documents)
    assert found == {KEY: "mine"}
    assert len(asked) <= (2 if names_parents else 30)


@pytest.mark.parametrize("order", [1, -1])
def test_a_job_that_names_its_children_is_the_job(order: int) -> None:
    """The list alone tells it, on whichever page it is; children do not name their parent there."""
    jobs = [*(listed(name) for name in FAMILY), listed("mine", child_job_ids=FAMILY)][::order]
    found, asked = find_in(jobs, {name: listed(name) for name in FAMILY})
    assert found == {KEY: "mine"}
    assert asked == ([JOBS, f"{JOBS}/c0", JOBS] if order == 1 else [JOBS])


def test_a_child_at_the_end_of_a_page_waits_for_the_next() -> None:
    """The only job with the key on a page may be one of several: the list is read on."""
    others = [job_document(f"other{number}", submitted_at=submitted(9)) for number in range(24)]
    jobs = [*others, listed("c0"), listed("c1"), listed("mine", child_job_ids=["c0", "c1"])]
    found, asked = find_in(jobs, {"c0": listed("c0"), "c1": listed("c1")})
    assert found == {KEY: "mine"}
    assert asked.count(JOBS) == 2


def test_a_job_of_one_circuit_takes_one_more_question() -> None:
    """Its own document, which names no parent; further pages are not read."""
    others = [job_document(f"other{number}", submitted_at=submitted(4)) for number in range(60)]
    assert find_in([listed("mine"), *others], {"mine": listed("mine")}) == ({KEY: "mine"}, [JOBS, f"{JOBS}/mine"])


def test_what_cannot_be_told_apart_is_in_doubt() -> None:
    """Where no document names a parent or children none of them is adopted, and few are asked for."""
    documents = {name: listed(name) for name in FAMILY}
    with pytest.raises(UnknownOutcomeError, match="30 jobs"):
        find_in(list(documents.values()), documents)


def make_list(n_new: int, n_old: int) -> list[dict[str, object]]:
    """Jobs of others from new to old: so many after SINCE, so many long before it."""
    ages = [*(10.0 * (n_new - number) for number in range(n_new)), *(-9000.0 - number for number in range(n_old))]
    return [job_document(f"other{number}", submitted_at=submitted(age)) for number, age in enumerate(ages)]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_search_goes_on_where_an_answer_was_lost(is_there: bool) -> None:
    """Every second answer is lost, and the job is on the eighth page, or nowhere: each page is asked for twice."""
    jobs = make_list(185, 500)
    if is_there:
        jobs[184] = listed("mine")
    pages = serve_offsets(jobs)
    number = itertools.count()

    def decide(request: Request) -> Answer:
        return reset() if next(number) % 2 == 0 else pages(request)

    async def work(backend: RemoteBackend, server: ScriptedServer) -> tuple[dict[str, str], int]:
        for _ in range(40):
            try:
                return await backend.find([KEY], since=SINCE), server.count("GET", JOBS)
            except UnreachableError:
                continue
        raise AssertionError("it does not end")

    found, asked = drive(routed({f"GET {JOBS}": decide, f"GET {JOBS}/mine": reply(200, listed("mine"))}), work)
    assert found == ({KEY: "mine"} if is_there else {})
    assert asked <= 2 * 9


@pytest.mark.parametrize(("growth", "most"), [(0, 4), (5, 5), (20, 20), (24, 40)])
def test_a_list_that_grows_slowly_is_left_where_it_gets_old(growth: int, most: int) -> None:
    """Three pages matter and eighty do not: jobs that come meanwhile move the list, and say nothing of its order."""
    jobs = make_list(60, 2000)

    async def work(backend: RemoteBackend, server: ScriptedServer) -> int:
        assert await backend.find([KEY], since=SINCE) == {}
        return len(server.requests)

    assert drive(routed({f"GET {JOBS}": serve_offsets(jobs, growth=growth)}), work) <= most


def test_a_list_that_grows_faster_than_it_is_read_is_given_up() -> None:
    """Forty strangers a page: in doubt after some twenty pages."""

    async def work(backend: RemoteBackend, server: ScriptedServer) -> int:
        with pytest.raises(UnknownOutcomeError, match="grows as fast"):
            await backend.find([KEY], since=SINCE)
        return len(server.requests)

    assert drive(routed({f"GET {JOBS}": serve_offsets(make_list(60, 100), growth=40)}), work) <= 25
