"""The account of the Braket emulator: amounts that were computed by hand, for every way in which a task can end."""

from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError
from braket_bench import ANKAA, FORTE, GARNET, SKEWED, BraketBench, opened, program, program_set
from hand_timer import HandTimer

PARTS = program_set(program(SKEWED, theta=[0.1, 0.2, 0.3]), program(SKEWED, theta=[0.4]))
"""Four executables."""


def lines(bench: BraketBench) -> list[Any]:
    """The lines of the bill, which add up to its total; Amazon reserves nothing."""
    bill: Any = bench.emulator.bill()
    assert bill["total"] == {"currency": "USD", "micros": sum(line["amount"]["micros"] for line in bill["jobs"])}
    assert bill["reserved"]["micros"] == 0
    return list(bill["jobs"])


@pytest.mark.parametrize(
    ("arn", "region", "micros"),
    [(GARNET, "eu-north-1", 445_000), (FORTE, "us-east-1", 8_300_000), (ANKAA, "us-west-1", 390_000)],
)
def test_a_task_and_its_shots(arn: str, region: str, micros: int) -> None:
    """0.30 USD, and 100 shots of 0.00145, 0.08 or 0.0009 USD."""
    with opened(region, quotas="") as bench:
        task = bench.create(deviceArn=arn, shots=100)
        bench.wait(task)
        (line,) = lines(bench)
    assert (line["id"], line["target"], line["state"], line["is_final"]) == (task, arn, "COMPLETED", True)
    assert line["amount"]["micros"] == micros
    assert line["counted"] == {"tasks": 1, "shots": 100}
    assert line["created_at_unix"] <= line["ended_at_unix"]


def test_a_program_set_is_one_task() -> None:
    """Its shots are all of them together; of one that failed in part those that were taken: 300 of 400."""
    with opened("eu-north-1", quotas="", faults="child-failure@2,failure@3") as bench:
        for _ in range(3):
            bench.wait(bench.create(PARTS, deviceArn=GARNET, shots=400))
        found = lines(bench)
    assert [line["amount"]["micros"] for line in found] == [300_000 + 580_000, 300_000 + 435_000, 0]
    assert [line["counted"] for line in found] == [{"tasks": 1, "shots": 400}, {"tasks": 1, "shots": 300}, {}]
    assert [line["state"] for line in found] == ["COMPLETED", "COMPLETED", "FAILED"]


def test_a_token_buys_once_and_a_refusal_nothing() -> None:
    """The same call with the same token is the same task."""
    with opened("eu-north-1", quotas="") as bench:
        token = "t" * 32
        first, second = (bench.create(deviceArn=GARNET, shots=10, clientToken=token) for _ in range(2))
        assert first == second
        bench.wait(first)
        with pytest.raises(ClientError):
            bench.create(deviceArn=GARNET, shots=0)
        (line,) = lines(bench)
    assert (line["key"], line["amount"]["micros"]) == (token, 314_500)


def test_simulators_are_charged_by_time() -> None:
    """At least 3 s, else what the result says: 5.321 s at 0.075 USD a minute are 6,651.25 begun millionths."""
    timer = HandTimer()
    with opened(timer=timer, execute="5.321", quotas="") as bench:
        arn = bench.create()
        timer.wait_for_sleeper()
        timer.advance(5.321)
        told = bench.read(bench.wait(arn))["additionalMetadata"]["simulatorMetadata"]["executionDuration"]
        (line,) = lines(bench)
    assert (told, line["counted"], line["amount"]["micros"]) == (5321, {"milliseconds": 5321}, 6652)
    with opened(quotas="", price="minute=0.1") as bench:
        bench.wait(bench.create())
        (line,) = lines(bench)
    assert (line["counted"], line["amount"]["micros"]) == ({"milliseconds": 3000}, 5000)


def test_cancelled_tasks_cost_nothing() -> None:
    """In the queue or as they run; as long as one is in progress nothing is charged, nor final."""
    timer = HandTimer()
    with opened("eu-north-1", timer=timer, queue="10", execute="5", quotas="") as bench:
        waiting, running = (bench.create(deviceArn=GARNET, shots=10) for _ in range(2))
        timer.wait_for_sleeper(2)
        bench.braket.cancel_quantum_task(quantumTaskArn=waiting, clientToken="c")
        timer.advance(12.0)
        assert bench.get(running)["status"] == "RUNNING"
        assert [(line["amount"]["micros"], line["is_final"]) for line in lines(bench)] == [(0, True), (0, False)]
        bench.braket.cancel_quantum_task(quantumTaskArn=running, clientToken="c")
        found = lines(bench)
    assert [(line["state"], line["amount"]["micros"], line["is_final"]) for line in found] == [
        ("CANCELLED", 0, True)
    ] * 2
    assert [line["counted"] for line in found] == [{}, {}]


def test_prices_of_a_contract_add_up_exactly() -> None:
    """A thousand shots of a millionth of a dollar, ten times, and a fee that is no binary fraction."""
    with opened("us-east-1", quotas="", price="task=0.1,shot=0.000001") as bench:
        for _ in range(10):
            bench.wait(bench.create(deviceArn=FORTE, shots=1000))
        assert sum(line["amount"]["micros"] for line in lines(bench)) == 1_010_000


def test_the_bill_is_a_document() -> None:
    """`GET /_emulator/bill`."""
    with opened(quotas="") as bench:
        bench.wait(bench.create())
        assert httpx.get(f"{bench.emulator.root}/_emulator/bill").json() == bench.emulator.bill()
