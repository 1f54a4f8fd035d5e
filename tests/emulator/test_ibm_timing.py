"""Time, limits and faults of the IBM emulator, on a clock that the test moves where time matters."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import numpy as np
import pytest
from hand_timer import HandTimer
from ibm_bench import IbmBench, array_value, circuit_value, opened, read_array, skewed

MICROS = 1_600_000


def settle(check: Callable[[], bool]) -> None:
    """Wait for what another thread of the emulator still computes."""
    deadline = time.monotonic() + 30.0
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def is_status(bench: IbmBench, job_id: str, status: str) -> Callable[[], bool]:
    """Whether a job has this status."""
    return lambda: bench.get(f"/jobs/{job_id}")["status"] == status


def test_statuses_in_time() -> None:
    """Queued, Running, Completed; times are those of the protocol, and the usage is complete after its delay."""
    timer = HandTimer()
    with opened(timer, queue="10", execute="5", usage_delay="30") as bench:
        job_id = bench.submit()
        timer.wait_for_sleeper()
        assert bench.get(f"/jobs/{job_id}")["status"] == "Queued"
        timer.advance(10.0)
        settle(is_status(bench, job_id, "Running"))
        timer.wait_for_sleeper()
        timer.advance(5.0)
        settle(is_status(bench, job_id, "Completed"))
        metrics = bench.get(f"/jobs/{job_id}/metrics")
        stamps = [metrics["timestamps"][name][17:23] for name in ("created", "running", "finished")]
        seconds = [float(stamp) for stamp in stamps]
        assert [(later - seconds[0]) % 60 for later in seconds] == pytest.approx([0.0, 10.0, 15.0], abs=0.002)
        assert metrics["usage"]["status"] == "pending"
        timer.advance(29.0)
        assert bench.get(f"/jobs/{job_id}/metrics")["usage"]["status"] == "pending"
        timer.advance(1.0)
        assert bench.get(f"/jobs/{job_id}/metrics")["usage"] == {"qpu_charge_time_seconds": 3, "status": "complete"}
        assert bench.emulator.jobs()[0]["price_usd_micros"] == 3 * MICROS


def test_one_job_at_a_time_runs_on_a_device() -> None:
    """Jobs take turns on a device, in order; another device is not concerned."""
    timer = HandTimer()
    with opened(timer, execute="5") as bench:
        first, second = bench.submit(), bench.submit()
        settle(is_status(bench, first, "Running"))
        assert bench.get(f"/jobs/{second}")["status"] == "Queued"
        assert bench.get("/backends/ibm_lagos/status")["length_queue"] == 2
        assert bench.get("/backends/ibm_manila/status")["length_queue"] == 0
        timer.wait_for_sleeper()
        timer.advance(5.0)
        settle(is_status(bench, second, "Running"))


def test_five_posts_in_any_minute() -> None:
    """The limit is that of any 60 seconds and of all instances together, and does not count refused calls."""
    timer = HandTimer()
    with opened(timer, posts_per_minute=5, retry_after="seconds") as bench:
        assert [bench.post().status_code for _ in range(4)] == [200] * 4
        timer.advance(30.0)
        assert [bench.post().status_code for _ in range(2)] == [200, 429]
        assert bench.post().headers["Retry-After"] == "30"
        other = {"Service-CRN": bench.emulator.crns["second"]}
        assert bench.send("POST", "/jobs", content=b"{}", headers=other).status_code == 429
        timer.advance(29.0)
        assert bench.post().status_code == 429
        timer.advance(1.0)
        assert [bench.post().status_code for _ in range(5)] == [200] * 4 + [429]
        posts = bench.emulator.truth()["posts"]
        assert [post["at_seconds"] for post in posts] == [0.0] * 4 + [30.0] * 4 + [59.0] + [60.0] * 5
        assert sum(post["is_admitted"] is False for post in posts) == 5


def test_a_session_rests_where_no_job_comes() -> None:
    """After its interactive time a session is inactive and costs nothing more; the next job wakes it up."""
    timer = HandTimer()
    with opened(timer, interactive_seconds=60.0) as bench:
        session = bench.open_session()
        timer.advance(500.0)
        assert bench.get(f"/sessions/{session}")["state"] == "open"
        bench.wait(bench.submit(session_id=session))
        timer.advance(59.0)
        assert bench.get(f"/sessions/{session}")["state"] == "active"
        timer.advance(1.0)
        document = bench.get(f"/sessions/{session}")
        assert (document["state"], document["elapsed_time"], document["accepting_jobs"]) == ("inactive", 60, True)
        timer.advance(1000.0)
        bench.wait(bench.submit(session_id=session))
        timer.advance(10.0)
        assert bench.get(f"/sessions/{session}")["elapsed_time"] == 70
        bench.send("PATCH", f"/sessions/{session}", json={"accepting_jobs": False})
        document = bench.get(f"/sessions/{session}")
        assert [each["status"] for each in document["timestamps"]] == ["open", "active", "inactive", "active", "closed"]
        timer.advance(100.0)
        (record,) = bench.emulator.truth()["sessions"]
        assert (record["usage_seconds"], record["price_usd_micros"]) == (70, 70 * MICROS)
        assert {job["price_usd_micros"] for job in bench.emulator.jobs()} == {0}
        assert bench.get("/instances/usage")["usage_consumed_seconds"] == 70


def test_a_session_does_not_rest_while_its_jobs_wait() -> None:
    """As long as one of its jobs is not over, a session stays active, however long the job waits in the queue."""
    timer = HandTimer()
    with opened(timer, interactive_seconds=60.0, queue="100") as bench:
        session = bench.open_session()
        for _ in range(2):
            before = timer.n_sleepers
            job_id = bench.submit(session_id=session)
            settle(partial(lambda count: timer.n_sleepers > count, before))
            timer.advance(50.0)
            assert bench.get(f"/jobs/{job_id}")["status"] == "Queued"
            timer.advance(50.0)
            bench.wait(job_id)
        assert bench.get(f"/sessions/{session}")["elapsed_time"] == 100
        timer.advance(60.0)
        assert bench.get(f"/sessions/{session}")["state"] == "inactive"


def test_a_session_that_nobody_closes_costs_until_it_rests() -> None:
    """A session that is forgotten stays open, and is charged for its interactive time."""
    timer = HandTimer()
    with opened(timer, interactive_seconds=60.0) as bench:
        session = bench.open_session()
        bench.wait(bench.submit(session_id=session))
        timer.advance(10_000.0)
        (record,) = bench.emulator.truth()["sessions"]
        assert (record["state"], record["usage_seconds"]) == ("inactive", 60)


def test_an_active_session_has_its_device_for_itself() -> None:
    """Jobs from elsewhere wait until the session rests; those of the session do not."""
    timer = HandTimer()
    with opened(timer, interactive_seconds=60.0) as bench:
        session = bench.open_session()
        bench.wait(bench.submit(session_id=session))
        stranger = bench.submit()
        bench.wait(bench.submit(session_id=session))
        assert bench.get(f"/jobs/{stranger}")["status"] == "Queued"
        timer.advance(60.0)
        bench.wait(stranger)


def test_a_session_ends_with_its_time() -> None:
    """When the longest time is over, jobs that wait fail, the one that runs may end, and then the session is closed."""
    timer = HandTimer()
    with opened(timer, execute="100") as bench:
        session = bench.open_session("batch", max_ttl=150)
        jobs = [bench.submit(session_id=session) for _ in range(3)]
        for seconds in (100.0, 50.0):
            timer.wait_for_sleeper()
            settle(lambda: timer.n_sleepers >= 2)
            timer.advance(seconds)
            settle(is_status(bench, jobs[1], "Running"))
        document = bench.get(f"/jobs/{jobs[2]}")
        assert (document["status"], document["state"]["reason_code"]) == ("Failed", 1217)
        assert bench.get(f"/sessions/{session}")["accepting_jobs"] is False
        assert bench.post(session_id=session).status_code == 400
        timer.advance(50.0)
        settle(is_status(bench, jobs[1], "Completed"))
        assert bench.get(f"/sessions/{session}")["state"] == "closed"


def test_a_closed_session_lets_its_jobs_run() -> None:
    """Closing takes no more jobs; the session is closed once the last one is over. Cancelling ends them all."""
    timer = HandTimer()
    with opened(timer, execute="10") as bench:
        session = bench.open_session()
        jobs = [bench.submit(session_id=session) for _ in range(2)]
        settle(is_status(bench, jobs[0], "Running"))
        bench.send("PATCH", f"/sessions/{session}", json={"accepting_jobs": False})
        assert bench.get(f"/sessions/{session}")["state"] == "active"
        timer.wait_for_sleeper()
        timer.advance(4.0)
        assert bench.send("DELETE", f"/sessions/{session}/close").status_code == 204
        assert [bench.get(f"/jobs/{job}")["status"] for job in jobs] == ["Cancelled", "Cancelled"]
        document = bench.get(f"/sessions/{session}")
        assert (document["state"], document["elapsed_time"]) == ("closed", 4)
        answer = bench.send("PATCH", f"/sessions/{session}", json={"accepting_jobs": True})
        assert answer.status_code == 409


def test_cancelling_costs_what_ran() -> None:
    """A job that waits costs nothing; one that runs the seconds that it ran; one that is over cannot be cancelled."""
    timer = HandTimer()
    with opened(timer, execute="100") as bench:
        running, waiting = bench.submit(), bench.submit()
        settle(is_status(bench, running, "Running"))
        timer.wait_for_sleeper()
        timer.advance(7.5)
        assert bench.send("DELETE", f"/jobs/{running}").status_code == 409
        for job_id in (waiting, running):
            assert bench.send("POST", f"/jobs/{job_id}/cancel").status_code == 204
            assert bench.send("POST", f"/jobs/{job_id}/cancel").status_code == 409
        assert [job["usage_seconds"] for job in bench.emulator.jobs()] == [8, 0]
        assert bench.send("DELETE", f"/jobs/{running}").status_code == 204
        assert bench.send("GET", f"/jobs/{running}").status_code == 404
        assert bench.emulator.jobs()[0]["status"] == "deleted"


def test_a_job_that_runs_too_long_is_stopped() -> None:
    """At the end of its `cost` a job is cancelled with 1305, and is charged for it."""
    timer = HandTimer()
    with opened(timer, execute="50") as bench:
        job_id = bench.submit(cost=20)
        settle(is_status(bench, job_id, "Running"))
        timer.wait_for_sleeper()
        timer.advance(20.0)
        settle(is_status(bench, job_id, "Cancelled"))
        assert bench.get(f"/jobs/{job_id}")["state"]["reason_code"] == 1305
        assert bench.emulator.jobs()[0]["usage_seconds"] == 20


def test_maintenance_holds_jobs() -> None:
    """A device under maintenance says so, takes jobs, and runs them afterwards."""
    timer = HandTimer()
    with opened(timer, maintenance="ibm_lagos@0..30") as bench:
        listed = {each["name"]: each["status"] for each in bench.get("/backends")["devices"]}
        assert listed == {"ibm_lagos": {"name": "paused", "reason": "maintenance"}, "ibm_manila": {"name": "online"}}
        assert bench.get("/backends/ibm_lagos/status")["state"] is False
        job_id = bench.submit()
        timer.wait_for_sleeper()
        timer.advance(29.0)
        assert bench.get(f"/jobs/{job_id}")["status"] == "Queued"
        timer.advance(1.0)
        bench.wait(job_id)


def test_a_retired_device_is_gone() -> None:
    """It is in no list, and nothing can be asked of it."""
    with opened(retired="ibm_lagos") as bench:
        assert [each["name"] for each in bench.get("/backends")["devices"]] == ["ibm_manila"]
        assert bench.send("GET", "/backends/ibm_lagos/configuration").status_code == 404
        assert bench.post().status_code == 404


def test_calibrations_follow_the_clock() -> None:
    """A new calibration every so often changes errors and date; jobs may name one that was."""
    timer = HandTimer()
    with opened(timer, calibration_seconds=600.0) as bench:
        first = bench.get("/backends/ibm_lagos/properties")
        (calibration,) = [
            each["calibration_id"] for each in bench.get("/backends")["devices"] if each["name"] == "ibm_lagos"
        ]
        timer.advance(600.0)
        second = bench.get("/backends/ibm_lagos/properties")
        assert second["last_update_date"] > first["last_update_date"]
        assert second["qubits"] != first["qubits"]
        assert bench.get("/backends/ibm_lagos/properties", calibration_id=calibration) == first
        assert bench.get("/backends/ibm_lagos/properties", updated_before=second["last_update_date"]) == first
        assert bench.post(calibration_id=calibration).status_code == 200
        assert bench.root.post("/_emulator/calibrate", json={"backend": "ibm_lagos"}).status_code == 200
        assert bench.get("/backends/ibm_lagos/properties") not in (first, second)


def test_tokens_expire() -> None:
    """A token is refused once its time is over."""
    timer = HandTimer()
    with opened(timer, token_seconds=100.0) as bench:
        assert bench.send("GET", "/backends").status_code == 200
        timer.advance(99.0)
        assert bench.send("GET", "/backends").status_code == 200
        timer.advance(1.0)
        assert bench.send("GET", "/backends").status_code == 401


def test_the_book_tells_who_asks_for_tokens_at_once() -> None:
    """Three clients that ask at the same time are three requests in progress."""
    timer = HandTimer()
    slow = {"token_delay": "1"}
    with opened(timer, **slow) as bench, ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(bench.ask_for_token) for _ in range(3)]
        settle(lambda: timer.n_sleepers == 3)
        timer.advance(1.0)
        assert [each.result().status_code for each in asked] == [200] * 3
        assert bench.emulator.truth()["tokens"] == {"issued": 3, "refused": 0, "most_at_once": 3}


def test_new_jobs_are_listed_later() -> None:
    """Lists learn of jobs and batches after a while; who has the id finds them at once."""
    timer = HandTimer()
    with opened(timer, visible_seconds=5.0) as bench:
        job_id, batch = bench.submit(tags=["t"]), bench.open_session("batch")
        assert bench.get("/jobs", tags="t")["count"] == 0
        assert bench.get("/workloads")["workloads"] == []
        bench.wait(job_id)
        timer.advance(5.0)
        assert bench.get("/jobs", tags="t")["count"] == 1
        assert {each["id"] for each in bench.get("/workloads")["workloads"]} == {job_id, batch}


def test_the_accept_delay_goes_on_without_the_client() -> None:
    """A client that leaves does not keep its job from being accepted."""
    timer = HandTimer()
    with opened(timer, accept_delay="10") as bench:
        bench.token()
        with pytest.raises(httpx.ReadTimeout):
            bench.send("POST", "/jobs", json=body_of_one(), timeout=0.3)
        assert bench.emulator.jobs() == []
        timer.advance(10.0)
        settle(lambda: len(bench.emulator.jobs()) == 1)


def body_of_one() -> dict[str, Any]:
    """A small job."""
    pub = [circuit_value(skewed()), array_value([0.1]), 10]
    return {"program_id": "sampler", "backend": "ibm_lagos", "params": {"pubs": [pub]}}


@pytest.mark.parametrize(
    ("fault", "status", "accepted"), [("503-before", 503, 0), ("503-after", 503, 1), ("520", 520, 0)]
)
def test_faults_before_and_after_acceptance(fault: str, status: int, accepted: int) -> None:
    """The answer to a POST fails before or after its job was accepted; the next one is answered well."""
    with opened(faults=f"post:{fault}@1") as bench:
        assert bench.post().status_code == status
        assert len(bench.emulator.jobs()) == accepted
        assert bench.post().status_code == 200
        sent = bench.emulator.submissions()
        assert (len(sent), sent[-1]) == (2, bench.emulator.jobs()[-1]["digest"])


def test_broken_answers() -> None:
    """A connection that is reset, an answer that is no JSON, one about a job that does not exist, an expired token."""
    with opened(faults="post:reset-after@1,post:malformed@2,post:truncated@3,post:token-expiry@4") as bench:
        for _ in range(3):
            try:
                answer = bench.post()
            except httpx.TransportError:
                continue
            with pytest.raises(json.JSONDecodeError):
                answer.json()
        assert bench.post().status_code == 401
        assert len(bench.emulator.jobs()) == 3
    with opened(faults="open:reset-after@1") as bench:
        with pytest.raises(httpx.TransportError):
            bench.open_session("batch")
        (record,) = bench.emulator.truth()["sessions"]
        assert [each["id"] for each in bench.get("/workloads", mode="batch")["workloads"]] == [record["id"]]


def test_faults_of_jobs() -> None:
    """A job that fails on IBM's side, one that cannot run, one that never starts, one that no list has."""
    with opened(faults="failure@1,invalid@2,stuck@3,unlisted@4") as bench:
        failed, invalid, stuck, unlisted = (bench.submit(tags=["t"]) for _ in range(4))
        assert bench.wait(failed)["state"]["reason_code"] == 9999
        assert bench.wait(invalid)["state"]["reason_code"] == 1517
        bench.wait(unlisted)
        assert bench.get(f"/jobs/{stuck}")["status"] == "Queued"
        assert {job["id"] for job in bench.get("/jobs", tags="t")["jobs"]} == {failed, invalid, stuck}
        assert [job["usage_seconds"] for job in bench.emulator.jobs()] == [0, 0, 0, 3]
        bench.emulator.set_faults("unavailable")
        assert bench.get("/backends/ibm_lagos/status")["status"] == "internal"
        assert bench.post().status_code == 503


def test_results_with_wrong_content() -> None:
    """Rows are missing or turned around in the arrays themselves; numbers of an estimator are none."""
    rows = {"values": np.arange(6.0).reshape(3, 2, 1)}
    with opened(faults="results:wrong-rows@2,results:wrong-order@3") as bench:
        job_id = bench.submit(**rows)
        bench.wait(job_id)
        right, fewer, turned = (_bits(bench.get(f"/jobs/{job_id}/results")) for _ in range(3))
        assert right.shape[:2] == (3, 2)
        assert np.array_equal(fewer, right[:-1])
        assert np.array_equal(turned, right[::-1])
        bench.emulator.set_faults("results:nan@1")
        circuit = skewed()
        circuit.remove_final_measurements()
        pub = [circuit_value(circuit), {"IIIIIIZ": 1.0}, array_value([[0.1], [0.2]]), 0.1]
        estimated = bench.submit(program_id="estimator", params={"pubs": [pub], "options": {}})
        bench.wait(estimated)
        for is_spoiled in (True, False):
            result = bench.get(f"/jobs/{estimated}/results")
            fields = result["__value__"]["pub_results"][0]["__value__"]["data"]["__value__"]["fields"]
            assert np.isnan(read_array(fields["evs"])).any() == is_spoiled


def _bits(result: dict[str, Any]) -> Any:
    data = result["__value__"]["pub_results"][0]["__value__"]["data"]["__value__"]
    return read_array(data["fields"]["meas"]["__value__"]["array"])


def test_old_results_are_forgotten() -> None:
    """Beyond the memory for results the oldest are gone, and are answered with 404."""
    with opened(kept_bytes=1) as bench:
        first, second = bench.submit(), bench.submit()
        for job_id in (first, second):
            bench.wait(job_id)
        third = bench.submit()
        assert [bench.send("GET", f"/jobs/{job}/results").status_code for job in (first, second)] == [404, 404]
        assert bench.get(f"/jobs/{first}")["params"] is None
        assert bench.get(f"/jobs/{third}")["params"]["version"] == 2
