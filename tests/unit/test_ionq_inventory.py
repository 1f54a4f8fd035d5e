"""Which of qorch's keys IonQ's list of jobs shows, how far it is read, and the labels that jobs carry there."""

import dataclasses
import json
from collections.abc import Sequence

import pytest
from ionq_servers import (
    KEY,
    SINCE,
    drive,
    job_document,
    page,
    request_of,
    routed,
    serve_offsets,
    submit,
    submitted,
)
from scripted_server import Answer, Request, ScriptedServer, reply

from qorch.errors import BusyError, UnknownOutcomeError
from qorch.model.label import JobLabel
from qorch_providers.ionq import IonqBackend

TARGETS = ("simulator,deadline=2", "qpu.forte-1,deadline=2")
LABEL = JobLabel("r-1/3.0.2", "0:0-4;1:7", "12" * 32, "34" * 32)
Found = dict[str, str | None] | None


def listed(number: int, *, seconds: float, **more: object) -> dict[str, object]:
    """A job of qorch's in the list."""
    fields = {
        "submitted_at": submitted(seconds),
        "metadata": {"qorch_key": f"{number:064x}", "qorch_job": f"r/{number}"},
    }
    return job_document(f"job-{number}", **(fields | more))


def look(options: str, pages: Sequence[Sequence[object]], *, known: Sequence[str] = ()) -> tuple[Found, int]:
    """What the list shows since SINCE, and how many pages were read."""

    def decide(request: Request) -> Answer:
        number = int(dict(request.query).get("next", "0"))
        return reply(200, page(pages[number], str(number + 1) if number + 1 < len(pages) else None))

    async def work(backend: IonqBackend, server: ScriptedServer) -> tuple[Found, int]:
        found = await backend.list_keys(since=SINCE, known=known)
        return found, server.count("GET", "/v0.4/jobs")

    return drive(routed({"GET /v0.4/jobs": decide}), work, options=options)


@pytest.mark.parametrize("options", TARGETS)
def test_the_list_is_read_to_the_first_known_job(options: str) -> None:
    """Whatever is not known was accepted after it; strangers' jobs and circuits on the way do not matter."""
    stranger = job_document("x", submitted_at=submitted(95), metadata={"of": "another tool"})
    child = listed(3, seconds=90, id="job-3-0", parent_job_id="job-3")
    pages = [
        [listed(4, seconds=100), stranger],
        [listed(3, seconds=90), child, listed(2, seconds=80)],
        [listed(1, seconds=70)],
    ]
    found, n_pages = look(options, pages, known=["job-2"])
    assert found == {f"{number:064x}": f"r/{number}" for number in (4, 3, 2)}
    assert n_pages == 2


@pytest.mark.parametrize("options", TARGETS)
def test_the_list_is_read_to_its_time(options: str) -> None:
    """Where no job is known, the first page of older ones is the last."""
    pages = [[listed(2, seconds=50)], [listed(1, seconds=-500)], [listed(0, seconds=-900)]]
    found, n_pages = look(options, pages)
    assert found is not None
    assert f"{2:064x}" in found
    assert n_pages == 2


@pytest.mark.parametrize("is_ascending", [True, False])
def test_a_list_in_another_order_is_read_to_its_end(is_ascending: bool) -> None:
    """A known job, or an old one, says nothing of what follows."""
    seconds = (10, 20, 30) if is_ascending else (20, 30, 10)
    found, n_pages = look(TARGETS[0], [[listed(k, seconds=s)] for k, s in enumerate(seconds)], known=["job-1"])
    assert found is not None
    assert (len(found), n_pages) == (3, 3)


@pytest.mark.parametrize(("growth", "most"), [(5, 6), (20, 20)])
def test_a_list_that_grows_while_it_is_read_is_left_at_the_known_job(growth: int, most: int) -> None:
    """Strangers' jobs move the list by some places with every page, and there are thousands of old ones."""
    old = [job_document(f"old{number}", submitted_at=submitted(-9000.0 - number)) for number in range(2000)]
    jobs = [*(listed(number, seconds=10.0 * number) for number in range(60, 0, -1)), *old]

    async def work(backend: IonqBackend, server: ScriptedServer) -> tuple[Found, int]:
        return await backend.list_keys(since=SINCE, known=["job-1"]), len(server.requests)

    found, asked = drive(routed({"GET /v0.4/jobs": serve_offsets(jobs, growth=growth)}), work)
    assert found is not None
    assert len(found) == 60
    assert asked <= most


def test_a_list_that_grows_faster_than_it_is_read_is_given_up() -> None:
    """After some twenty pages it is in doubt what is there, instead of a thousand pages again and again."""
    jobs = [listed(number, seconds=10.0 * number) for number in range(60, 0, -1)]

    async def work(backend: IonqBackend, server: ScriptedServer) -> int:
        with pytest.raises(UnknownOutcomeError, match="grows as fast"):
            await backend.list_keys(since=SINCE, known=["job-1"])
        return len(server.requests)

    assert drive(routed({"GET /v0.4/jobs": serve_offsets(jobs, growth=40)}), work) <= 25


@pytest.mark.parametrize("options", TARGETS)
def test_a_server_without_a_list(options: str) -> None:
    """None, which is not the same as an empty list."""

    async def work(backend: IonqBackend, server: ScriptedServer) -> Found:
        return await backend.list_keys(since=SINCE, known=())

    assert drive(routed({"GET /v0.4/jobs": reply(405, b"")}), work, options=options) is None


@pytest.mark.parametrize("options", TARGETS)
def test_a_list_that_cannot_be_read(options: str) -> None:
    """It may be asked again."""

    async def work(backend: IonqBackend, server: ScriptedServer) -> None:
        with pytest.raises((BusyError, UnknownOutcomeError)):
            await backend.list_keys(since=SINCE, known=())

    drive(routed({"GET /v0.4/jobs": reply(503, b"")}), work, options=options)


@pytest.mark.parametrize("options", TARGETS)
def test_a_label_goes_there_and_comes_back(options: str) -> None:
    """In the metadata beside the key; number of circuits and shots are the provider's own words."""
    sent: list[dict[str, object]] = []

    def decide(request: Request) -> Answer:
        if request.method == "POST":
            sent.append(json.loads(request.body))
            return reply(201, {"id": "j", "status": "submitted"})
        return reply(200, job_document("j", metadata=sent[0]["metadata"], shots=100, stats={"circuits": 3}))

    async def work(backend: IonqBackend, server: ScriptedServer) -> JobLabel | None:
        await submit(backend, dataclasses.replace(request_of(3), label=LABEL), key=KEY)
        return (await backend.poll(["j"]))["j"].label

    label = drive(routed({"POST /v0.4/jobs": decide, "GET /v0.4/jobs/j": decide}), work, options=options)
    assert sent[0]["metadata"] == {
        "qorch_key": KEY, "qorch_job": LABEL.job_id, "qorch_rows": LABEL.rows, "qorch_digest": LABEL.digest,
        "qorch_context": LABEL.context,
    }  # fmt: skip
    assert label == dataclasses.replace(LABEL, n_rows=3, shots=100)


@pytest.mark.parametrize("value", [7, None, ["a"], "short", "Z" * 64])
def test_a_label_that_cannot_be_read_is_not_told(value: object) -> None:
    """No job is lost over it."""
    metadata = {"qorch_key": KEY, "qorch_digest": value, "qorch_context": value, "qorch_job": 3, "qorch_rows": {}}
    document = job_document("j", metadata=metadata, shots="many", stats=[1])

    async def work(backend: IonqBackend, server: ScriptedServer) -> JobLabel | None:
        return (await backend.poll(["j"]))["j"].label

    assert drive(routed({"GET /v0.4/jobs/j": reply(200, document)}), work) == JobLabel()
