"""Where jobs are and which are ours: asked of the emulator one by one, by the list, and by tags."""

import asyncio
import datetime
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from ibm_bench import IbmBench, opened
from ibm_client import CRN, LONG_AGO, TOKEN, asked, connected, document, key_of, scripted, watch_of
from scripted_server import Request, ScriptedServer, reply, reset

from qorch.errors import (
    BusyError,
    InvalidResultError,
    JobMissingError,
    UnknownOutcomeError,
)
from qorch.model.job import RemoteState
from qorch.model.label import JobLabel
from qorch.ports.clock import WallClock
from qorch_providers.ibm.jobs.collection import ResultCollector
from qorch_providers.ibm.jobs.memory import JobMemory
from qorch_providers.ibm.jobs.search import MOST_TAGS, JobSearch
from qorch_providers.ibm.jobs.status import MOST_GETS
from qorch_providers.ibm.labels import tags_of
from qorch_providers.ibm.wire.client import PAGE_JOBS, IbmClient


@pytest.fixture
def bench() -> Iterator[IbmBench]:
    """An emulator whose jobs stay in the queue."""
    with opened(faults="post:stuck") as made:
        yield made


def test_a_few_jobs_are_asked_after_one_by_one(bench: IbmBench) -> None:
    """With key, label and times; what IBM does not know is missing."""
    label = JobLabel("job-1", "0:0-2", "ab" * 32, "cd" * 32)
    ids = [bench.submit(tags=tags_of(key_of(number), label)) for number in range(3)]

    async def work(client: IbmClient) -> None:
        found = await watch_of(client).poll([*ids, "d000", "no/id"])
        assert found.keys() == set(ids)
        first = found[ids[0]]
        assert (first.state, first.key, first.label) == (RemoteState.QUEUED, key_of(0), label)
        assert first.submitted_at is not None
        assert first.started_at is None
        # Of five, which are more than a few, none is known to be listed since a time.
        assert client.calls == {"poll": 4}

    asked(bench, work)


def test_many_jobs_are_asked_after_by_the_list(bench: IbmBench) -> None:
    """One page instead of 30 GETs, once it is known since when they are there."""
    ids = [bench.submit(tags=tags_of(key_of(number), None)) for number in range(30)]

    async def work(client: IbmClient) -> None:
        memory = JobMemory()
        watch = watch_of(client, memory)
        assert (await watch.poll(ids)).keys() == set(ids)
        assert client.calls == {"poll": 30}
        found = await watch.poll(ids)
        assert client.calls == {"poll": 31}
        assert [found[job_id].key for job_id in ids] == [key_of(number) for number in range(30)]

    asked(bench, work)


def test_a_job_that_is_over_has_its_times() -> None:
    """From its metrics, which are asked for once it is over; if they are lost, only a report lacks them."""
    with opened() as bench:
        job_id = bench.submit()
        bench.wait(job_id)

        async def work(client: IbmClient) -> None:
            status = (await watch_of(client).poll([job_id]))[job_id]
            assert status.state is RemoteState.DONE
            assert status.submitted_at is not None
            assert status.started_at is not None
            assert status.ended_at is not None
            assert status.submitted_at <= status.started_at <= status.ended_at
            bench.emulator.set_faults("metrics:500-before")
            later = (await watch_of(client).poll([job_id]))[job_id]
            assert (later.state, later.started_at) == (RemoteState.DONE, None)

        asked(bench, work)


@pytest.mark.parametrize("n_keys", [3, MOST_TAGS + 1])
def test_jobs_are_found_by_their_tags(bench: IbmBench, n_keys: int) -> None:
    """A few one by one, many in the list of all; those that were made before the time are not looked for."""
    ids = [bench.submit(tags=tags_of(key_of(number), None)) for number in range(n_keys)]
    bench.submit(tags=["somebody's"])
    keys = [*(key_of(number) for number in range(n_keys)), "f" * 64]

    async def work(client: IbmClient) -> None:
        search = JobSearch(client, clock=WallClock())
        assert await search.find(keys, since=LONG_AGO) == dict(zip(keys, ids, strict=False))
        assert client.calls["find"] == (4 if n_keys == 3 else 1)
        late = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
        assert await search.find(keys, since=late) == {}

    asked(bench, work)


def test_two_jobs_with_one_key_are_nobodys(bench: IbmBench) -> None:
    """It is not known which of them is the right one, so neither is taken."""
    for _ in range(2):
        bench.submit(tags=tags_of(key_of(1), None))

    async def work(client: IbmClient) -> None:
        with pytest.raises(UnknownOutcomeError, match="2 jobs at IBM Quantum have the key"):
            await JobSearch(client, clock=WallClock()).find([key_of(1)], since=LONG_AGO)

    asked(bench, work)


def listed(jobs: Sequence[dict[str, Any]], *, says_count: bool = True) -> Callable[[Request], Any]:
    """A list that ignores all filters, and gives out pages of ten only."""

    def answer(request: Request) -> Any:
        offset = int(dict(request.query)["offset"])
        page = {"jobs": jobs[offset : offset + 10], "offset": offset}
        return reply(200, page | ({"count": len(jobs)} if says_count else {}))

    return answer


@pytest.mark.parametrize("says_count", [True, False])
def test_a_list_without_filters_is_read_to_its_end(says_count: bool) -> None:
    """Whatever the server makes of tags and of the size of a page, our job is found and no other is taken for it."""
    jobs = [document(number, minutes=number) for number in range(35)]

    async def work(client: IbmClient) -> None:
        search = JobSearch(client, clock=WallClock())
        assert await search.find([key_of(33), "f" * 64], since=LONG_AGO) == {key_of(33): "d33"}
        assert client.calls["find"] == (8 if says_count else 10)

    scripted(listed(jobs, says_count=says_count), work)


def test_a_list_that_counts_the_jobs_of_a_page_is_read_to_its_end() -> None:
    """No paid job is overlooked behind a full page, whatever the count means."""
    jobs = [document(number, minutes=number) for number in range(2 * PAGE_JOBS + 1)]

    def answer(request: Request) -> Any:
        offset = int(dict(request.query)["offset"])
        page = jobs[offset : offset + PAGE_JOBS]
        return reply(200, {"jobs": page, "count": len(page)})

    async def work(client: IbmClient) -> None:
        found = await JobSearch(client, clock=WallClock()).list_keys(since=LONG_AGO, known=())
        assert len(found) == len(jobs)
        assert client.calls["look"] == 3

    scripted(answer, work)


def test_the_list_of_keys_ends_at_a_known_job() -> None:
    """If it runs from new to old; if not, or if its jobs have no dates, all of it is read."""
    jobs = [document(number, minutes=number) for number in range(35)]
    mixed = [*jobs[20:], *jobs[:20]]

    async def work(client: IbmClient) -> dict[str, Any]:
        found = await JobSearch(client, clock=WallClock()).list_keys(since=LONG_AGO, known=["d12"])
        return {"found": found, "calls": client.calls["look"]}

    ordered = scripted(listed(jobs), work)
    assert scripted(listed([job | {"created": None} for job in jobs]), work)["calls"] == 4
    assert ordered["calls"] == 2
    assert ordered["found"] == {key_of(number): f"job-{number}" for number in range(20)}
    assert scripted(listed(mixed), work)["calls"] == 4


@pytest.mark.parametrize("trouble", [reset(), reply(503), reply(429, b"", {"Retry-After": "1"}), reply(200, b"<html>")])
def test_a_search_that_lost_an_answer_goes_on_at_its_page(trouble: Any) -> None:
    """Else one of many pages would hardly ever end on a network or a server that fails every second time."""
    jobs = [document(number, minutes=number) for number in range(35)]
    pages = listed(jobs)
    offsets: list[int] = []

    def answer(request: Request) -> Any:
        offsets.append(int(dict(request.query)["offset"]))
        return trouble if len(offsets) % 2 == 0 else pages(request)

    async def work(client: IbmClient) -> None:
        search = JobSearch(client, clock=WallClock())
        for _ in range(3):
            with pytest.raises(BusyError):
                await search.list_keys(since=LONG_AGO, known=())
            assert search.was_moving
        assert len(await search.list_keys(since=LONG_AGO, known=())) == 35

    scripted(answer, work)
    assert offsets == [0, 10, 10, 20, 20, 30, 30]


def test_a_short_search_between_does_not_undo_a_long_one() -> None:
    """Jobs of a run are looked for by their keys while the list of all its jobs is read, and either may fail."""
    pages = listed([document(number, minutes=number) for number in range(35)])
    offsets: list[int] = []
    fails = iter([False, False, True, True, False])

    def answer(request: Request) -> Any:
        query = dict(request.query)
        if "tags" not in query:
            offsets.append(int(query["offset"]))
        return reply(503) if next(fails, False) else pages(request)

    async def work(client: IbmClient) -> None:
        search = JobSearch(client, clock=WallClock())
        with pytest.raises(BusyError):
            await search.list_keys(since=LONG_AGO, known=())
        with pytest.raises(BusyError):
            await search.find([key_of(1)], since=LONG_AGO)
        assert await search.find([key_of(1)], since=LONG_AGO) == {key_of(1): "d1"}
        assert len(await search.list_keys(since=LONG_AGO, known=())) == 35

    scripted(answer, work)
    assert offsets == [0, 10, 20, 20, 30]


def test_a_list_that_cannot_be_read_is_busy() -> None:
    """Nothing is said of any job."""
    bodies = (b"<html>", b"{}", b'{"jobs": [{"status": "Queued"}]}', b'{"jobs": [{"id": "a/b", "status": "Queued"}]}')

    for body in bodies:

        async def work(client: IbmClient) -> None:
            with pytest.raises(BusyError, match="cannot be read"):
                await JobSearch(client, clock=WallClock()).find([key_of(1)], since=LONG_AGO)

        scripted(lambda request, body=body: reply(200, body), work)


@pytest.mark.parametrize(
    ("job", "state", "repeats"),
    [
        (document(1, status="Running"), RemoteState.RUNNING, False),
        (document(1, status="completed"), RemoteState.DONE, False),
        (document(1, status="Paused for tea"), RemoteState.RUNNING, False),
        (document(1, status="Cancelled"), RemoteState.CANCELLED, False),
        (document(1, status="Cancelled - Ran too long"), RemoteState.FAILED, False),
        (document(1, state={"status": "Cancelled", "reason_code": 1305}), RemoteState.FAILED, False),
        (document(1, state={"status": "Cancelled", "reasonCode": "1305"}), RemoteState.FAILED, False),
        (document(1, state={"status": "Completed", "reason_code": 1305}), RemoteState.DONE, False),
        (document(1, state={"status": "Failed", "reason": "x", "reason_code": 1517}), RemoteState.FAILED, False),
        (document(1, state={"status": "Failed", "reason_code": 9999},
                  usage={"qpu_charge_time_seconds": 0, "status": "complete"}), RemoteState.FAILED, True),
        (document(1, state={"status": "Failed", "reason_code": 9999},
                  usage={"qpu_charge_time_seconds": 2, "status": "complete"}), RemoteState.FAILED, False),
        (document(1, state={"status": "Failed", "reason_code": 9999},
                  usage={"qpu_charge_time_seconds": 0, "status": "pending"}), RemoteState.RUNNING, False),
        ({"id": "d1", "status": "Queued", "tags": 7, "created": 3, "usage": "x", "state": []}, RemoteState.QUEUED,
         False),
    ],
)  # fmt: skip
def test_states_are_read_in_every_form(job: dict[str, Any], state: RemoteState, repeats: bool) -> None:
    """What is not known counts as running; a field of another kind breaks nothing."""

    def answer(request: Request) -> Any:
        return reply(200, {"timestamps": None} if request.path.endswith("/metrics") else job)

    async def work(client: IbmClient) -> None:
        status = (await watch_of(client).poll(["d1"]))["d1"]
        assert (status.state, status.is_repeatable) == (state, repeats)
        assert (status.error is not None) is (state is RemoteState.FAILED)

    scripted(answer, work)


def test_results_that_lag_are_waited_for() -> None:
    """For the settle time; then the job is held. A job that is gone is missing."""
    gone = reply(404, {"errors": [{"code": 1291, "message": "Job not found"}]})
    answers: dict[str, Any] = {"": reply(200, document(1, status="Completed")), "/results": reply(204)}

    async def work(client: IbmClient) -> None:
        def collector(settle_seconds: float) -> ResultCollector:
            memory = JobMemory()
            return ResultCollector(client, memory, clock=WallClock(), settle_seconds=settle_seconds, max_seconds=600)

        with pytest.raises(BusyError, match="has no results yet"):
            await collector(60.0).collect("d1")
        late = collector(0.01)
        with pytest.raises(BusyError):
            await late.collect("d1")
        await asyncio.sleep(0.02)
        with pytest.raises(InvalidResultError, match="has no results of it"):
            await late.collect("d1")
        answers["/results"] = gone
        with pytest.raises(BusyError, match="has no results yet"):
            await collector(60.0).collect("d1")
        answers[""] = gone
        with pytest.raises(JobMissingError, match="has no job d1"):
            await collector(60.0).collect("d1")
        answers.update({"": reply(200, document(1, status="Completed")), "/results": reply(200, b"verbatim")})
        assert await collector(60.0).collect("d1") == b"verbatim"

    scripted(lambda request: answers[request.path.removeprefix("/experimental/api/v1/jobs/d1")], work)


def test_an_answer_about_another_job_is_not_believed() -> None:
    """A cache in between may mix answers up."""

    async def work(client: IbmClient) -> None:
        with pytest.raises(BusyError, match="answered with d2"):
            await watch_of(client).poll(["d1"])

    scripted(lambda request: reply(200, document(2)), work)


def test_what_a_call_carries_is_the_clients() -> None:
    """The instance, the version of the API and the token; the key goes to IAM alone, as a form."""
    seen: list[Request] = []

    async def main() -> None:
        def serve(request: Request) -> Any:
            seen.append(request)
            return TOKEN if request.path == "/identity/token" else reply(200, document(1))

        async with ScriptedServer(serve) as server, connected(server.url, CRN) as client:
            await client.job("d1", purpose="poll")

    asyncio.run(main())
    token, job = seen
    assert token.body.startswith(b"grant_type=urn%3Aibm%3Aparams%3Aoauth%3Agrant-type%3Aapikey&apikey=emulator")
    assert token.headers["content-type"] == "application/x-www-form-urlencoded"
    assert job.headers["service-crn"] == CRN
    assert job.headers["ibm-api-version"] == "2026-04-15"
    assert job.headers["authorization"] == "Bearer a-token-of-iam"
    assert "emulator" not in json.dumps(dict(job.headers))
    assert job.target == "/experimental/api/v1/jobs/d1?exclude_params=true"


def test_pages_are_as_large_as_ibm_allows() -> None:
    """Two hundred jobs."""
    assert PAGE_JOBS == 200
    assert MOST_GETS < MOST_TAGS
