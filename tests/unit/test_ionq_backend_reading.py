"""How the ionq backend asks: batches, pages, lost jobs, results and children, and servers that lie about them."""

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
    lost_rows,
    not_found,
    open_ionq,
    page,
    request_of,
    routed,
    submitted,
)
from scripted_server import Answer, Request, ScriptedServer, drip, hang, head, reply, reset, send_and_close

from qorch.errors import (
    BackendError,
    BusyError,
    CredentialsError,
    JobFailedError,
    JobMissingError,
    UnknownNameError,
    UnknownOutcomeError,
    UnreachableError,
)
from qorch.model.job import RawResult, RemoteState
from qorch.ports.backend import RemoteBackend
from qorch_providers.ionq import IonqBackend
from qorch_providers.ionq.backend import QPU_QUBITS
from qorch_providers.ionq.results.archive import decode_answer
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


def fetch_with(routes: dict[str, Answer], *, options: str = "simulator,deadline=2") -> tuple[RawResult, list[str]]:
    """What a fetch of job "a" brings, and the paths that were requested."""

    async def work(backend: RemoteBackend, server: ScriptedServer) -> tuple[RawResult, list[str]]:
        return await backend.fetch("a"), [request.path for request in server.requests]

    return drive(routed(routes), work, options=options)


def failing_fetch(routes: dict[str, Answer]) -> tuple[BackendError, list[str]]:
    """What a fetch of job "a" raises, and the paths that were requested."""

    async def work(backend: RemoteBackend, server: ScriptedServer) -> tuple[BackendError, list[str]]:
        with pytest.raises(BackendError) as caught:
            await backend.fetch("a")
        return caught.value, [request.path for request in server.requests]

    return drive(routed(routes), work)


ARTIFACT = {"id": "probabilities", "format": "ionq.result.probabilities.json.v1", "media_type": "application/json"}


@pytest.mark.parametrize(
    ("results", "path"),
    [
        ({"probabilities": {"url": f"{JOBS}/a/results/probabilities"}}, f"{JOBS}/a/results/probabilities"),
        ({"ionq.result.probabilities.json.v1": ARTIFACT}, f"{JOBS}/a/artifacts/probabilities"),
        (None, f"{JOBS}/a/results/probabilities"),
    ],
)
def test_results_are_kept_verbatim_from_wherever_they_are(results: object, path: str) -> None:
    """The URL, the artifact, or the usual place; every byte of both documents is kept, and they can be read."""
    body = b'{ "0":0.9387912809451864,\n "1":0.06120871905481362 }'
    document = job_document("a", results=results)
    raw, paths = fetch_with({f"GET {JOBS}/a": reply(200, document), f"GET {path}": reply(200, body)})
    assert paths == [f"{JOBS}/a", path]
    assert decode_answer(raw.content)[1] == body
    result = open_ionq("http://127.0.0.1:1").read(request_of(1).shape, raw)
    assert result.blocks[0].counts is not None
    assert result.blocks[0].counts.shots.tolist() == [100]


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/v0.4/x",
        "https://evil.example/v0.4/jobs/a/results/probabilities",
        "//evil.example/v0.4/jobs/a/results/probabilities",
        "/v0.4/../x",
        "/v0.4/jobs/a/../../x",
        "/v0.4/jobs/a/%2e%2e/x",
        "/v0.4/jobs/other/results/probabilities",
        "/v0.4/jobs/a/results/probabilities?token=1",
        "../../x",
        "",
    ],
)
def test_results_elsewhere_are_never_requested(url: str) -> None:
    """Other servers, other jobs and climbing paths: the usual place of this very job is asked, and nothing else."""
    document = job_document("a", results={"probabilities": {"url": url}})
    own = f"{JOBS}/a/results/probabilities"
    _, paths = fetch_with({f"GET {JOBS}/a": reply(200, document), f"GET {own}": reply(200, {"0": 1.0})})
    assert paths == [f"{JOBS}/a", own]


@pytest.mark.parametrize("where", ["id", "child_job_ids", "parent_job_id"])
def test_ids_that_are_paths_are_never_requested(where: str) -> None:
    """A climbing id anywhere in a document makes the document unreadable."""
    value: object = ["../../x"] if where == "child_job_ids" else "../../x"
    error, paths = failing_fetch({f"GET {JOBS}/a": reply(200, {**job_document("a", "failed"), where: value})})
    assert isinstance(error, BusyError)
    assert paths == [f"{JOBS}/a"]


def test_another_job_than_asked_for_is_not_believed() -> None:
    """An answer about job b to a question about job a is asked again."""
    error, _ = failing_fetch({f"GET {JOBS}/a": reply(200, job_document("b"))})
    assert type(error) is BusyError


def test_results_that_are_too_large_are_not_read() -> None:
    """A flood instead of a paid result is no reason to give the result up."""
    bomb = reply(200, gzip.compress(b"{" + b" " * (40 * 2**20)), {"Content-Encoding": "gzip"})
    routes = {f"GET {JOBS}/a": reply(200, job_document("a")), f"GET {JOBS}/a/results/probabilities": bomb}
    error, _ = failing_fetch(routes)
    assert type(error) is BusyError
    assert "larger than 32 MiB" in str(error)


@pytest.mark.parametrize("answer", [not_found(), reply(200, b"<html>wait</html>"), reply(500), reset()])
def test_results_that_are_not_there_yet_are_busy(answer: Answer) -> None:
    """Completed, but the results are not served: asked again, and never taken for lost."""
    routes = {f"GET {JOBS}/a": reply(200, job_document("a")), f"GET {JOBS}/a/results/probabilities": answer}
    assert isinstance(failing_fetch(routes)[0], BusyError)


@pytest.mark.parametrize("status", ["submitted", "ready", "started"])
def test_a_job_that_is_not_over_is_busy(status: str) -> None:
    """Fetched too early."""
    assert type(failing_fetch({f"GET {JOBS}/a": reply(200, job_document("a", status))})[0]) is BusyError


@pytest.mark.parametrize(
    ("status", "code", "is_repeatable"),
    [("failed", "InternalError", True), ("failed", "NotEnoughQubits", False), ("canceled", None, False)],
)
def test_failed_jobs_say_why_and_whether_to_repeat(status: str, code: str | None, is_repeatable: bool) -> None:
    """The provider's reason is in the sentence."""
    failure = {"code": code, "message": "words"} if code else None
    error, _ = failing_fetch({f"GET {JOBS}/a": reply(200, job_document("a", status, failure=failure))})
    assert isinstance(error, JobFailedError)
    assert error.is_repeatable is is_repeatable
    assert (code or "cancelled") in str(error)


def test_a_job_that_is_not_there_is_missing() -> None:
    """IonQ's own 404 on the job itself proves nothing: one server of several may not have heard of it yet."""
    error, _ = failing_fetch({})
    assert isinstance(error, JobMissingError)
    assert "no job a" in str(error)


def family(n_children: int, *, failed: set[int], parent: str, whole: bool) -> tuple[dict[str, Answer], list[str]]:
    """Routes of a multi-circuit job whose children ``failed``; ``whole``: the others' results are served together."""
    ids = [f"c{n}" for n in range(n_children)]
    state = {name: "failed" if n in failed else "completed" for n, name in enumerate(ids)}
    documents = {name: job_document(name, state[name], parent_job_id="a") for name in ids}
    together = {name: {"0": 1.0} for name in ids if state[name] == "completed"}
    own = job_document("a", parent, type="ionq.multi-circuit.v1", child_job_ids=ids)

    def decide(request: Request) -> Answer:
        assert dict(request.query)["parent_job_id"] == "a"
        start = int(dict(request.query).get("next", "0"))
        cursor = str(start + 25) if start + 25 < n_children else None
        return reply(200, page([documents[name] for name in ids[start : start + 25]], cursor))

    routes: dict[str, Answer] = {f"GET {JOBS}/a": reply(200, own), f"GET {JOBS}": decide}  # type: ignore[dict-item]
    routes |= {f"GET {JOBS}/{name}": reply(200, documents[name]) for name in ids}
    if whole:
        routes[f"GET {JOBS}/a/results/probabilities/aggregated"] = reply(200, together)
    routes |= {f"GET {JOBS}/{name}/results/probabilities": reply(200, {"0": 1.0}) for name in together}
    return routes, ids


@pytest.mark.parametrize("whole", [True, False])
def test_failed_children_are_lost_rows_and_the_others_are_kept(whole: bool) -> None:
    """Of 60 circuits two failed: 58 are read, from the common results or one by one, and two may run again."""
    routes, _ = family(60, failed={7, 31}, parent="completed" if whole else "failed", whole=whole)
    raw, paths = fetch_with(routes)
    result = open_ionq("http://127.0.0.1:1").read(request_of(60).shape, raw)
    assert lost_rows(result) == [[7, 31]]
    assert result.blocks[0].n_rows == 58
    assert len(paths) == (4 if whole else 1 + 3 + 58)


def test_all_children_failed_is_a_failed_job() -> None:
    """Nothing of a result is left to keep."""
    routes, _ = family(3, failed={0, 1, 2}, parent="failed", whole=False)
    assert isinstance(failing_fetch(routes)[0], JobFailedError)


@pytest.mark.parametrize("missing", [not_found(), reply(404, b"404: Not Found"), reply(405), reply(410)])
def test_children_are_fetched_where_their_results_are_nowhere_together(missing: Answer) -> None:
    """IonQ's newest protocol has no common results: each circuit is asked for its own, and a failed one is lost."""
    routes, ids = family(30, failed={7}, parent="completed", whole=False)
    routes[f"GET {JOBS}/a/results/probabilities/aggregated"] = missing
    raw, paths = fetch_with(routes)
    result = open_ionq("http://127.0.0.1:1").read(request_of(30).shape, raw)
    assert lost_rows(result) == [[7]]
    assert result.blocks[0].n_rows == 29
    assert len(paths) == 2 + 2 + len(ids) - 1


@pytest.mark.parametrize("gone", ["c1", "c1/results/probabilities"])
def test_children_that_are_not_there_yet_are_busy(gone: str) -> None:
    """Results that are neither together nor with every child are asked for again, and never taken for lost."""
    routes, _ = family(3, failed=set(), parent="completed", whole=False)
    routes[f"GET {JOBS}/{gone}"] = not_found()
    error, _ = failing_fetch(routes)
    assert type(error) is BusyError
    assert "no results of it yet" in str(error)


@pytest.mark.parametrize("nothing", [b"null", b"{}", b"{ }"])
def test_a_failed_child_may_stand_in_the_common_results_without_any(nothing: bytes) -> None:
    """Its own document tells that it failed: one row runs again, and the paid others are kept."""
    routes, ids = family(5, failed={2}, parent="completed", whole=False)
    entries = [b'"%s":%s' % (name.encode(), nothing if n == 2 else b'{"0":1.0}') for n, name in enumerate(ids)]
    routes[f"GET {JOBS}/a/results/probabilities/aggregated"] = reply(200, b"{" + b",".join(entries) + b"}")
    raw, paths = fetch_with(routes)
    result = open_ionq("http://127.0.0.1:1").read(request_of(5).shape, raw)
    assert lost_rows(result) == [[2]]
    assert result.blocks[0].n_rows == 4
    assert paths[2:] == [f"{JOBS}/c2"]


def test_children_are_asked_one_by_one_where_the_list_is_ill() -> None:
    """A list that answers 500 does not keep a run from results that were paid for."""
    routes, ids = family(30, failed={1}, parent="failed", whole=False)
    routes[f"GET {JOBS}"] = reply(500)
    raw, _ = fetch_with(routes)
    assert len(decode_answer(raw.content)) == 1 + 2 * len(ids)


def test_a_list_that_ignores_the_parent_is_not_read_to_its_end() -> None:
    """The children are then asked for one by one."""
    routes, ids = family(30, failed={1}, parent="failed", whole=False)
    others = [job_document(f"other{n}") for n in range(25)]
    routes[f"GET {JOBS}"] = reply(200, page(others, "more"))
    raw, paths = fetch_with(routes)
    assert paths.count(JOBS) == 1
    assert len(decode_answer(raw.content)) == 1 + 2 * len(ids)


def test_a_child_whose_results_are_missing_is_asked_again() -> None:
    """It did not fail, so it is not lost: a paid result is not thrown away."""
    routes, _ = family(3, failed={1}, parent="failed", whole=False)
    routes[f"GET {JOBS}/c2/results/probabilities"] = not_found()
    assert type(failing_fetch(routes)[0]) is BusyError


def cancel_with(routes: dict[str, Answer], job_id: str = "a") -> list[str]:
    """The requests of a cancellation."""

    async def work(backend: RemoteBackend, server: ScriptedServer) -> list[str]:
        await backend.cancel(job_id)
        return [f"{request.method} {request.path}" for request in server.requests]

    return drive(routed(routes), work)


@pytest.mark.parametrize("answer", [reply(200, {"id": "a", "status": "canceled"}), not_found(), reply(409), reply(400)])
def test_a_waiting_job_is_cancelled(answer: Answer) -> None:
    """One PUT, and no matter whether the job ended in between."""
    routes = {f"GET {JOBS}/a": reply(200, job_document("a", "ready")), f"PUT {JOBS}/a/status/cancel": answer}
    assert cancel_with(routes) == [f"GET {JOBS}/a", f"PUT {JOBS}/a/status/cancel"]


@pytest.mark.parametrize("status", ["completed", "failed", "canceled"])
def test_a_job_that_is_over_is_never_cancelled(status: str) -> None:
    """IonQ would turn a paid, completed job into a cancelled one."""
    assert cancel_with({f"GET {JOBS}/a": reply(200, job_document("a", status))}) == [f"GET {JOBS}/a"]


def test_cancelling_what_is_not_there_is_harmless() -> None:
    """Unknown ids, and what cannot be one."""
    assert cancel_with({}) == [f"GET {JOBS}/a"]
    assert cancel_with({}, "no such job/../x") == []


def machine(status: str = "available", **more: object) -> dict[str, object]:
    """``GET /backends/qpu.forte-1``."""
    base = {"backend": "qpu.forte-1", "status": status, "qubits": 30, "average_queue_time": 4000}
    return {**base, "characterization_id": "c-1", **more}


def open_machine(document: object) -> tuple[bytes, int, bool]:
    """Context, qubits and availability of a machine that describes itself so."""

    async def work(backend: IonqBackend, server: ScriptedServer) -> tuple[bytes, int, bool]:
        await backend.open()
        gates = request_of(1).blocks[0].gates
        return backend.context(gates), backend.capabilities.max_qubits, (await backend.availability()).is_open

    return drive(routed({"GET /v0.4/backends/qpu.forte-1": reply(200, document)}), work, options="qpu.forte-1")


def test_a_machine_tells_its_qubits_and_calibration_when_it_is_opened() -> None:
    """Another calibration is another context; a closed machine can be opened, and says that it is closed."""
    first, n_qubits, is_open = open_machine(machine())
    assert (n_qubits, is_open) == (30, True)
    assert open_machine(machine())[0] == first
    assert open_machine(machine(characterization_id="c-2"))[0] != first
    assert open_machine(machine("unavailable"))[1:] == (30, False)


def test_a_recalibration_seen_in_the_middle_changes_the_context() -> None:
    """From the next look at the machine on; one that says nothing of its calibration changes nothing."""
    seen = ["c-1", "c-2", None, "c-1"]
    documents = [machine(characterization_id=name) for name in seen]

    def decide(request: Request) -> Answer:
        return reply(200, documents.pop(0))

    async def work(backend: IonqBackend, server: ScriptedServer) -> list[bytes]:
        gates = request_of(1).blocks[0].gates
        await backend.open()
        contexts = [backend.context(gates)]
        for _ in seen[1:]:
            await backend.availability()
            contexts.append(backend.context(gates))
        return contexts

    first, second, third, fourth = drive(
        routed({"GET /v0.4/backends/qpu.forte-1": decide}), work, options="qpu.forte-1"
    )
    assert first != second == third
    assert fourth == first


@pytest.mark.parametrize(
    ("listing", "kind"), [(reply(503), BusyError), (reply(200, [machine() | {"backend": "other"}]), UnknownNameError)]
)
def test_a_machine_that_is_not_described_is_not_opened(listing: Answer, kind: type[Exception]) -> None:
    """Without its calibration no context is known; a machine that does not exist is named."""

    async def work(backend: IonqBackend, server: ScriptedServer) -> None:
        with pytest.raises(kind):
            await backend.open()

    drive(routed({"GET /v0.4/backends": listing}), work, options="qpu.forte-1,deadline=2")


@pytest.mark.parametrize(("listing", "n_qubits"), [(reply(200, [machine(qubits=11)]), 11), (reply(405), QPU_QUBITS)])
def test_servers_that_describe_machines_otherwise_are_usable(listing: Answer, n_qubits: int) -> None:
    """By the list alone; or not at all, and then it is as large as any, and open."""

    async def work(backend: IonqBackend, server: ScriptedServer) -> tuple[int, bool]:
        await backend.open()
        return backend.capabilities.max_qubits, (await backend.availability()).is_open

    assert drive(routed({"GET /v0.4/backends": listing}), work, options="qpu.forte-1") == (n_qubits, True)


def test_the_simulator_opens_without_a_question() -> None:
    """Nothing about it changes."""

    async def work(backend: IonqBackend, server: ScriptedServer) -> int:
        await backend.open()
        return len(server.requests)

    assert drive(lambda request: reset(), work) == 0
