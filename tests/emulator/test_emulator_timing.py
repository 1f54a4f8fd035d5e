"""Latencies, workers, limits and the accept delay of the emulator."""

import datetime
import email.utils
import http.client
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from emulator_bench import Bench
from hand_timer import PATIENCE_SECONDS, HandTimer

from qorch.errors import BackendError

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
    """Submitted, ready, started, completed, each for exactly as long as it was told to."""
    timer = HandTimer()
    bench = open_bench(timer, queue="0.3", execute="0.2")
    job_id = bench.submit([])
    seen = []
    for seconds in (0.02, 0.02, 0.25, 0.02, 0.18):
        seen.append(bench.get(f"/jobs/{job_id}")["status"])
        if seen[-1] in ("submitted", "ready"):
            bench.get(f"/jobs/{job_id}/results/probabilities", status=404)
        timer.advance(seconds)
    assert seen == ["submitted", "submitted", "ready", "ready", "started"]
    job = bench.get(f"/jobs/{job_id}")
    assert job["status"] == "started"
    timer.advance(0.02)
    job = bench.wait(job_id)
    assert job["status"] == "completed"
    assert seconds_between(job, "submitted_at", "started_at") == pytest.approx(0.3, abs=0.0011)
    assert job["execution_duration_ms"] == 200


def test_without_a_timer_of_its_own_a_job_lasts_as_long_on_the_machine(open_bench: Callable[..., Bench]) -> None:
    """Never less than it was told to, and reported so."""
    started = time.monotonic()
    job = open_bench(queue="0.3", execute="0.2").run([])
    assert time.monotonic() - started >= 0.5
    assert seconds_between(job, "submitted_at", "started_at") >= 0.299
    assert job["execution_duration_ms"] >= 200


def test_a_time_scale_shortens_the_wait_and_not_the_report(open_bench: Callable[..., Bench]) -> None:
    """A hundred seconds pass in one, and are reported as a hundred; the start is the wall clock."""
    timer = HandTimer()
    bench = open_bench(timer, queue="60", execute="30", time_scale=100)
    before = datetime.datetime.now(datetime.UTC)
    job_id = bench.submit([])
    timer.wait_for_sleeper()
    timer.advance(0.89)
    assert bench.get(f"/jobs/{job_id}")["status"] == "started"
    timer.advance(0.01)
    job = bench.wait(job_id)
    assert seconds_between(job, "submitted_at", "started_at") == pytest.approx(60.0, abs=0.0011)
    assert job["execution_duration_ms"] == 30_000
    submitted = datetime.datetime.fromisoformat(job["submitted_at"])
    assert abs((submitted - before).total_seconds()) < PATIENCE_SECONDS


def test_workers_limit_what_runs_side_by_side(open_bench: Callable[..., Bench]) -> None:
    """Six jobs of 0.1 s on two workers take three rounds of two."""
    timer = HandTimer()
    bench = open_bench(timer, execute="0.1", workers=2)
    ids = [bench.submit([]) for _ in range(6)]
    for n_over in (0, 2, 4):
        statuses = [bench.get(f"/jobs/{job_id}")["status"] for job_id in ids]
        assert statuses[n_over:] == ["started"] * 2 + ["ready"] * (4 - n_over)
        timer.advance(0.1)
        assert [bench.wait(job_id)["status"] for job_id in ids[: n_over + 2]] == ["completed"] * (n_over + 2)


def test_the_network_delays_every_call(open_bench: Callable[..., Bench]) -> None:
    """0.2 s per call, half of it each way, except for the emulator's own."""
    timer = HandTimer()
    bench = open_bench(timer, network="0.2")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(bench.get, "/whoami")
        timer.wait_for_sleeper()
        assert bench.emulator.jobs() == []
        timer.advance(0.199)
        assert bench.client.get(f"{bench.emulator.root}/_emulator/jobs").status_code == 200
        assert not waiting.done()
        timer.advance(0.001)
        assert waiting.result(PATIENCE_SECONDS)["key_name"]


def test_a_job_is_accepted_after_its_client_has_gone(open_bench: Callable[..., Bench]) -> None:
    """The POST's connection is closed before the accept delay is over; nothing is seen before it, the job after it."""
    timer = HandTimer()
    bench = open_bench(timer, accept_delay="0.3")
    connection = http.client.HTTPConnection("127.0.0.1", bench.emulator.port)
    connection.request("POST", "/v0.4/jobs", json.dumps(BODY), {"Authorization": "apiKey canary"})
    timer.wait_for_sleeper()
    connection.close()
    timer.advance(0.299)
    assert bench.get("/jobs")["jobs"] == bench.emulator.jobs() == []
    timer.advance(0.001)
    (job,) = bench.emulator.jobs()
    assert float(str(job["accepted_at_unix"])) - float(str(job["received_at_unix"])) == pytest.approx(0.3, abs=1e-6)
    assert bench.wait(str(job["id"]))["status"] == "completed"


def test_a_rate_limit_is_hard_and_tells_when_to_come_back(open_bench: Callable[..., Bench]) -> None:
    """Two of three POSTs pass; a little before the time that it says none does, and then another; GETs are free."""
    timer = HandTimer()
    bench = open_bench(timer, rate_limit="2/sec", queue="60")
    answers = [bench.client.post("/jobs", json=BODY) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert answers[2].json()["statusCode"] == 429
    assert answers[2].headers["retry-after"] == "1"
    assert all(bench.client.get("/jobs").status_code == 200 for _ in range(5))
    timer.advance(0.999)
    assert bench.client.post("/jobs", json=BODY).status_code == 429
    timer.advance(0.001)
    assert bench.client.post("/jobs", json=BODY).status_code == 201
    assert len(bench.emulator.jobs()) == 3


@pytest.mark.parametrize("form", ["seconds", "date", "none"])
def test_retry_after_in_every_form(open_bench: Callable[..., Bench], form: str) -> None:
    """Whole seconds, an HTTP date that is not too early, or no header."""
    earliest = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=60)
    bench = open_bench(HandTimer(), rate_limit="post:1/min", retry_after=form)
    latest = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=61)
    header = [bench.client.post("/jobs", json=BODY) for _ in range(2)][1].headers.get("retry-after")
    if form == "none":
        assert header is None
    elif form == "seconds":
        assert header == "60"
    else:
        assert earliest <= email.utils.parsedate_to_datetime(str(header)) <= latest


def test_a_scaled_limit_is_scaled_as_a_whole(open_bench: Callable[..., Bench]) -> None:
    """Five a minute at sixty times the speed are five a second, and the header counts real seconds."""
    bench = open_bench(HandTimer(), rate_limit="5/min", time_scale=60)
    answers = [bench.client.post("/jobs", json=BODY) for _ in range(6)]
    assert answers[5].headers["retry-after"] == "1"


def test_simulating_does_not_stop_the_server(bench: Bench) -> None:
    """While a large job is simulated, other calls are answered one after the other."""
    gates = [{"gate": "ry", "target": qubit, "rotation": 0.1 * qubit} for qubit in range(14)] * 6
    given = {"gateset": "qis", "qubits": 14, "circuits": [{"circuit": gates}] * 40}
    job_id = bench.submit([], [], input=given)
    n_answered = 0
    while bench.get(f"/jobs/{job_id}")["status"] != "completed":
        bench.get("/whoami")
        n_answered += 1
    assert n_answered >= 10


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
