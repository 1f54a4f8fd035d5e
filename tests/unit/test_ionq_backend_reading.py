"""How the ionq backend asks for jobs: batches, pages, lost jobs, and servers whose answers are wrong."""

import asyncio
import datetime
import gzip
import itertools
from collections.abc import Callable, Sequence

import pytest
from ionq_servers import (
    KEY,
    SINCE,
    drive,
    job_document,
    not_found,
    page,
    routed,
    submitted,
)
from scripted_server import Answer, Request, ScriptedServer, drip, hang, head, reply, reset, send_and_close

from qorch.errors import (
    BusyError,
    CredentialsError,
    UnknownOutcomeError,
    UnreachableError,
)
from qorch.model.job import RemoteState
from qorch.ports.backend import RemoteBackend
from qorch_providers.ionq import IonqBackend
from qorch_providers.ionq.wire.client import NoListError

JOBS = "/v0.4/jobs"
Lister = Callable[[Request], Answer]


def listed_by(jobs: Sequence[dict[str, object]], *, honours_ids: bool = True, page_rows: int = 25) -> Lister:
    """``GET /jobs`` as IonQ would answer it, newest first in the order given, and ``GET /jobs/{id}``."""

    def answer(request: Request) -> Answer:
        if request.path != JOBS:
            found = [job for job in jobs if request.path == f"{JOBS}/{job['id']}"]
            return reply(200, found[0]) if found else not_found()
        ids = [value for name, value in request.query if name == "ids"]
        matching = [job for job in jobs if not ids or not honours_ids or job["id"] in ids]
        start = int(dict(request.query).get("next", "0"))
        more = start + page_rows < len(matching)
        return reply(200, page(matching[start : start + page_rows], str(start + page_rows) if more else None))

    return answer


def poll_with(script: Lister, ids: Sequence[str]) -> tuple[set[str], list[Request]]:
    """The ids that a poll knows, and what was asked."""

    async def work(backend: RemoteBackend, server: ScriptedServer) -> tuple[set[str], list[Request]]:
        return set(await backend.poll(ids)), server.requests

    return drive(script, work)


def test_polls_ask_for_25_jobs_at_a_time() -> None:
    """60 jobs are three requests, whose ids are repeated; who is not known is missing."""
    jobs = [job_document(f"j{n}", "ready") for n in range(59)]
    known, requests = poll_with(listed_by(jobs), [f"j{n}" for n in range(59)] + ["gone"])
    assert known == {f"j{n}" for n in range(59)}
    lists = [[value for name, value in request.query if name == "ids"] for request in requests if request.path == JOBS]
    assert sorted(len(ids) for ids in lists) == [10, 25, 25]
    assert [request.path for request in requests if request.path != JOBS] == [f"{JOBS}/gone"]


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_without_a_list_is_asked_job_by_job(status: int) -> None:
    """It is asked for the list once; and since a lost job cannot be looked for there, a search is refused at once."""
    jobs = {f"GET {JOBS}/{name}": reply(200, job_document(name, "ready")) for name in ("a", "b")}
    routes = {f"GET {JOBS}": reply(status, {"message": "Not Found"}), **jobs}

    async def work(backend: RemoteBackend, server: ScriptedServer) -> list[str]:
        for _ in range(2):
            assert set(await backend.poll(["a", "b"])) == {"a", "b"}
        asked = [request.path for request in server.requests]
        with pytest.raises(NoListError):
            await backend.find([KEY], since=SINCE)
        return asked

    assert drive(routed(routes), work) == [JOBS] + 2 * [f"{JOBS}/a", f"{JOBS}/b"]


def test_states_and_times_come_from_the_list() -> None:
    """A poll tells the state in our words, and the provider's own times."""
    jobs = [
        job_document("a", "submitted", submitted_at=submitted(1)),
        job_document("b", "started", started_at=submitted(2)),
        job_document("c", "failed", failure={"code": "InternalError", "message": "hm"}),
    ]

    async def work(backend: RemoteBackend, server: ScriptedServer) -> None:
        states = await backend.poll(["a", "b", "c"])
        assert [states[name].state for name in "abc"] == [RemoteState.QUEUED, RemoteState.RUNNING, RemoteState.FAILED]
        assert states["a"].submitted_at == SINCE + datetime.timedelta(seconds=1)
        assert states["c"].is_repeatable
        assert backend.calls == {"poll": 1}  # type: ignore[attr-defined]
        assert len(server.requests) == 1

    drive(listed_by(jobs), work)


def test_a_server_that_ignores_ids_is_asked_one_by_one() -> None:
    """Its list of other people's jobs is matched by id, and read no further than its first page."""
    others = [job_document(f"other{n}") for n in range(100)]
    mine = [job_document("m1", "ready"), job_document("m2", "ready")]
    known, requests = poll_with(listed_by([*others, *mine], honours_ids=False), ["m1", "m2", "gone"])
    assert known == {"m1", "m2"}
    assert [request.path for request in requests] == [JOBS, f"{JOBS}/m1", f"{JOBS}/m2", f"{JOBS}/gone"]


def test_short_pages_are_followed() -> None:
    """A server with pages of 4 is read to the end of what was asked for."""
    jobs = [job_document(f"j{n}", "ready") for n in range(10)]
    known, requests = poll_with(listed_by(jobs, page_rows=4), [f"j{n}" for n in range(10)])
    assert len(known) == 10
    assert len(requests) == 3


def test_at_most_four_questions_are_asked_side_by_side() -> None:
    """300 jobs in twelve requests, of which no more than four are on their way at once."""
    jobs = [job_document(f"j{n}", "ready") for n in range(300)]
    inner = listed_by(jobs)
    on_the_way, most = 0, 0

    def answer(request: Request) -> Answer:
        async def slowly(writer: asyncio.StreamWriter) -> None:
            nonlocal on_the_way, most
            on_the_way += 1
            most = max(most, on_the_way)
            await asyncio.sleep(0.01)
            on_the_way -= 1
            await inner(request)(writer)

        return slowly

    known, requests = poll_with(answer, [f"j{n}" for n in range(300)])
    assert (len(known), len(requests), most) == (300, 12, 4)


def test_what_cannot_be_an_id_is_never_asked_for() -> None:
    """A stored id that leads elsewhere belongs to no job; no request leaves."""
    known, requests = poll_with(listed_by([]), ["../../x"])
    assert (known, requests) == (set(), [])


TRANSIENT = {
    "429": reply(429, {"message": "slow"}, {"Retry-After": "3"}),
    "500": reply(500, {"message": "hm"}),
    "503": reply(503, b"<html>busy</html>"),
    "524": reply(524, b""),
    "400": reply(400, {"message": "hm"}),
    "redirect": reply(302, b"", {"Location": "https://evil.example/"}),
    "foreign 404": reply(404, b"<html>not here</html>"),
    "html": reply(200, b"<html>welcome</html>"),
    "nothing": reply(200, b""),
    "empty": reply(204),
    "deep": reply(200, b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
    "list for an object": reply(200, b"[]"),
    "reset": reset(),
    "hang": hang(),
    "drip": drip(head(200, 20) + b" " * 20, every_seconds=0.05),
    "truncated": send_and_close(head(200, 20) + b"{"),
    "bomb": reply(200, gzip.compress(bytes(40 * 2**20)), {"Content-Encoding": "gzip"}),
}

QUESTIONS: dict[str, Callable[[IonqBackend], object]] = {
    "poll one": lambda backend: backend.poll(["a"]),
    "poll": lambda backend: backend.poll(["a", "b"]),
    "find": lambda backend: backend.find([KEY], since=SINCE),
    "fetch": lambda backend: backend.fetch("a"),
    "availability": lambda backend: backend.availability(),
    "cancel": lambda backend: backend.cancel("a"),
}


# Another server's 404, and a list without the target, are answers: it describes no such machine, and has no list.
ANSWERED = {("foreign 404", "availability"), ("list for an object", "availability"), ("foreign 404", "find"),
            ("400", "find")}  # fmt: skip


UNANSWERED = ("reset", "hang", "drip", "truncated")


@pytest.mark.parametrize(
    ("name", "question"), [pair for pair in itertools.product(TRANSIENT, QUESTIONS) if pair not in ANSWERED]
)
def test_questions_without_an_answer_are_busy(name: str, question: str) -> None:
    """Nothing is lost by asking again, so the engine is told to; a named wait is handed on."""

    async def work(backend: IonqBackend, server: ScriptedServer) -> BusyError:
        with pytest.raises(BusyError) as caught:
            await QUESTIONS[question](backend)  # type: ignore[misc]
        # Where no list can be read, one job is asked for by itself, or four at a time where there is no list at all.
        assert len(server.requests) <= (6 if question == "poll" and name != "429" else 1)
        return caught.value

    error = drive(lambda request: TRANSIENT[name], work, options="simulator,deadline=0.4")
    assert type(error) is (UnreachableError if name in UNANSWERED else BusyError)
    assert error.retry_after_seconds == (3.0 if name == "429" else None)


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("status", [401, 403])
def test_questions_with_a_refused_key_say_so(status: int, question: str) -> None:
    """An expired key stops everything with one sentence."""

    async def work(backend: IonqBackend, server: ScriptedServer) -> None:
        with pytest.raises(CredentialsError, match="IONQ_API_KEY"):
            await QUESTIONS[question](backend)  # type: ignore[misc]

    drive(lambda request: reply(status, {"message": "who are you"}), work)


def find_with(
    script: Lister, keys: Sequence[str] = (KEY,), *, since: datetime.datetime = SINCE
) -> tuple[dict[str, str], int]:
    """What a search finds, and how many pages it read."""

    async def work(backend: RemoteBackend, server: ScriptedServer) -> tuple[dict[str, str], int]:
        found = await backend.find(keys, since=since)
        return found, server.count("GET", JOBS)

    return drive(script, work)


def named(job_id: str, seconds: float, *, key: str | None = None, **more: object) -> dict[str, object]:
    """A listed job, submitted so many seconds after SINCE."""
    metadata = {"qorch_key": key} if key else {}
    return job_document(job_id, "ready", submitted_at=submitted(seconds), metadata=metadata, **more)


def test_lost_jobs_are_found_by_their_key() -> None:
    """On the third page, among jobs of others; the search ends where all are found."""
    jobs = [named(f"j{n}", 1000 - n) for n in range(200)]
    jobs[60] = named("mine", 940, key=KEY)
    jobs[10] = named("also", 990, key="cd" * 32)
    assert find_with(listed_by(jobs), [KEY, "cd" * 32]) == ({KEY: "mine", "cd" * 32: "also"}, 3)


def test_the_name_stands_in_for_missing_metadata() -> None:
    """A list without metadata still has names."""
    job = {**named("mine", 5), "metadata": None, "name": f"qorch {KEY[:16]}"}
    assert find_with(listed_by([job]))[0] == {KEY: "mine"}


def test_children_are_not_taken_for_their_parent() -> None:
    """A child has its parent's metadata, but names its parent; a job that was renamed is found all the same."""
    jobs = [named("child", 9, key=KEY, parent_job_id="mine"), named("mine", 9, key=KEY, name="renamed")]
    assert find_with(listed_by(jobs))[0] == {KEY: "mine"}


def test_old_children_are_told_by_their_names() -> None:
    """In v0.3 no child names its parent, but it has a name of its own."""
    jobs = [named("child", 9, key=KEY, name="c0"), named("mine", 9, key=KEY, name=f"qorch {KEY[:16]}")]

    async def work(backend: RemoteBackend, server: ScriptedServer) -> dict[str, str]:
        return await backend.find([KEY], since=SINCE)

    routes = {"GET /v0.3/jobs": reply(200, page(jobs))}
    assert drive(routed(routes), work, options="simulator,version=v0.3") == {KEY: "mine"}


def test_the_search_ends_where_everything_is_older() -> None:
    """Of 1,000 jobs of last week only one page is read; a minute of skew is allowed for."""
    jobs = [named(f"j{n}", -61 - n) for n in range(1000)]
    assert find_with(listed_by(jobs)) == ({}, 1)
    barely = [named(f"j{n}", -59 + 0.1 * -n) for n in range(10)] + jobs
    assert find_with(listed_by(barely)) == ({}, 2)


@pytest.mark.parametrize("kind", ["ascending", "shuffled", "undated", "equal"])
def test_a_list_in_another_order_is_read_to_its_end(kind: str) -> None:
    """The order is not promised: old jobs first are no proof that the new one is not further on."""
    ages = {"ascending": lambda n: -10_000.0 + n, "shuffled": lambda n: -9000.0 - (n * 37) % 200}
    jobs = [named(f"j{n}", ages.get(kind, lambda n: -9000.0)(n)) for n in range(200)]
    if kind == "undated":
        jobs = [{**job, "submitted_at": None} for job in jobs]
    jobs.append(named("mine", 5, key=KEY))
    assert find_with(listed_by(jobs)) == ({KEY: "mine"}, 9)


def test_a_server_whose_clock_is_behind_hides_nothing() -> None:
    """Its Date header says that it is an hour late, and so are the times in its list."""
    jobs = [named(f"j{n}", -3500 - n) for n in range(60)]
    jobs[50] = named("mine", -3550, key=KEY)

    def answer(request: Request) -> Answer:
        if request.path != JOBS:
            return reply(200, jobs[50])
        start = int(dict(request.query).get("next", "0"))
        cursor = str(start + 25) if start < 50 else None
        late = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
        return reply(200, page(jobs[start : start + 25], cursor), {"Date": f"{late:%a, %d %b %Y %H:%M:%S} GMT"})

    assert find_with(answer) == ({KEY: "mine"}, 3)


def test_circles_and_endless_lists_prove_nothing() -> None:
    """A cursor that comes back is asked again, one that never ends leaves the job in doubt: both in bounded calls."""

    async def work(backend: RemoteBackend, server: ScriptedServer) -> int:
        with pytest.raises((BusyError, UnknownOutcomeError), match="list of jobs") as caught:
            await backend.find([KEY], since=SINCE)
        return len(server.requests) * (1 if isinstance(caught.value, BusyError) else -1)

    def circle(request: Request) -> Answer:
        cursor = {None: "b", "b": "c", "c": "b"}[dict(request.query).get("next")]
        return reply(200, page([named("other", 5)], cursor))

    def endless(request: Request) -> Answer:
        cursor = int(dict(request.query).get("next", "0")) + 1
        return reply(200, page([named(f"j{cursor}", 5)], str(cursor)))

    assert drive(circle, work) == 3
    assert drive(endless, work) == -1000


def test_a_foreign_job_that_cannot_be_read_hides_nothing() -> None:
    """Another tool's entry with an unknown status is passed over."""
    jobs = [job_document("strange", "entangled"), named("mine", 5, key=KEY)]
    assert find_with(listed_by(jobs))[0] == {KEY: "mine"}


def test_a_job_of_ours_with_a_status_nobody_knows_hides_nothing() -> None:
    """An archived job of an earlier run is passed over, and one that is looked for was accepted all the same."""
    jobs = [named("old", 6, key="cd" * 32) | {"status": "archived"}, named("mine", 5, key=KEY) | {"status": "parked"}]
    assert find_with(listed_by(jobs))[0] == {KEY: "mine"}


def test_a_status_nobody_knows_is_asked_again() -> None:
    """A poll neither believes nor invents what it means, in the list or alone."""

    async def work(backend: RemoteBackend, server: ScriptedServer) -> None:
        with pytest.raises(BusyError, match="archived"):
            await backend.poll(["a", "b"])

    drive(listed_by([job_document("a", "ready"), job_document("b", "archived")]), work)


def test_nothing_is_asked_where_nothing_is_looked_for() -> None:
    """No keys, no requests."""
    assert find_with(listed_by([]), []) == ({}, 0)
