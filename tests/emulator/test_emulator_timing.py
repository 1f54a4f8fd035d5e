"""Latencies, workers, limits and the accept delay of the emulator."""

import datetime
import email.utils
import http.client
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qorch.errors import BackendError

sys.path.insert(0, str(Path(__file__).parent))
from emulator_bench import Bench

pytestmark = pytest.mark.serial

BODY: dict[str, Any] = {
    "type": "ionq.circuit.v1",
    "backend": "simulator",
    "input": {"gateset": "qis", "qubits": 1, "circuit": []},
}


def seconds_between(job: dict[str, Any], first: str, second: str) -> float:
    """Reported seconds from one moment of a job to another."""
    moments = [datetime.datetime.fromisoformat(job[name]) for name in (first, second)]
    return (moments[1] - moments[0]).total_seconds()


def test_a_job_goes_through_all_its_states(open_bench: Callable[..., Bench]) -> None:
    """Submitted, ready, started, completed, in that order, lasting as long as they were told to."""
    bench = open_bench(queue="0.3", execute="0.2")
    job_id = bench.submit([])
    seen = []
    while not seen or seen[-1] != "completed":
        status = bench.get(f"/jobs/{job_id}")["status"]
        if status not in seen:
            seen.append(status)
        if status in ("submitted", "ready"):
            bench.get(f"/jobs/{job_id}/results/probabilities", status=404)
    assert seen == ["submitted", "ready", "started", "completed"]
    job = bench.get(f"/jobs/{job_id}")
    assert 0.3 <= seconds_between(job, "submitted_at", "started_at") < 0.5
    assert 200 <= job["execution_duration_ms"] < 400


def test_a_time_scale_shortens_the_wait_and_not_the_report(open_bench: Callable[..., Bench]) -> None:
    """A hundred seconds of queue pass in one, and are reported as a hundred; the start is the wall clock."""
    bench = open_bench(queue="60", execute="30", time_scale=100)
    started = time.monotonic()
    before = datetime.datetime.now(datetime.UTC)
    job = bench.run([])
    assert time.monotonic() - started < 3.0
    assert 60.0 <= seconds_between(job, "submitted_at", "started_at") < 90.0
    assert 30_000 <= job["execution_duration_ms"] < 60_000
    submitted = datetime.datetime.fromisoformat(job["submitted_at"])
    assert abs((submitted - before).total_seconds()) < 2.0


def test_workers_limit_what_runs_side_by_side(open_bench: Callable[..., Bench]) -> None:
    """Six jobs of 0.1 s on two workers take three rounds, and never do three of them overlap."""
    bench = open_bench(execute="0.1", workers=2)
    for job_id in [bench.submit([]) for _ in range(6)]:
        bench.wait(job_id)
    jobs = bench.emulator.jobs()
    spans = [(float(str(job["started_at_unix"])), float(str(job["completed_at_unix"]))) for job in jobs]
    assert max(end for _, end in spans) - min(begin for begin, _ in spans) >= 0.3
    for moment, _ in spans:
        assert sum(begin <= moment < end for begin, end in spans) <= 2


def test_the_network_delays_every_call(open_bench: Callable[..., Bench]) -> None:
    """0.2 s per call, except for the emulator's own."""
    bench = open_bench(network="0.2")
    started = time.monotonic()
    bench.get("/whoami")
    assert 0.2 <= time.monotonic() - started < 0.6
    started = time.monotonic()
    bench.client.get(f"{bench.emulator.root}/_emulator/jobs")
    assert time.monotonic() - started < 0.15


def test_a_job_is_accepted_after_its_client_has_gone(open_bench: Callable[..., Bench]) -> None:
    """The POST's connection is closed before the accept delay is over; nothing is seen before it, the job after it."""
    bench = open_bench(accept_delay="0.3")
    connection = http.client.HTTPConnection("127.0.0.1", bench.emulator.port)
    connection.request("POST", "/v0.4/jobs", json.dumps(BODY), {"Authorization": "apiKey canary"})
    time.sleep(0.05)
    connection.close()
    assert bench.get("/jobs")["jobs"] == bench.emulator.jobs() == []
    time.sleep(0.5)
    (job,) = bench.emulator.jobs()
    assert float(str(job["accepted_at_unix"])) - float(str(job["received_at_unix"])) >= 0.3
    assert bench.wait(str(job["id"]))["status"] == "completed"


def test_a_rate_limit_is_hard_and_tells_when_to_come_back(open_bench: Callable[..., Bench]) -> None:
    """Two of three POSTs pass; after the time that it says another does; GETs are not limited."""
    bench = open_bench(rate_limit="2/sec")
    answers = [bench.client.post("/jobs", json=BODY) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert answers[2].json()["statusCode"] == 429
    wait_seconds = int(answers[2].headers["retry-after"])
    assert wait_seconds == 1
    assert all(bench.client.get("/jobs").status_code == 200 for _ in range(5))
    time.sleep(wait_seconds)
    assert bench.client.post("/jobs", json=BODY).status_code == 201
    assert len(bench.emulator.jobs()) == 3


@pytest.mark.parametrize("form", ["seconds", "date", "none"])
def test_retry_after_in_every_form(open_bench: Callable[..., Bench], form: str) -> None:
    """Whole seconds, an HTTP date that is not too early, or no header."""
    bench = open_bench(rate_limit="post:1/min", retry_after=form)
    now_unix = datetime.datetime.now(datetime.UTC).timestamp()
    header = [bench.client.post("/jobs", json=BODY) for _ in range(2)][1].headers.get("retry-after")
    if form == "none":
        assert header is None
    elif form == "seconds":
        assert 59 <= int(str(header)) <= 60
    else:
        moment = email.utils.parsedate_to_datetime(str(header))
        assert 59.0 <= moment.timestamp() - now_unix <= 63.0


def test_a_scaled_limit_is_scaled_as_a_whole(open_bench: Callable[..., Bench]) -> None:
    """Five a minute at sixty times the speed are five a second, and the header counts real seconds."""
    bench = open_bench(rate_limit="5/min", time_scale=60)
    answers = [bench.client.post("/jobs", json=BODY) for _ in range(6)]
    assert answers[5].headers["retry-after"] == "1"


def test_simulating_does_not_stop_the_server(bench: Bench) -> None:
    """While a large job is simulated, no other call waits for as long as half of it."""
    gates = [{"gate": "ry", "target": qubit, "rotation": 0.1 * qubit} for qubit in range(14)] * 6
    given = {"gateset": "qis", "qubits": 14, "circuits": [{"circuit": gates}] * 40}
    job_id = bench.submit([], [], input=given)
    slowest, began = 0.0, time.monotonic()
    while bench.get(f"/jobs/{job_id}")["status"] != "completed":
        started = time.monotonic()
        bench.get("/whoami")
        slowest = max(slowest, time.monotonic() - started)
    assert slowest < 0.5 * (time.monotonic() - began)


def test_a_thousand_small_calls_a_second(bench: Bench) -> None:
    """4,000 GETs of one job over four connections take less than 4 s of CPU, the clients' own included."""
    job_id = bench.run([])["id"]

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", bench.emulator.port)
        for _ in range(1000):
            connection.request("GET", f"/v0.4/jobs/{job_id}", headers={"Authorization": "apiKey canary"})
            assert connection.getresponse().read()
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    started = time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.process_time() - started < 4.0
    assert bench.emulator.truth()["calls"]["by_route"]["GET /v0.4/jobs/{id}"] >= 4000


def test_a_port_that_is_taken_is_refused(bench: Bench, open_bench: Callable[..., Bench]) -> None:
    """Starting a second server on it raises a sentence, and leaves nothing running."""
    with pytest.raises(BackendError, match=r"cannot listen on 127\.0\.0\.1"):
        open_bench(port=bench.emulator.port)
    bench.get("/whoami")
