"""The account of the IonQ emulator: amounts that were computed by hand, for every way in which a job can end."""

from collections.abc import Callable
from typing import Any

from emulator_bench import Bench, Gate
from hand_timer import HandTimer

QPU = "qpu.forte-1"
ONE, TWO = 2, 1
"""Gates of `skewed` on one and on two qubits."""


def money(micros: int) -> dict[str, object]:
    """An amount as it stands in a bill."""
    return {"currency": "USD", "micros": micros}


def sums(bench: Bench) -> tuple[object, object]:
    """What is charged and what is reserved; the lines add up to both."""
    bill: Any = bench.emulator.bill()
    for name, part in (("total", "amount"), ("reserved", "reserved")):
        assert bill[name]["micros"] == sum(line[part]["micros"] for line in bill["jobs"])
    return bill["total"]["micros"], bill["reserved"]["micros"]


def test_gates_times_shots_with_a_minimum(open_bench: Callable[..., Bench], skewed: list[Gate]) -> None:
    """20,000 shots of two such circuits: 2 x 20,000 x (2 x 0.000220 + 0.000975) USD; few shots: 12.4166 USD."""
    bench = open_bench()
    many = bench.run(skewed, skewed, backend=QPU, shots=20_000)
    bench.run(skewed, backend=QPU, shots=100)
    bench.run(skewed, shots=100)
    bill: Any = bench.emulator.bill()
    assert [line["amount"] for line in bill["jobs"]] == [money(56_600_000), money(12_416_600), money(0)]
    assert bill["total"] == money(69_016_600)
    line = bill["jobs"][0]
    assert line["counted"] == {
        "circuits": 2,
        "shots": 40_000,
        "one_qubit_gate_shots": ONE * 40_000,
        "two_qubit_gate_shots": TWO * 40_000,
    }
    assert (line["id"], line["target"], line["state"], line["is_final"]) == (many["id"], QPU, "completed", True)
    assert line["created_at_unix"] <= line["ended_at_unix"]
    assert bench.get(f"/jobs/{many['id']}/cost")["cost"] == {"value": 56.6, "unit": "usd"}
    assert bench.emulator.jobs()[0]["price_usd_micros"] == 56_600_000


def test_mitigated_jobs_have_a_minimum_of_their_own(open_bench: Callable[..., Bench], skewed: list[Gate]) -> None:
    """97.50 USD, or what more shots cost: 100,000 x 0.001415 USD."""
    bench = open_bench()
    settings = {"error_mitigation": {"debiasing": True}}
    for shots in (500, 100_000):
        bench.run(skewed, backend=QPU, shots=shots, settings=settings)
    bill: Any = bench.emulator.bill()
    assert [line["amount"]["micros"] for line in bill["jobs"]] == [97_500_000, 141_500_000]


def test_circuits_that_failed_are_not_charged(open_bench: Callable[..., Bench], skewed: list[Gate]) -> None:
    """One of three of 20,000 shots: two thirds; a whole job, and one that is refused: nothing."""
    bench = open_bench(faults="child-failure@1,failure@2")
    bench.run(skewed, skewed, skewed, backend=QPU, shots=20_000)
    bench.run(skewed, backend=QPU, shots=20_000)
    assert bench.post(skewed, backend=QPU, shots=0).status_code == 400
    bill: Any = bench.emulator.bill()
    assert [(line["state"], line["amount"]["micros"]) for line in bill["jobs"]] == [
        ("failed", 56_600_000),
        ("failed", 0),
    ]
    assert [line["counted"].get("circuits") for line in bill["jobs"]] == [2, None]
    assert sums(bench) == (56_600_000, 0)


def test_credit_is_reserved_until_a_job_has_run(open_bench: Callable[..., Bench], skewed: list[Gate]) -> None:
    """Charged when it completes; released if it is cancelled before, in the queue or as it runs."""
    timer = HandTimer()
    bench = open_bench(timer, queue="10", execute="5", price="0.01")
    kept, waiting, running = (bench.submit(skewed, backend=QPU, shots=100) for _ in range(3))
    assert sums(bench) == (0, 3_000_000)
    timer.wait_for_sleeper(3)
    bench.client.put(f"/jobs/{waiting}/status/cancel")
    assert sums(bench) == (0, 2_000_000)
    timer.advance(12.0)
    assert bench.get(f"/jobs/{running}")["status"] == "started"
    bench.client.put(f"/jobs/{running}/status/cancel")
    assert sums(bench) == (0, 1_000_000)
    timer.wait_for_sleeper()
    timer.advance(3.0)
    bench.wait(kept)
    bench.client.put(f"/jobs/{kept}/status/cancel")
    assert sums(bench) == (1_000_000, 0)
    bill: Any = bench.emulator.bill()
    assert [line["is_final"] for line in bill["jobs"]] == [True] * 3
    assert bill["jobs"][2]["ended_at_unix"] - bill["jobs"][2]["created_at_unix"] == 12.0


def test_the_cost_of_a_job_may_be_told_late(open_bench: Callable[..., Bench], skewed: list[Gate]) -> None:
    """Until then there is only its estimate, and its line is not final."""
    timer = HandTimer()
    bench = open_bench(timer, cost_delay="60", price="0.01")
    job = bench.run(skewed, backend=QPU, shots=100)
    dollars = {"value": 1.0, "unit": "usd"}
    assert bench.get(f"/jobs/{job['id']}/cost") == {"dry_run": False, "estimated_cost": dollars}
    assert [line["is_final"] for line in bench.emulator.bill()["jobs"]] == [False]
    timer.advance(60.0)
    assert bench.get(f"/jobs/{job['id']}/cost")["cost"] == dollars
    assert [line["is_final"] for line in bench.emulator.bill()["jobs"]] == [True]


def test_prices_of_a_contract_add_up_exactly(open_bench: Callable[..., Bench], skewed: list[Gate]) -> None:
    """Millionths of a dollar: 3 x 100,000 x 2 x 0.000001 + 3 x 100,000 x 0.1 USD, and 7 shots of one circuit."""
    bench = open_bench(price="gate1=0.000001,gate2=0.1")
    bench.run(skewed, skewed, skewed, backend=QPU, shots=100_000)
    assert bench.run(skewed, backend=QPU, shots=7)["cost_model"] == "2QGE_operations"
    assert sums(bench) == (30_000_600_000 + 700_014, 0)
    assert bench.get("/jobs/estimate?backend=qpu.forte-1")["rate_information"]["cost_2q_gate"] == 0.1


def test_the_same_body_twice_is_bought_twice(open_bench: Callable[..., Bench], skewed: list[Gate]) -> None:
    """The service knows no tokens; a key in the metadata is the client's own."""
    bench = open_bench(price="0.01")
    for _ in range(2):
        bench.run(skewed, backend=QPU, shots=100, metadata={"qorch_key": "k"})
    assert [line["key"] for line in bench.emulator.bill()["jobs"]] == ["k", "k"]
    assert sums(bench) == (2_000_000, 0)


def test_the_bill_is_a_document(open_bench: Callable[..., Bench], skewed: list[Gate]) -> None:
    """`GET /_emulator/bill`; a new beginning empties it."""
    bench = open_bench()
    bench.run(skewed, backend=QPU, dry_run=True)
    root = bench.emulator.root
    bill = bench.client.get(f"{root}/_emulator/bill").json()
    assert bill == bench.emulator.bill()
    assert (bill["total"], bill["reserved"], bill["sessions"]) == (money(0), money(0), [])
    assert [line["counted"] for line in bill["jobs"]] == [{}]
    bench.client.post(f"{root}/_emulator/reset")
    assert bench.emulator.bill()["jobs"] == []
