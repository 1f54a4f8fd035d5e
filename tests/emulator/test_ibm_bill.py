"""The account of the IBM emulator: amounts that were computed by hand, for every way in which a job can end."""

from typing import Any

import pytest
from hand_timer import HandTimer
from ibm_bench import IbmBench, opened

SLOW = "base=2.5,execution=0.001"
"""A job of 200 shots takes 2.7 s of the device, which are 3 begun ones."""


def bill_of(bench: IbmBench) -> Any:
    """The bill, whose lines add up, and have the seconds that the instances have used."""
    bill: Any = bench.emulator.bill()
    lines = bill["jobs"] + bill["sessions"]
    assert bill["total"] == {"currency": "USD", "micros": sum(line["amount"]["micros"] for line in lines)}
    assert bill["reserved"]["micros"] == 0
    for crn, seconds in bench.emulator.truth()["instances"].items():
        own = [line for line in lines if line["instance"] == crn]
        assert sum(line["counted"].get("seconds", 0) for line in own) == seconds
    return bill


@pytest.mark.parametrize(
    ("plan", "micros"), [("pay-as-you-go", 4_800_000), ("flex", 3_600_000), ("premium", 2_400_000), ("open", 0)]
)
def test_begun_seconds_by_the_plan(plan: str, micros: int) -> None:
    """2.7 s are 3: at 1.60 USD a second, 72 or 48 USD a minute, or nothing."""
    with opened(usage=SLOW, instances=f"first={plan}") as bench:
        job_id = bench.submit()
        bench.wait(job_id)
        (line,) = bill_of(bench)["jobs"]
        assert bench.get(f"/jobs/{job_id}/metrics")["usage"]["qpu_charge_time_seconds"] == 3
        assert bench.get("/instances/usage")["usage_consumed_seconds"] == 3
    assert (line["id"], line["target"], line["state"], line["is_final"]) == (job_id, "ibm_lagos", "Completed", True)
    assert (line["counted"], line["amount"]["micros"]) == ({"seconds": 3}, micros)
    assert line["created_at_unix"] <= line["ended_at_unix"]


def test_a_set_price_is_exact_and_leaves_the_open_plan_free() -> None:
    """Three seconds at 0.000001 USD, and three at nothing; a job that is refused is on no bill."""
    with opened(usage=SLOW, price="0.000001", instances="first=premium,second=open") as bench:
        other = IbmBench(bench.emulator, "second")
        bench.wait(bench.submit())
        with other.root:
            other.wait(other.submit())
        assert bench.post(backend="ibm_nowhere").status_code == 404
        assert [line["amount"]["micros"] for line in bill_of(bench)["jobs"]] == [3, 0]


def test_failed_jobs_are_charged_for_what_ran() -> None:
    """5 s by the user's fault, 4 s up to the limit of the job, nothing by the system's."""
    timer = HandTimer()
    with opened(timer, execute="5", workers=0, faults="invalid@1,failure@2") as bench:
        ids = [bench.submit(), bench.submit(), bench.submit(cost=4)]
        timer.wait_for_sleeper(3)
        timer.advance(5.0)
        states = [bench.wait(job_id)["state"]["status"] for job_id in ids]
        lines = bill_of(bench)["jobs"]
    assert states == [line["state"] for line in lines] == ["Failed", "Failed", "Cancelled"]
    assert [line["amount"]["micros"] for line in lines] == [8_000_000, 0, 6_400_000]


def test_cancelled_jobs_are_charged_for_what_ran() -> None:
    """Nothing in the queue; after 3.2 s on the device four seconds."""
    timer = HandTimer()
    with opened(timer, queue="10", execute="50") as bench:
        running, waiting = bench.submit(), bench.submit()
        timer.wait_for_sleeper(2)
        bench.send("POST", f"/jobs/{waiting}/cancel")
        timer.advance(10.0)
        assert bench.get(f"/jobs/{running}")["status"] == "Running"
        timer.advance(3.2)
        assert [line["amount"]["micros"] for line in bill_of(bench)["jobs"]] == [0, 0]
        bench.send("POST", f"/jobs/{running}/cancel")
        assert [line["amount"]["micros"] for line in bill_of(bench)["jobs"]] == [6_400_000, 0]


def test_a_line_is_final_once_the_usage_is_complete() -> None:
    """It is charged at once, but IBM says so later."""
    timer = HandTimer()
    with opened(timer, usage=SLOW, usage_delay="30") as bench:
        bench.wait(bench.submit())
        assert [(line["amount"]["micros"], line["is_final"]) for line in bill_of(bench)["jobs"]] == [(4_800_000, False)]
        timer.advance(30.0)
        assert [line["is_final"] for line in bill_of(bench)["jobs"]] == [True]


def test_a_session_is_charged_for_its_own_time() -> None:
    """60.5 s until it rests are 61; its jobs are not charged. Those of a batch are, and the batch is not."""
    timer = HandTimer()
    with opened(timer, usage=SLOW, interactive_seconds=60.5) as bench:
        session, batch = bench.open_session(), bench.open_session("batch")
        bench.wait(bench.submit(session_id=session))
        timer.wait_for_sleeper()
        timer.advance(61.0)
        bench.wait(bench.submit(session_id=batch))
        bill = bill_of(bench)
        assert [line["session_id"] for line in bill["jobs"]] == [session, batch]
        assert [(line["counted"], line["amount"]["micros"]) for line in bill["jobs"]] == [
            ({}, 0),
            ({"seconds": 3}, 4_800_000),
        ]
        (line,) = bill["sessions"]
        assert (line["id"], line["state"], line["is_final"]) == (session, "inactive", False)
        assert (line["counted"], line["amount"]["micros"]) == ({"seconds": 61}, 97_600_000)
        assert bench.get(f"/sessions/{session}")["elapsed_time"] == 61
        bench.send("PATCH", f"/sessions/{session}", json={"accepting_jobs": False})
        assert [line["is_final"] for line in bill_of(bench)["sessions"]] == [True]
        workloads = bench.get("/workloads")["workloads"]
    used = {each["id"]: each["usage"]["qpu_charge_time_seconds"] for each in workloads}
    assert used == {session: 61, batch: 3}


def test_the_bill_is_a_document() -> None:
    """`GET /_emulator/bill`."""
    with opened() as bench:
        bench.wait(bench.submit())
        assert bench.root.get("/_emulator/bill").json() == bench.emulator.bill()
