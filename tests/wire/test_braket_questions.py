"""Where tasks are and which are ours: asked of the emulator one by one, by the search, and by keys."""

import asyncio
import datetime
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from braket_access import BraketAccess, connected
from braket_bench import BUCKET, GARNET, SV1, BraketBench, opened, program, program_set
from scripted_server import Request, ScriptedServer, reply, reset

from qorch.errors import BusyError, CredentialsError, InvalidResultError, UnknownOutcomeError, UnreachableError
from qorch.model.job import RemoteState
from qorch.model.label import JobLabel
from qorch.ports.clock import WallClock
from qorch_providers.braket.labels import tags_of
from qorch_providers.braket.tasks.search import MOST_FAILURES, SKEW, TaskSearch
from qorch_providers.braket.tasks.status import MOST_GETS, MOST_SPARED_GETS, SHOWN_POSITIONS, look_up, read_status
from qorch_providers.braket.wire.client import PAGE_TASKS, SearchFilter
from qorch_providers.braket.wire.documents import decode_task

LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


def key_of(number: int) -> str:
    """A key of 64 digits."""
    return f"{number:064x}"


@pytest.fixture
def bench() -> Iterator[BraketBench]:
    """An emulator whose tasks stay in the queue."""
    with opened(faults="post:stuck", quotas="", concurrent=10_000) as made:
        yield made


async def _statuses(access: BraketAccess, arns: Sequence[str]) -> dict[str, Any]:
    return await look_up(access.client, access.memory, arns, device_arn=SV1)


def test_a_few_tasks_are_asked_after_one_by_one(bench: BraketBench) -> None:
    """With key, label, times and place in the queue; what Braket does not know is missing."""
    label = JobLabel("job-1", "0:0-2", "ab" * 32, "cd" * 32)
    arns = [bench.create(tags=tags_of(key_of(number), label)) for number in range(3)]
    absent = arns[0].rpartition("/")[0] + "/11111111-2222-3333-4444-555555555555"

    async def main() -> None:
        async with connected(bench.emulator.environment) as access:
            found = await _statuses(access, [*arns, absent, "no-arn", "arn:aws:s3:::x"])
            assert found.keys() == set(arns)
            statuses = [read_status(found[arn]) for arn in arns]
            assert [status.queue_position for status in statuses] == [1, 2, 3]
            assert [status.key for status in statuses] == [key_of(number) for number in range(3)]
            first = statuses[0]
            assert first.state is RemoteState.QUEUED
            assert first.submitted_at is not None
            assert first.started_at is None
            assert first.label == JobLabel("job-1", "0:0-2", "ab" * 32, "cd" * 32, n_rows=1, shots=100)
            assert access.client.calls == {"poll": 4}

    asyncio.run(main())


def test_many_tasks_are_asked_after_a_hundred_at_a_time(bench: BraketBench) -> None:
    """One page instead of 60 GETs once it is known since when they are there; the oldest show their place."""
    arns = [bench.create(tags=tags_of(key_of(number), None)) for number in range(60)]

    async def main() -> None:
        async with connected(bench.emulator.environment) as access:
            for arn in arns:
                access.memory.note_accepted(arn, datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=1))
            found = await _statuses(access, arns)
            assert found.keys() == set(arns)
            assert access.client.calls == {"poll": 1 + SHOWN_POSITIONS}
            positions = [read_status(found[arn]).queue_position for arn in arns]
            assert positions == [1, 2, 3, 4] + [None] * 56
            assert [read_status(found[arn]).key for arn in arns] == [key_of(number) for number in range(60)]

    asyncio.run(main())


def test_tasks_of_others_in_between_do_not_make_the_search_dearer_than_asking(bench: BraketBench) -> None:
    """After as many pages as the GETs would have cost it stops; the rest is asked after one by one."""
    first = bench.create()
    for _ in range(3 * PAGE_TASKS):
        bench.create()
    late = [bench.create() for _ in range(MOST_GETS)]

    async def main() -> None:
        async with connected(bench.emulator.environment) as access:
            for arn in (first, *late):
                access.memory.note_accepted(arn, LONG_AGO)
            assert (await _statuses(access, [first, *late])).keys() == {first, *late}
            # One page shows all but the first, which is then asked after by itself.
            assert access.client.calls == {"poll": 1 + 1 + SHOWN_POSITIONS}

    asyncio.run(main())


def test_unknown_times_are_learned_by_asking(bench: BraketBench) -> None:
    """Tasks that an earlier process made are asked after one by one once, and by the search from then on."""
    arns = [bench.create() for _ in range(30)]

    async def main() -> None:
        async with connected(bench.emulator.environment) as access:
            await _statuses(access, arns)
            assert access.client.calls == {"poll": 30}
            await _statuses(access, arns)
            assert access.client.calls == {"poll": 30 + 1 + SHOWN_POSITIONS}

    asyncio.run(main())


def test_tasks_that_run_are_asked_after_together() -> None:
    """One search instead of a GET each, as long as the quota has searches to spare."""
    with opened(quotas="", execute="600") as bench:
        arns = [bench.create() for _ in range(5)]

        async def main() -> None:
            async with connected(bench.emulator.environment) as access:

                async def count(wanted: Sequence[str]) -> int:
                    before = access.client.calls["poll"]
                    found = await _statuses(access, wanted)
                    assert {read_status(found[arn]).state for arn in wanted} == {RemoteState.RUNNING}
                    return access.client.calls["poll"] - before

                assert [await count(arns), await count(arns), await count(arns[:MOST_SPARED_GETS])] == [5, 1, 2]
                while access.client.has_spare_searches:
                    await access.client.search([SearchFilter("deviceArn", "EQUAL", SV1)], purpose="find")
                assert await count(arns) == 5

        asyncio.run(main())


def test_tasks_that_wait_keep_their_place(bench: BraketBench) -> None:
    """If a few are asked after by the search, as most of them run, each that waits is asked for its place."""
    arns = [bench.create() for _ in range(6)]

    async def main() -> None:
        async with connected(bench.emulator.environment) as access:
            for task in (await _statuses(access, arns)).values():
                access.memory.note_seen(replace(task, status="RUNNING"))
            found = await _statuses(access, arns)
            assert [read_status(found[arn]).queue_position for arn in arns] == [1, 2, 3, 4, 5, 6]
            assert access.client.calls == {"poll": 6 + 1 + 6}

    asyncio.run(main())


def test_what_is_over_is_asked_after_by_itself_also_after_a_search() -> None:
    """Lists have no reason of a failure and no number of shots; nothing of what failed is charged."""
    with opened(quotas="", faults="post:failure@1") as bench:
        arns = [bench.create() for _ in range(25)]
        for arn in arns:
            bench.wait(arn)

        async def main() -> None:
            async with connected(bench.emulator.environment) as access:
                for arn in arns:
                    access.memory.note_accepted(arn, LONG_AGO)
                found = await _statuses(access, arns)
                failed = read_status(found[arns[0]])
                assert failed.state is RemoteState.FAILED
                assert failed.error == "the emulator was told to let this fail"
                assert failed.is_repeatable
                assert failed.ended_at is not None
                assert {read_status(found[arn]).state for arn in arns[1:]} == {RemoteState.DONE}
                assert access.client.calls == {"poll": 1 + 25}
                assert all(access.memory.completed(arn) is found[arn] for arn in arns[1:])
                assert {found[arn].successful_shots for arn in arns[1:]} == {100}

        asyncio.run(main())


@pytest.mark.parametrize(
    ("reason", "is_repeatable"),
    [
        ("Internal service error", True),
        ("The device went offline for calibration", True),
        ("", True),
        ("The program is invalid: unsupported gate", False),
        ("Simulation exceeds the maximum of 34 qubits", False),
        ("Caller has no access to the bucket", False),
        ("The task timed out", False),
    ],
)
def test_failures_that_would_come_again_are_not_repeated(reason: str, is_repeatable: bool) -> None:
    """A reason that blames the program, its size or the account would not pass."""
    document = {
        "quantumTaskArn": "arn:aws:braket:us-east-1:000000000000:quantum-task/a",
        "status": "FAILED",
        "failureReason": reason,
    }
    from qorch_providers.braket.wire.documents import decode_task

    status = read_status(decode_task(json.dumps(document).encode()))
    assert status.is_repeatable is is_repeatable
    charged = read_status(decode_task(json.dumps(document | {"numSuccessfulShots": 5}).encode()))
    assert not charged.is_repeatable


def test_a_program_set_counts_its_executables() -> None:
    """The label has the provider's own numbers: executables, and shots of each."""
    with opened("eu-north-1", faults="post:stuck") as bench:
        action = program_set(program(theta=[0.1, 0.2, 0.3]))
        arn = bench.create(action, deviceArn=GARNET, shots=300, tags=tags_of(key_of(7), None))

        async def main() -> None:
            async with connected(bench.emulator.environment, "garnet") as access:
                found = await look_up(access.client, access.memory, [arn], device_arn=GARNET)
                label = read_status(found[arn]).label
                assert label is not None
                assert (label.n_rows, label.shots) == (3, 100)

        asyncio.run(main())


def test_keys_are_found_in_the_list(bench: BraketBench) -> None:
    """Over all its pages, of this device alone, back to a time; tasks without our tags are nobody's."""
    labels = [JobLabel(f"job-{number}") for number in range(3)]
    arns = [bench.create(tags=tags_of(key_of(number), labels[number])) for number in range(3)]
    for _ in range(PAGE_TASKS + 5):
        bench.create()
    bench.create(tags={"qorch-key": "short"})

    async def main() -> None:
        async with connected(bench.emulator.environment) as access:
            search = TaskSearch(access.client, SV1, clock=WallClock())
            found = await search.find([key_of(0), key_of(2), key_of(9)], since=LONG_AGO)
            assert found == {key_of(0): arns[0], key_of(2): arns[2]}
            assert access.client.calls["find"] == 2
            assert await search.list_keys(since=LONG_AGO, known=()) == {
                key_of(number): f"job-{number}" for number in range(3)
            }
            later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
            assert await search.find([key_of(0)], since=later) == {}

    asyncio.run(main())


def test_two_tasks_with_one_key_are_in_doubt(bench: BraketBench) -> None:
    """Braket forgot the token, or somebody copied tags: nothing tells which task is the job's."""
    for _ in range(2):
        bench.create(tags=tags_of(key_of(1), None))
    other = bench.create(tags=tags_of(key_of(2), None))

    async def main() -> None:
        async with connected(bench.emulator.environment) as access:
            search = TaskSearch(access.client, SV1, clock=WallClock())
            with pytest.raises(UnknownOutcomeError, match="2 tasks at Amazon Braket have the key 0000000000000000"):
                await search.find([key_of(1), key_of(2)], since=LONG_AGO)
            assert await search.find([key_of(2)], since=LONG_AGO) == {key_of(2): other}

    asyncio.run(main())


def summary(number: int) -> dict[str, object]:
    """A task of ours in a list."""
    arn = f"arn:aws:braket:us-east-1:000000000000:quantum-task/{number}"
    return {"quantumTaskArn": arn, "status": "QUEUED", "tags": tags_of(key_of(number), None)}


def test_a_search_for_all_keys_begins_at_the_newest_known_task(bench: BraketBench) -> None:
    """By the time when Braket made it, however far back the search would else go; unknown tasks do no harm."""
    arns = [bench.create(tags=tags_of(key_of(number), None)) for number in range(3)]
    asked: list[str] = []

    async def main() -> None:
        async with connected(bench.emulator.environment) as access:
            known = await access.client.task(arns[1], purpose="poll")
            assert known is not None
            assert known.created_at is not None
            search = TaskSearch(access.client, SV1, clock=WallClock())
            whole, ask = access.client, access.client.search

            async def note(filters: Sequence[SearchFilter], **rest: Any) -> Any:
                asked.extend(one.value for one in filters if one.name == "createdAt")
                return await ask(filters, **rest)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(whole, "search", note)
                absent = arns[0].rpartition("/")[0] + "/11111111-2222-3333-4444-555555555555"
                found = await search.list_keys(since=LONG_AGO, known=[arns[0], arns[1], absent])
            assert key_of(2) in found
            [moment] = asked
            assert datetime.datetime.fromisoformat(moment) == known.created_at - SKEW

    asyncio.run(main())


def searching(*answers: Any) -> ScriptedServer:
    """A server that answers searches one after the other; the last answer repeats."""
    left = list(answers)

    def answer(request: Request) -> Any:
        return left.pop(0) if len(left) > 1 else left[0]

    return ScriptedServer(answer)


def _environment(server: ScriptedServer) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "emulator",
        "AWS_SECRET_ACCESS_KEY": "emulator",
        "AWS_REGION": "us-east-1",
    }


def test_an_interrupted_search_goes_on_where_it_was() -> None:
    """A page that was read is not read again because the next one was lost."""
    pages = [reply(200, {"quantumTasks": [summary(1)], "nextToken": "a"}), reset(),
             reply(200, {"quantumTasks": [summary(2)], "nextToken": None})]  # fmt: skip

    async def main() -> None:
        async with searching(*pages) as server, connected(_environment(server)) as access:
            search = TaskSearch(access.client, SV1, clock=WallClock())
            with pytest.raises(UnreachableError):
                await search.find([key_of(1), key_of(2)], since=LONG_AGO)
            found = await search.find([key_of(1), key_of(2)], since=LONG_AGO)
            assert found.keys() == {key_of(1), key_of(2)}
            tokens = [json.loads(request.body).get("nextToken") for request in server.requests]
            assert tokens == [None, "a", "a"]

    asyncio.run(main())


@pytest.mark.parametrize(("status", "kind"), [(429, "ThrottlingException"), (500, "InternalServiceException")])
def test_a_throttled_search_goes_on_where_it_was(status: int, kind: str) -> None:
    """The same page is asked for again; if it is refused several times in a row, the search begins anew."""
    first = reply(200, {"quantumTasks": [summary(1)], "nextToken": "a"})
    refused = reply(status, {"message": "no"}, {"x-amzn-errortype": kind})
    last = reply(200, {"quantumTasks": [summary(2)]})

    async def search_through(*answers: Any, failures: int) -> list[str | None]:
        async with searching(*answers) as server, connected(_environment(server)) as access:
            search = TaskSearch(access.client, SV1, clock=WallClock())
            for _ in range(failures):
                with pytest.raises(BusyError):
                    await search.find([key_of(1)], since=LONG_AGO)
            found = await search.find([key_of(1), key_of(2)], since=LONG_AGO)
            assert found.keys() == {key_of(1), key_of(2)}
            return [json.loads(request.body).get("nextToken") for request in server.requests]

    assert asyncio.run(search_through(first, refused, last, failures=1)) == [None, "a", "a"]
    answers = (first, *[refused] * MOST_FAILURES, first, last)
    tokens = asyncio.run(search_through(*answers, failures=MOST_FAILURES))
    assert tokens == [None, *["a"] * MOST_FAILURES, None, "a"]


@pytest.mark.parametrize(
    ("field", "odd"),
    [
        ("queueInfo", {"position": 3}),
        ("queueInfo", {"position": None}),
        ("shots", "100"),
        ("numSuccessfulShots", {}),
        ("createdAt", "yesterday"),
        ("endedAt", None),
        ("failureReason", {"code": 1}),
        ("actionMetadata", {"actionType": "x", "executableCount": "4"}),
        ("outputS3Bucket", None),
        ("tags", {**tags_of(key_of(1), None), "other": None}),
    ],
)
def test_a_task_is_read_although_one_field_is_odd(field: str, odd: object) -> None:
    """What is only shown or searched for does not make a paid task unreadable."""
    task = decode_task(json.dumps({**summary(1), field: odd}).encode())
    assert read_status(task).state is RemoteState.QUEUED
    assert read_status(task).key == key_of(1)


def test_a_list_that_leads_nowhere_is_asked_again() -> None:
    """A token that comes twice, a page that cannot be read, and a refused question are no answer."""
    loop = {"quantumTasks": [], "nextToken": "a"}
    odd = {"quantumTasks": [{"status": "QUEUED"}]}

    async def main(answer: Any, error: type[Exception]) -> None:
        async with searching(answer) as server, connected(_environment(server)) as access:
            search = TaskSearch(access.client, SV1, clock=WallClock())
            with pytest.raises(error):
                await search.find([key_of(1)], since=LONG_AGO)

    asyncio.run(main(reply(200, loop), BusyError))
    asyncio.run(main(reply(200, odd), BusyError))
    asyncio.run(main(reply(200, b"<html>"), BusyError))
    asyncio.run(main(reply(400, {"message": "no"}, {"x-amzn-errortype": "ValidationException"}), BusyError))
    asyncio.run(main(reply(403, {"message": "no"}, {"x-amzn-errortype": "AccessDeniedException"}), CredentialsError))


def test_a_task_under_another_arn_is_not_believed() -> None:
    """A server that answers for another task is asked again."""

    async def main() -> None:
        async with searching(reply(200, summary(1))) as server, connected(_environment(server)) as access:
            with pytest.raises(BusyError, match="and answered with"):
                await access.client.task(str(summary(2)["quantumTaskArn"]), purpose="poll")

    asyncio.run(main())


def test_arns_travel_encoded_and_signed_as_they_are() -> None:
    """Colons and slashes of an ARN are escaped on the wire, as AWS's own clients do."""

    async def main() -> None:
        async with searching(reply(200, summary(1))) as server, connected(_environment(server)) as access:
            await access.client.task(str(summary(1)["quantumTaskArn"]), purpose="poll")
            (request,) = server.requests
            assert request.path == "/quantum-task/arn%3Aaws%3Abraket%3Aus-east-1%3A000000000000%3Aquantum-task%2F1"
            assert request.query == [("additionalAttributeNames", "QueueInfo")]
            assert "us-east-1/braket/aws4_request" in request.headers["authorization"]
            assert "SignedHeaders=host;x-amz-date" in request.headers["authorization"]

    asyncio.run(main())


def test_cancelling_what_is_over_or_unknown_is_harmless(bench: BraketBench) -> None:
    """A queued task is cancelled; twice is as once; an unknown one is none."""
    arn = bench.create()
    absent = arn.rpartition("/")[0] + "/11111111-2222-3333-4444-555555555555"

    async def main() -> None:
        async with connected(bench.emulator.environment) as access:
            for each in (arn, arn, absent, "no-arn"):
                await access.client.cancel(each, token="t")  # noqa: S106
            found = await _statuses(access, [arn])
            assert read_status(found[arn]).state is RemoteState.CANCELLED

    asyncio.run(main())


def test_objects_are_read_or_told_apart() -> None:
    """There, not there, forbidden, in no bucket, too large, and at a place that cannot be."""
    xml = "<Error><Code>{}</Code></Error>"

    async def main() -> None:
        answers = {
            "/b-there/p/x": reply(200, b"content"),
            "/b-there/p/gone": reply(404, xml.format("NoSuchKey").encode()),
            "/b-there/p/page": reply(404, b"<html>"),
            "/b-there/p/denied": reply(403, xml.format("AccessDenied").encode()),
            "/b-there/p/expired": reply(403, xml.format("ExpiredToken").encode()),
            "/b-there/p/ended": reply(400, xml.format("ExpiredToken").encode()),
            "/b-there/p/moved": reply(
                301, xml.format("PermanentRedirect").encode(), {"x-amz-bucket-region": "eu-west-1"}
            ),
            "/b-there/p/none": reply(404, xml.format("NoSuchBucket").encode()),
            "/b-there/p/slow": reply(503, xml.format("SlowDown").encode(), {"retry-after": "3"}),
            "/b-there/p/huge": reply(200, b"x" * 5000),
        }
        wanted: dict[str, tuple[type[Exception], str]] = {
            "page": (BusyError, "asked again"),
            "denied": (CredentialsError, "allow s3:ListBucket"),
            "expired": (CredentialsError, "aws sso login"),
            "ended": (CredentialsError, "aws sso login"),
            "moved": (InvalidResultError, "is in eu-west-1"),
            "none": (InvalidResultError, "there is no S3 bucket b-there"),
            "slow": (BusyError, "SlowDown"),
            "huge": (InvalidResultError, "is not read"),
            "../secret": (InvalidResultError, "cannot be an object"),
        }
        async with (
            ScriptedServer(lambda request: answers[request.path]) as server,
            connected(_environment(server), most_bytes=1000) as access,
        ):
            assert await access.objects.get("b-there", "p/x") == b"content"
            assert await access.objects.get("b-there", "p/gone") is None
            for name, (kind, words) in wanted.items():
                with pytest.raises(kind, match=words):
                    await access.objects.get("b-there", f"p/{name}")

    asyncio.run(main())


def test_a_bucket_is_checked_without_writing() -> None:
    """A missing object can be told from a forbidden one only if results could be read; nothing is left there."""
    with opened(denied="denied-bucket,readless-bucket:read") as bench:

        async def main() -> None:
            async with connected(bench.emulator.environment) as access:
                await access.objects.check(BUCKET, "some/where")
                for bucket in ("denied-bucket", "readless-bucket"):
                    with pytest.raises(CredentialsError, match=f"AccessDenied.* for bucket {bucket}.*QORCH_BRAKET_S3"):
                        await access.objects.check(bucket, "some/where")

        asyncio.run(main())
        assert bench.emulator.truth()["calls"]["by_route"].keys() <= {"GET /{bucket}/{key}"}


def test_filters_are_what_the_service_takes(bench: BraketBench) -> None:
    """A wrong filter is refused, and a question that is refused loses nothing."""

    async def main() -> None:
        async with connected(bench.emulator.environment) as access:
            with pytest.raises(BusyError, match="ValidationException"):
                await access.client.search([SearchFilter("tags", "EQUAL", "x")], purpose="find")

    asyncio.run(main())
