"""What boto3 sees of the Braket emulator's spending limits: set, searched, changed, deleted, and kept."""

import datetime
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from braket_bench import FORTE, GARNET, SV1, BraketBench, opened, refusal
from hand_timer import HandTimer

PRICE = "task=0.3,shot=0.01"
"""100 shots cost 1.30 USD."""


@pytest.fixture
def bench() -> Iterator[BraketBench]:
    """An emulator with round prices, and clients of the region where the Forte is."""
    with opened(quotas="", noise="off", price=PRICE) as one:
        yield one


def limit_of(bench: BraketBench) -> dict[str, Any]:
    """The Forte's limit."""
    filters = [{"name": "deviceArn", "operator": "EQUAL", "values": [FORTE]}]
    [found] = bench.braket.search_spending_limits(filters=filters)["spendingLimits"]
    return dict(found)


def test_a_limit_is_set_changed_and_deleted(bench: BraketBench) -> None:
    """With the documented fields; the same token makes one limit, and changes it once."""
    call = {"clientToken": "t", "deviceArn": FORTE, "spendingLimit": "25.50", "tags": {"a": "b"}}
    arn = bench.braket.create_spending_limit(**call)["spendingLimitArn"]
    assert bench.braket.create_spending_limit(**call)["spendingLimitArn"] == arn
    found = limit_of(bench)
    assert (found["spendingLimitArn"], found["deviceArn"], found["tags"]) == (arn, FORTE, {"a": "b"})
    assert (found["spendingLimit"], found["totalSpend"], found["queuedSpend"]) == ("25.50", "0.00", "0.00")
    assert isinstance(found["updatedAt"], datetime.datetime)
    assert found["timePeriod"]["startAt"] <= datetime.datetime.now(datetime.UTC) < found["timePeriod"]["endAt"]
    for amount in ("30", "40"):
        bench.braket.update_spending_limit(spendingLimitArn=arn, clientToken="u", spendingLimit=amount)
    assert limit_of(bench)["spendingLimit"] == "30.00"
    bench.braket.delete_spending_limit(spendingLimitArn=arn)
    assert bench.braket.search_spending_limits()["spendingLimits"] == []
    with pytest.raises(ClientError) as error:
        bench.braket.delete_spending_limit(spendingLimitArn=arn)
    assert refusal(error)[:2] == (404, "ResourceNotFoundException")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"deviceArn": SV1}, "not supported"),
        ({"spendingLimit": "1.234"}, "an amount in USD"),
        ({"timePeriod": {"startAt": 200, "endAt": 100}}, "must end after it starts"),
    ],
)
def test_limits_that_cannot_be_are_refused(bench: BraketBench, fields: dict[str, Any], words: str) -> None:
    """So is a second one for a device; limits of other regions are not shown."""
    call = {"deviceArn": FORTE, "spendingLimit": "25"}
    with pytest.raises(ClientError) as error:
        bench.braket.create_spending_limit(**call | fields)
    assert refusal(error)[:2] == (400, "ValidationException")
    assert words in refusal(error)[2]
    bench.braket.create_spending_limit(**call)
    with pytest.raises(ClientError) as error:
        bench.braket.create_spending_limit(**call)
    assert "already exists" in refusal(error)[2]
    far = BraketBench(bench.emulator, "eu-north-1")
    assert far.braket.search_spending_limits()["spendingLimits"] == []
    far.braket.create_spending_limit(deviceArn=GARNET, spendingLimit="1")


def test_a_task_beyond_the_limit_is_refused() -> None:
    """It counts as queued from its creation, as spent once it is over, and not at all if it was cancelled."""
    timer = HandTimer()
    with opened(quotas="", noise="off", price=PRICE, queue="10", timer=timer) as bench:
        bench.create(deviceArn=FORTE)  # before there was a limit
        bench.braket.create_spending_limit(deviceArn=FORTE, spendingLimit="3.00")
        first, second = (bench.create(deviceArn=FORTE) for _ in range(2))
        assert (limit_of(bench)["queuedSpend"], limit_of(bench)["totalSpend"]) == ("2.60", "0.00")
        with pytest.raises(ClientError) as error:
            bench.create(deviceArn=FORTE)
        assert refusal(error)[:2] == (400, "ValidationException")
        assert "exceeds what remains of the spending limit" in refusal(error)[2]
        bench.braket.cancel_quantum_task(quantumTaskArn=second)
        assert limit_of(bench)["queuedSpend"] == "1.30"
        timer.advance(11.0)
        bench.wait(first)
        assert (limit_of(bench)["queuedSpend"], limit_of(bench)["totalSpend"]) == ("0.00", "1.30")
        bench.create(deviceArn=FORTE)
        bench.create(deviceArn=SV1)
        with pytest.raises(ClientError):
            bench.create(deviceArn=FORTE)


def test_outside_of_its_period_nothing_is_taken(bench: BraketBench) -> None:
    """However much is left."""
    period = {"startAt": 1_000, "endAt": 2_000}
    bench.braket.create_spending_limit(deviceArn=FORTE, spendingLimit="1000", timePeriod=period)
    with pytest.raises(ClientError) as error:
        bench.create(deviceArn=FORTE)
    assert "outside of its time period" in refusal(error)[2]
