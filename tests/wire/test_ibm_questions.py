"""Where jobs are and which are ours: asked of the emulator one by one, by the list, and by tags."""

import asyncio
import datetime
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from ibm_bench import IbmBench, opened
from ibm_circuits import documents
from ibm_vendor import environment
from scripted_server import Request, ScriptedServer, reply, reset

from qorch.errors import (
    BusyError,
    InvalidResultError,
    JobMissingError,
    RejectedError,
    UnknownNameError,
    UnknownOutcomeError,
)
from qorch.model.job import RemoteState
from qorch.model.label import JobLabel
from qorch.ports.clock import WallClock
from qorch_providers.ibm.access import read_access
from qorch_providers.ibm.connection import Connector
from qorch_providers.ibm.device_watch import DeviceWatch
from qorch_providers.ibm.jobs.collection import ResultCollector
from qorch_providers.ibm.jobs.memory import JobMemory
from qorch_providers.ibm.jobs.search import MOST_TAGS, JobSearch
from qorch_providers.ibm.jobs.status import AT_ONCE, MOST_GETS, JobWatch
from qorch_providers.ibm.labels import tags_of
from qorch_providers.ibm.options import parse_options
from qorch_providers.ibm.wire.client import PAGE_JOBS, IbmClient
from qorch_providers.ibm.wire.documents import decode_state

LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
CRN = "crn:v1:bluemix:public:quantum-computing:us-east:a/1:2::"
TOKEN = reply(200, {"access_token": "a-token-of-iam", "expires_in": 3600})


def key_of(number: int) -> str:
    """A key of 64 digits."""
    return f"{number:064x}"


@pytest.fixture
def bench() -> Iterator[IbmBench]:
    """An emulator whose jobs stay in the queue."""
    with opened(faults="post:stuck") as made:
        yield made


@asynccontextmanager
async def connected(root: str, crn: str) -> AsyncIterator[IbmClient]:
    """A client of an instance."""
    options = parse_options(f"ibm_lagos,instance={crn}")
    connector = Connector(read_access(environment(root), options), options, clock=WallClock())
    try:
        yield await connector.connect()
    finally:
        await connector.close()


def asked(bench: IbmBench, work: Callable[[IbmClient], Any]) -> Any:
    """Run with a client of the emulator."""

    async def main() -> Any:
        async with connected(bench.emulator.root, bench.emulator.crns["first"]) as client:
            return await work(client)

    return asyncio.run(main())


def scripted(answer: Callable[[Request], Any], work: Callable[[IbmClient], Any]) -> Any:
    """Run with a client of a server that answers like this, once it has its token."""

    async def main() -> Any:
        def serve(request: Request) -> Any:
            return TOKEN if request.path == "/identity/token" else answer(request)

        async with ScriptedServer(serve) as server, connected(server.url, CRN) as client:
            return await work(client)

    return asyncio.run(main())


def watch_of(client: IbmClient, memory: JobMemory | None = None, *, settle_seconds: float = 1.0) -> JobWatch:
    """What polls."""
    memory = memory or JobMemory()
    return JobWatch(client, memory, clock=WallClock(), settle_seconds=settle_seconds, max_seconds=600)


def document(number: int, *, status: str = "Queued", minutes: float = 0.0, **fields: Any) -> dict[str, Any]:
    """A job in IBM's words, made so many minutes before a time."""
    made = datetime.datetime(2026, 11, 30, 12, tzinfo=datetime.UTC) - datetime.timedelta(minutes=minutes)
    return {"id": f"d{number}", "state": {"status": status}, "status": status, "created": made.isoformat(),
            "tags": tags_of(key_of(number), JobLabel(f"job-{number}"))} | fields  # fmt: skip


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


def test_a_poll_of_many_jobs_that_loses_an_answer_asks_for_the_others_by_the_list() -> None:
    """What it saw is not asked for one by one again: else many jobs would hardly ever be polled on a bad network."""
    jobs = {f"d{number}": document(number) for number in range(40)}
    is_lost = True

    def answer(request: Request) -> Any:
        nonlocal is_lost
        job_id = request.path.rpartition("/")[2]
        if job_id == "jobs":
            return reply(200, {"jobs": list(jobs.values()), "count": len(jobs)})
        if job_id == "d30" and is_lost:
            is_lost = False
            return reply(503)
        return reply(200, jobs[job_id])

    async def work(client: IbmClient) -> None:
        watch = watch_of(client)
        with pytest.raises(BusyError):
            await watch.poll(list(jobs))
        before = client.calls["poll"]
        assert (await watch.poll(list(jobs))).keys() == jobs.keys()
        assert client.calls["poll"] - before <= 1 + 40 - (30 - AT_ONCE)

    scripted(answer, work)


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


def test_a_key_that_may_not_read_metrics_can_be_used() -> None:
    """An access policy may leave them out: the job is over all the same, and its results are fetched."""
    refused = reply(403, {"errors": [{"code": 1200, "message": "You are not authorized to perform this action."}]})

    async def work(client: IbmClient) -> None:
        status = (await watch_of(client).poll(["d1"]))["d1"]
        assert (status.state, status.started_at) == (RemoteState.DONE, None)

    job = reply(200, document(1, status="Completed"))
    scripted(lambda request: refused if request.path.endswith("/metrics") else job, work)


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


def test_a_failure_is_told_with_what_ibm_advises() -> None:
    """Its reason, the next step, and the number by which IBM's documentation is searched."""
    told = {"status": "Failed", "reason": "The QPU rz is not calibrated.", "reason_solution": "Choose another device."}

    async def work(client: IbmClient) -> None:
        status = (await watch_of(client).poll(["d1"]))["d1"]
        assert status.error == "The QPU rz is not calibrated. Choose another device. (code 1517)"

    job = reply(200, document(1, state=told | {"reason_code": 1517}))
    scripted(lambda request: reply(200, {}) if request.path.endswith("/metrics") else job, work)


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


def test_a_backend_that_is_closed_while_its_instance_is_searched_stays_closed() -> None:
    """No connection is opened that nobody closes."""

    async def main() -> None:
        is_asked, may_answer = asyncio.Event(), asyncio.Event()

        async def answer_late(writer: asyncio.StreamWriter) -> None:
            is_asked.set()
            await may_answer.wait()
            await reply(200, {"items": [{"crn": CRN, "name": "first"}]})(writer)

        async with ScriptedServer(lambda request: TOKEN if "identity" in request.path else answer_late) as server:
            options = parse_options("ibm_lagos")
            connector = Connector(read_access(environment(server.url), options), options, clock=WallClock())
            connecting = asyncio.create_task(connector.connect())
            await is_asked.wait()
            await connector.close()
            may_answer.set()
            with pytest.raises(RejectedError, match="is closed"):
                await connecting

    asyncio.run(asyncio.wait_for(main(), 60))


def test_pages_are_as_large_as_ibm_allows() -> None:
    """Two hundred jobs."""
    assert PAGE_JOBS == 200
    assert MOST_GETS < MOST_TAGS


@pytest.mark.parametrize(("status", "error"), [(200, None), (400, None), (404, None), (503, BusyError)])
def test_a_list_that_does_not_know_a_device_has_no_jobs_of_it(status: int, error: type[BusyError] | None) -> None:
    """So that a name which is mistyped is told as such; a server's error says nothing, and is waited for."""
    answer = {"jobs": [], "count": 0} if status == 200 else {"errors": [{"code": 1007, "message": "not found"}]}

    async def work(client: IbmClient) -> None:
        if error is None:
            assert not await client.has_jobs("ibm_fex")
            return
        with pytest.raises(error):
            await client.has_jobs("ibm_fex")

    scripted(lambda request: reply(status, answer), work)


@pytest.mark.parametrize(
    ("document", "is_active", "waiting"),
    [
        ({"state": True, "status": "active", "length_queue": 3, "message": "available"}, True, 3),
        ({"state": True, "status": "internal", "length_queue": 3}, False, 3),
        ({"state": False, "status": "active", "length_queue": 0}, False, 0),
        ({"status": "active", "length_queue": 0}, True, 0),
        ({"status": "maintenance", "length_queue": 0}, False, 0),
        ({"length_queue": 7}, True, 7),
        ({"state": True, "length_queue": None}, True, None),
    ],
)
def test_a_devices_state_may_be_told_in_part(document: dict[str, Any], is_active: bool, waiting: int | None) -> None:
    """IBM's specification requires the length of the queue only; what is not told does not close a device."""
    found = decode_state(json.dumps(document).encode())
    assert (found.is_active, found.waiting) == (is_active, waiting)


@pytest.mark.parametrize("body", [b"{}", b"[]", b"<html>", b'{"state": "true"}'])
def test_what_is_no_state_of_a_device_is_asked_again(body: bytes) -> None:
    """Such as a page of a gateway."""
    with pytest.raises(InvalidResultError):
        decode_state(body)


def test_a_device_that_was_away_is_there_again() -> None:
    """A device that IBM did not know for a while is used again as soon as it is listed: no run waits for ever."""
    configuration, properties = documents("lagos")
    answers = {"configuration": configuration, "properties": properties, "status": {"state": True, "status": "active"}}
    is_away = False

    def serve(request: Request) -> Any:
        name = request.path.rpartition("/")[2]
        if name == "backends":
            return reply(200, {"devices": []})
        return reply(404, {"errors": [{"code": 1007}]}) if is_away else reply(200, answers[name])

    async def work(client: IbmClient) -> None:
        async def connect() -> IbmClient:
            return client

        nonlocal is_away
        watch = DeviceWatch(connect, parse_options("ibm_lagos"), clock=WallClock())
        seen = await watch.look()
        is_away = True
        with pytest.raises(UnknownNameError, match="no device ibm_lagos, or not any more"):
            await watch.look()
        with pytest.raises(UnknownNameError):
            _ = watch.device
        is_away = False
        assert (await watch.look()).device is watch.device is seen.device

    scripted(serve, work)
