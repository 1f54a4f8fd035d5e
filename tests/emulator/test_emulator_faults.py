"""Every fault of the emulator does what it says, before or after the job was accepted."""

import hashlib
import json
import time
import zlib
from collections.abc import Callable

import httpx
import pytest
from emulator_bench import Bench, Gate
from hand_timer import PATIENCE_SECONDS, HandTimer

from qorch_providers.emulators.kit.spoiling import DRIP_SECONDS

EMPTY = {
    "type": "ionq.circuit.v1",
    "backend": "simulator",
    "input": {"gateset": "qis", "qubits": 1, "circuit": []},
}
STATUSES = (429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 527, 528, 529)


def accepted(bench: Bench, *, calls: int = 1) -> int:
    """How many jobs there are, once the call has been counted."""
    assert bench.emulator.truth()["calls"]["by_route"]["POST /v0.4/jobs"] == calls
    return len(bench.emulator.jobs())


@pytest.mark.parametrize("status", STATUSES)
def test_statuses_before_and_after(bench: Bench, status: int) -> None:
    """The status is answered, in JSON or as a proxy's page; after it the job is there, before it is not."""
    bench.emulator.set_faults(f"post:{status}-before@1,post:{status}-after@2")
    first, second = bench.post([]), bench.post([])
    assert first.status_code == second.status_code == status
    assert first.headers["content-type"].startswith("text/html" if status >= 520 else "application/json")
    assert ("retry-after" in first.headers) is (status in (429, 503))
    assert accepted(bench, calls=2) == 1


@pytest.mark.parametrize(("moment", "n_jobs"), [("before", 0), ("after", 1)])
def test_a_reset_is_a_reset(bench: Bench, moment: str, n_jobs: int) -> None:
    """The connection ends with RST; the next call works."""
    bench.emulator.set_faults(f"post:reset-{moment}@1")
    with pytest.raises(httpx.ReadError, match="reset"):
        bench.post([])
    assert accepted(bench) == n_jobs
    assert bench.post([]).status_code == 201
    assert bench.emulator.truth()["calls"]["by_status"] == {"reset": 1, "201": 1}


@pytest.mark.parametrize(("moment", "n_jobs"), [("before", 0), ("after", 1)])
def test_a_hang_says_nothing(bench: Bench, moment: str, n_jobs: int) -> None:
    """Nothing comes until the client gives up; the server does not wait for it when it stops."""
    bench.emulator.set_faults(f"post:hang-{moment}")
    with pytest.raises(httpx.ReadTimeout):
        post_empty(bench, patience_seconds=0.3)
    wait_until(lambda: len(bench.emulator.jobs()) == n_jobs)
    started = time.monotonic()
    bench.emulator.stop()
    assert time.monotonic() - started < PATIENCE_SECONDS


def post_empty(bench: Bench, *, patience_seconds: float = PATIENCE_SECONDS) -> httpx.Response:
    """Submit a circuit without gates; give up after so long without a byte."""
    return bench.client.post("/jobs", json=EMPTY, timeout=patience_seconds)


def wait_until(is_so: Callable[[], bool]) -> None:
    """Return once it is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(("moment", "n_jobs"), [("before", 0), ("after", 1)])
def test_a_drip_outlasts_timeouts_between_bytes(bench: Bench, moment: str, n_jobs: int) -> None:
    """Bytes arrive one by one, none sooner than a drip after the one before."""
    bench.emulator.set_faults(f"post:drip-{moment}")
    started, received = time.monotonic(), 0
    with bench.client.stream("POST", "/jobs", json=EMPTY) as answer:
        assert answer.status_code == 201
        for chunk in answer.iter_raw():
            received += len(chunk)
            if received >= 8:
                break
    assert time.monotonic() - started >= (received - 1) * DRIP_SECONDS
    assert received < int(answer.headers["content-length"])
    assert accepted(bench) == n_jobs


@pytest.mark.parametrize(("moment", "n_jobs"), [("before", 0), ("after", 1)])
@pytest.mark.parametrize("kind", ["truncated", "malformed", "html", "deep-json"])
def test_bodies_that_are_no_answer(bench: Bench, kind: str, moment: str, n_jobs: int) -> None:
    """The status promises a job; the body is cut off, broken, a page, or too deep."""
    bench.emulator.set_faults(f"post:{kind}-{moment}")
    if kind == "truncated":
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
            bench.post([])
    else:
        answer = bench.post([])
        assert answer.status_code == 201
        with pytest.raises((ValueError, RecursionError)):
            json.loads(answer.content)
    assert accepted(bench) == n_jobs


def test_a_bomb_is_small_on_the_wire(bench: Bench) -> None:
    """Less than a megabyte of gzip that would unpack to 256 MiB."""
    job = bench.run([])
    bench.emulator.set_faults("get:gzip-bomb")
    with bench.client.stream("GET", f"/jobs/{job['id']}") as answer:
        assert answer.headers["content-encoding"] == "gzip"
        raw = b"".join(answer.iter_raw())
    assert len(raw) < 1_000_000
    unpacker, n_bytes, rest = zlib.decompressobj(wbits=31), 0, raw
    while rest:
        n_bytes += len(unpacker.decompress(rest, 1 << 20))
        rest = unpacker.unconsumed_tail
    assert n_bytes == 256 * 1024 * 1024 + 2


def test_contents_that_are_wrong(bench: Bench, skewed: list[Gate]) -> None:
    """A row is missing, the order is reversed, a value is NaN; the next answer is right again."""
    job = bench.run(skewed, [], skewed)
    path = f"/jobs/{job['id']}/results/probabilities/aggregated"
    right = bench.get(path)
    bench.emulator.set_faults("wrong-rows@1,wrong-order@2,nan@3")
    assert bench.get(path) == dict(list(right.items())[:-1])
    reversed_order = bench.get(path)
    assert reversed_order == right
    assert list(reversed_order) == list(right)[::-1]
    answer = bench.client.get(path)
    assert answer.content.count(b":NaN") == 1
    assert bench.get(path) == right


def test_a_missing_child_is_shown_by_its_parent(bench: Bench) -> None:
    """`wrong-rows` on a job's document takes a child from its list."""
    job = bench.run([], [])
    bench.emulator.set_faults("get:wrong-rows@1")
    assert bench.get(f"/jobs/{job['id']}")["child_job_ids"] == job["child_job_ids"][:1]


def test_children_fail(open_bench: Callable[..., Bench]) -> None:
    """One child fails: with its parent, or alone; the others keep their results and are paid alone."""
    bench = open_bench(price="0.08")
    bench.emulator.set_faults("child-failure@1,child-missing@2,failure@3")
    failed, missing, whole = (bench.run([], [], [], backend="qpu.forte-1", shots=100) for _ in range(3))
    assert [job["status"] for job in (failed, missing, whole)] == ["failed", "completed", "failed"]
    assert failed["failure"]["code"] == "QuantumComputerError"
    for job in (failed, missing):
        children = [bench.get(f"/jobs/{child}") for child in job["child_job_ids"]]
        assert sorted(child["status"] for child in children) == ["completed", "completed", "failed"]
        for child in children:
            status = 200 if child["status"] == "completed" else 404
            bench.get(f"/jobs/{child['id']}/results/probabilities", status=status)
    bench.get(f"/jobs/{failed['id']}/results/probabilities/aggregated", status=404)
    assert len(bench.get(f"/jobs/{missing['id']}/results/probabilities/aggregated")) == 2
    assert [job["price_usd_micros"] for job in bench.emulator.jobs()] == [16_000_000, 16_000_000, 0]


def test_circuits_fail_for_good(open_bench: Callable[..., Bench]) -> None:
    """One circuit, or the whole job, cannot run: the code says that the circuit is at fault, and it is not paid."""
    bench = open_bench(price="0.08")
    bench.emulator.set_faults("child-invalid@1,invalid@2")
    part, whole = (bench.run([], [], backend="qpu.forte-1", shots=100) for _ in range(2))
    assert [job["failure"]["code"] for job in (part, whole)] == ["UnsupportedGate"] * 2
    children = [bench.get(f"/jobs/{child}")["status"] for child in part["child_job_ids"]]
    assert sorted(children) == ["completed", "failed"]
    assert [job["price_usd_micros"] for job in bench.emulator.jobs()] == [8_000_000, 0]


def test_an_unlisted_job_is_listed_once_the_faults_change(bench: Bench) -> None:
    """Until then it is found by its id alone."""
    bench.emulator.set_faults("unlisted@1")
    hidden, other = bench.submit([]), bench.submit([])
    assert bench.get(f"/jobs/{hidden}")["id"] == hidden
    assert [job["id"] for job in bench.get("/jobs")["jobs"]] == [other]
    bench.emulator.set_faults("")
    assert [job["id"] for job in bench.get("/jobs")["jobs"]] == [other, hidden]


def test_what_was_sent_is_known_whatever_became_of_it(bench: Bench) -> None:
    """The digest of every body that arrived, of a refused one and of one that was never answered too."""
    bench.emulator.set_faults("post:400-before@1,post:503-after@2")
    requests = [bench.post([], name=name).request for name in ("a", "b", "c")]
    sent = [hashlib.sha256(request.content).hexdigest() for request in requests]
    assert bench.emulator.submissions() == sent
    assert [job["name"] for job in bench.emulator.jobs()] == ["b", "c"]


def test_a_stuck_job_waits_until_it_is_cancelled(bench: Bench) -> None:
    """It stays `ready` however long one waits."""
    bench.emulator.set_faults("stuck@1")
    job_id, other = bench.submit([]), bench.submit([])
    bench.wait(other)
    assert bench.get(f"/jobs/{job_id}")["status"] == "ready"
    bench.client.put(f"/jobs/{job_id}/status/cancel")
    assert bench.get(f"/jobs/{job_id}")["status"] == "canceled"


def test_a_token_expires_and_is_good_again(bench: Bench) -> None:
    """401 on the second and third call, whatever they ask."""
    bench.emulator.set_faults("token-expiry@2x2")
    statuses = [bench.client.get(path).status_code for path in ("/whoami", "/jobs", "/whoami", "/jobs")]
    assert statuses == [200, 401, 401, 200]


def test_an_unavailable_window(open_bench: Callable[..., Bench]) -> None:
    """Backends say so and jobs are refused while it lasts; jobs that are there go on."""
    timer = HandTimer()
    bench = open_bench(timer, faults="unavailable@10s..60s", queue="20")
    job_id = bench.submit([])
    timer.wait_for_sleeper()
    timer.advance(10.0)
    assert {each["status"] for each in bench.get("/backends")} == {"unavailable"}
    refused = bench.post([])
    assert refused.status_code == 503
    assert "unavailable" in refused.json()["message"]
    timer.advance(10.0)
    assert bench.wait(job_id)["status"] == "completed"
    timer.advance(39.9)
    assert bench.post([]).status_code == 503
    timer.advance(0.1)
    assert bench.get("/backends/simulator")["status"] == "available"
    assert bench.post([]).status_code == 201
    assert len(bench.emulator.jobs()) == 2


def test_faults_come_with_the_settings_and_over_http(open_bench: Callable[..., Bench]) -> None:
    """From the start, then replaced by a POST, which refuses text that it cannot read."""
    bench = open_bench(faults="whoami:500")
    bench.get("/whoami", status=500)
    address = f"{bench.emulator.root}/_emulator/faults"
    assert bench.client.post(address, json={"faults": "whoami:502@1"}).status_code == 200
    bench.get("/whoami", status=502)
    bench.get("/whoami")
    assert bench.client.post(address, json={"faults": "chaos"}).status_code == 400


@pytest.mark.parametrize("kind", ["reset", "502", "hang"])
def test_an_accept_that_comes_after_the_answer(open_bench: Callable[..., Bench], kind: str) -> None:
    """`during`: the client is told at once that it failed; the job is accepted an accept delay later."""
    timer = HandTimer()
    bench = open_bench(timer, accept_delay="0.3", faults=f"post:{kind}-during@1")
    try:
        patience_seconds = 0.3 if kind == "hang" else PATIENCE_SECONDS
        assert post_empty(bench, patience_seconds=patience_seconds).status_code == 502
    except httpx.TransportError:
        assert kind in ("reset", "hang")
    timer.wait_for_sleeper()
    timer.advance(0.299)
    assert bench.emulator.jobs() == []
    assert bench.get("/jobs")["jobs"] == []
    timer.advance(0.001)
    (job,) = bench.emulator.jobs()
    assert [each["id"] for each in bench.get("/jobs")["jobs"]] == [job["id"]]
