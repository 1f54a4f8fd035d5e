"""What IonQ says that a job cost: read exactly, never guessed, and asked about once for each job."""

import json
from typing import Any

import pytest
from ionq_servers import SINCE, drive, job_document, page, routed
from scripted_server import ScriptedServer, reply

from qorch.errors import BusyError, InvalidResultError
from qorch.model.money import Money
from qorch.model.usage import NO_USAGE, PENDING_USAGE, report_usage
from qorch_providers.ionq import IonqBackend
from qorch_providers.ionq.wire.cost import NEVER, NOT_YET, IonqCost, decode_cost

QPU = "qpu.forte-1,deadline=2"
BY_TIME: dict[str, Any] = {
    "cost_model": "QCT",
    "stats": {"billed_quantum_compute_time_us": 5200},
    "backend": "qpu.forte-1",
}
COMPUTED = report_usage(compute_seconds=0.0052)
ESTIMATE = {"value": 24.83, "unit": "usd"}
CHARGED = COMPUTED.with_charge(Money("USD", 24_830_000))


def told(value: object, unit: str = "usd", **more: object) -> dict[str, object]:
    """A document with a cost, in the shape that IonQ's specification shows."""
    return {"dry_run": False, "estimated_cost": ESTIMATE, "cost": {"value": value, "unit": unit}, **more}


@pytest.mark.parametrize(
    ("value", "micros"),
    [("24.83", 24_830_000), ("0.1", 100_000), ("0", 0), ("12", 12_000_000), ("12.41660000000000181", 12_416_600),
     ('"97.5"', 97_500_000), ("1e-6", 1), ("4e-7", 0), ("999999999.999999", 999_999_999_999_999)],
)  # fmt: skip
def test_a_cost_is_read_as_a_decimal(value: str, micros: int) -> None:
    """To the millionth, without a float between; what lies below is rounded."""
    body = f'{{"dry_run":false,"cost":{{"value":{value},"unit":"usd"}}}}'.encode()
    assert decode_cost(body) == IonqCost(True, Money("USD", micros))


@pytest.mark.parametrize(
    ("document", "expected"),
    [({"dry_run": False, "estimated_cost": ESTIMATE}, NOT_YET), ({}, NOT_YET), ({"cost": None}, NOT_YET),
     ({"cost": {"value": None, "unit": "usd"}}, NOT_YET), ({"cost": {"value": 3}}, NOT_YET), ({"cost": 3}, NOT_YET),
     (told(-0.01), NOT_YET), (told("NaN"), NOT_YET), (told("Infinity"), NOT_YET), (told(2e9), NOT_YET),
     (told("1e999999999"), NOT_YET), (told(True), NOT_YET), (told(3, "credit"), NEVER), (told(3, "eur"), NEVER),
     (told(3, dry_run=True), NEVER), ({"dry_run": True, "estimated_cost": ESTIMATE}, NEVER)],
)  # fmt: skip
def test_what_is_no_cost_is_not_one(document: dict[str, Any], expected: IonqCost) -> None:
    """An estimate is not a cost, nor is what cannot be an amount; credits and dry runs never become money."""
    assert decode_cost(json.dumps(document).encode()) == expected


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"3", b'{"dry_run":"yes"}', b"[" * 100_000])
def test_what_cannot_be_read_is_refused(body: bytes) -> None:
    """So that it is asked for again."""
    with pytest.raises(InvalidResultError):
        decode_cost(body)


def asked(routes: dict[str, Any], *, options: str = QPU, polled: bool = True) -> tuple[Any, Any, dict[str, int]]:
    """What a poll, and then a question, tells of job `a`, and the calls of both."""

    async def work(backend: IonqBackend, _server: ScriptedServer) -> tuple[Any, Any, dict[str, int]]:
        status = (await backend.poll(["a"]))["a"].usage if polled else None
        found = await backend.fetch_usage(["a"], since=SINCE)
        return status, found["a"], dict(backend.calls)

    return drive(routed(routes), work, options=options)


def test_a_job_that_was_polled_takes_one_question() -> None:
    """Its usage is pending until then, although its document has the compute time."""
    routes = {
        "GET /v0.4/jobs/a": reply(200, job_document("a", **BY_TIME)),
        "GET /v0.4/jobs/a/cost": reply(200, told(24.83)),
    }
    assert asked(routes) == (PENDING_USAGE, CHARGED, {"poll": 1, "usage": 1})
    assert asked(routes, polled=False) == (None, CHARGED, {"usage": 2})


@pytest.mark.parametrize(
    ("fields", "cost", "expected"),
    [(BY_TIME, told(3.5, "credit"), COMPUTED), (BY_TIME, {"dry_run": False, "estimated_cost": ESTIMATE}, PENDING_USAGE),
     (BY_TIME | {"cost_model": "2QGE_operations"}, told(24.83), NO_USAGE.with_charge(Money("USD", 24_830_000))),
     (BY_TIME | {"cost_model": "2QGE_operations"}, told(3.5, "credit"), NO_USAGE),
     ({"cost_model": "QCT", "stats": {}}, told(0), NO_USAGE.with_charge(Money("USD", 0))),
     ({"status": "failed", "cost_model": "QCT"}, told(0), NO_USAGE.with_charge(Money("USD", 0))),
     ({"status": "canceled", "cost_model": "QCT"}, told(12.4166), NO_USAGE.with_charge(Money("USD", 12_416_600)))],
)  # fmt: skip
def test_a_job_is_final_once_its_cost_is_told(fields: dict[str, Any], cost: dict[str, Any], expected: Any) -> None:
    """Or cannot be told in money; also of one that failed or was cancelled, and without a compute time."""
    routes = {"GET /v0.4/jobs/a": reply(200, job_document("a", **fields)), "GET /v0.4/jobs/a/cost": reply(200, cost)}
    assert asked(routes)[:2] == (PENDING_USAGE, expected)


@pytest.mark.parametrize(
    ("status", "expected"), [(404, PENDING_USAGE), (410, PENDING_USAGE), (405, COMPUTED), (501, COMPUTED)]
)
def test_a_server_without_costs(status: int, expected: Any) -> None:
    """Not found is not yet; not offered is never."""
    routes = {"GET /v0.4/jobs/a": reply(200, job_document("a", **BY_TIME)), "GET /v0.4/jobs/a/cost": reply(status, {})}
    assert asked(routes)[1] == expected


@pytest.mark.parametrize(
    ("options", "job", "expected"),
    [("qpu.forte-1,version=v0.3,deadline=2", {"cost_usd": 24.83}, NO_USAGE), ("simulator,deadline=2", {}, NO_USAGE),
     (QPU, {"backend": "simulator"}, NO_USAGE), (QPU, {"backend": "qpu.forte-1", "dry_run": True}, NO_USAGE)],
)  # fmt: skip
def test_where_nothing_can_be_told_nothing_is_asked(options: str, job: dict[str, Any], expected: Any) -> None:
    """In version 0.3, on the simulator, and of dry runs."""
    version = "v0.3" if "v0.3" in options else "v0.4"
    _, usage, calls = asked({f"GET /{version}/jobs/a": reply(200, job_document("a", **job))}, options=options)
    assert (usage, calls) == (expected, {"poll": 1, "usage": 1})


def test_nothing_is_asked_of_jobs_that_are_not_over() -> None:
    """They have no cost yet."""
    routes = {"GET /v0.4/jobs/a": reply(200, job_document("a", "started", backend="qpu.forte-1"))}
    assert asked(routes) == (None, PENDING_USAGE, {"poll": 1, "usage": 1})


def test_trouble_is_told_and_the_question_comes_again() -> None:
    """After a failed answer the job's document is read anew, as the job may be gone."""
    failing = iter([503, 200])
    documents = [job_document("a", **BY_TIME)]

    def decide(_request: Any) -> Any:
        return reply(next(failing), told(24.83))

    routes = {"GET /v0.4/jobs/a": reply(200, documents[0]), "GET /v0.4/jobs": reply(200, page(documents)),
              "GET /v0.4/jobs/a/cost": decide}  # fmt: skip

    async def work(backend: IonqBackend, _server: ScriptedServer) -> None:
        await backend.poll(["a"])
        with pytest.raises(BusyError):
            await backend.fetch_usage(["a"], since=SINCE)
        assert await backend.fetch_usage(["a"], since=SINCE) == {"a": CHARGED}
        assert backend.calls["usage"] == 3

    drive(routed(routes), work, options=QPU)
