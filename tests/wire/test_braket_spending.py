"""Spending limits of Amazon Braket: set where the name asks for one, shown by diagnoses, and a wall for tasks."""

import asyncio
import datetime
import json
import secrets
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from braket_bench import GARNET, BraketBench, opened
from braket_vendor import environment
from ionq_servers import request_of

from qorch.errors import BudgetError, BusyError, CredentialsError, InvalidResultError, SpendingLimitError, UsageError
from qorch.model.exchange_times import ExchangeTimes
from qorch.model.money import Money
from qorch.ports.backend import FindingStatus
from qorch.ports.clock import WallClock
from qorch_providers.braket import open_backend
from qorch_providers.braket.backend import BraketBackend
from qorch_providers.braket.options import parse_options
from qorch_providers.braket.wire.refusals import read_refusal
from qorch_providers.braket.wire.spending_documents import decode_limits, encode_new_limit
from qorch_providers.http import HttpResponse

TAG = "qorch-spending-limit"
NAME = "t"
SHOTS = 100
"""Cost 1.30 USD here."""


@pytest.fixture
def bench() -> Iterator[BraketBench]:
    """An emulator with round prices, and clients of the region where Garnet is."""
    with opened("eu-north-1", quotas="", noise="off", price="task=0.3,shot=0.01") as one:
        yield one


def work_with(bench: BraketBench, options: str, work: Callable[[BraketBackend], Awaitable[Any]]) -> Any:
    """Run with an open backend."""

    async def main() -> Any:
        variables = environment(bench.emulator.root)
        backend = open_backend(f"garnet,{options}".rstrip(","), clock=WallClock(), environment=variables)
        assert isinstance(backend, BraketBackend)
        try:
            await backend.open()
            return await work(backend)
        finally:
            await backend.close()

    return asyncio.run(main())


async def send(backend: BraketBackend) -> str:
    """Submit one row of 100 shots."""
    return await backend.submit(backend.encode(request_of(1, shots=SHOTS), key=secrets.token_hex(32)))


def limits_of(bench: BraketBench) -> list[tuple[str, str]]:
    """Amount and tags of each limit at the emulator."""
    found = bench.braket.search_spending_limits()["spendingLimits"]
    return [(each["spendingLimit"], ",".join(each["tags"])) for each in found]


def limits_finding(bench: BraketBench, options: str = "") -> tuple[FindingStatus, str]:
    """What a diagnosis says of limits."""

    async def diagnose(backend: BraketBackend) -> tuple[FindingStatus, str]:
        [found] = [each for each in await backend.diagnose() if each.name == "limits"]
        return found.status, found.message

    found: tuple[FindingStatus, str] = work_with(bench, options, diagnose)
    return found


def test_a_limit_is_set_before_the_first_task(bench: BraketBench) -> None:
    """Not by opening or looking; once for many tasks, and changed where the next run asks for another amount."""

    async def send_three(backend: BraketBackend) -> None:
        assert limits_of(bench) == []
        await asyncio.gather(*(send(backend) for _ in range(3)))
        assert backend.calls["limit"] == 2

    async def send_one(backend: BraketBackend) -> None:
        await send(backend)

    work_with(bench, "spending_limit=25USD", send_three)
    assert limits_of(bench) == [("25.00", TAG)]
    work_with(bench, "spending_limit=25USD", send_one)
    work_with(bench, "spending_limit=30.50USD", send_one)
    assert limits_of(bench) == [("30.50", TAG)]
    work_with(bench, "", send_one)
    assert limits_of(bench) == [("30.50", TAG)]


def test_somebody_elses_limit_is_never_changed(bench: BraketBench) -> None:
    """A lower one serves; a higher one would not keep what was asked for, so no task is sent."""

    async def refuse(backend: BraketBackend) -> None:
        with pytest.raises(SpendingLimitError, match=r"limit of 100.00 USD that qorch has not set.*lower it to 25.00"):
            await send(backend)

    bench.braket.create_spending_limit(deviceArn=GARNET, spendingLimit="100")
    work_with(bench, "spending_limit=25USD", refuse)
    assert (limits_of(bench), bench.emulator.jobs()) == ([("100.00", "")], [])
    work_with(bench, "spending_limit=100USD", send)
    work_with(bench, "spending_limit=200USD", send)
    assert (limits_of(bench), len(bench.emulator.jobs())) == ([("100.00", "")], 2)


def test_a_task_beyond_the_limit_is_refused_for_good(bench: BraketBench) -> None:
    """As by a budget: what was accepted stays, and the sentence says what to do."""

    async def exceed(backend: BraketBackend) -> None:
        for _ in range(2):
            await send(backend)
        with pytest.raises(SpendingLimitError, match=r"the spending limit of the device is reached.*resume") as caught:
            await send(backend)
        assert isinstance(caught.value, BudgetError)

    work_with(bench, "spending_limit=3USD", exceed)
    assert len(bench.emulator.jobs()) == 2
    status, message = limits_finding(bench, "spending_limit=2.60USD")
    assert status is FindingStatus.OK
    assert "3.00 USD until 2100-01-01, of which 2.60 USD are spent and 0.00 USD are queued (set by qorch)" in message
    assert "2.60 USD is set before the first task" in message
    assert limits_of(bench) == [("3.00", TAG)]


@pytest.mark.parametrize(
    "fault", ["limit:reset-after@1", "limit:500-after@1", "limit:429-before@1", "limits:reset-before@1"]
)
def test_a_limit_whose_answer_was_lost_is_set_once(bench: BraketBench, fault: str) -> None:
    """The task waits, and is sent once the limit is certain."""

    async def try_twice(backend: BraketBackend) -> None:
        with pytest.raises(BusyError):
            await send(backend)
        assert bench.emulator.jobs() == []
        await send(backend)

    bench.emulator.set_faults(fault)
    work_with(bench, "spending_limit=25USD", try_twice)
    assert limits_of(bench) == [("25.00", TAG)]


def test_a_limit_that_cannot_be_set_keeps_tasks_back(bench: BraketBench) -> None:
    """Whether Braket refuses it, or the credentials may not set one."""

    async def refuse(backend: BraketBackend) -> None:
        with pytest.raises(SpendingLimitError, match="cannot be set, so no task is sent"):
            await send(backend)

    async def deny(backend: BraketBackend) -> None:
        with pytest.raises(CredentialsError, match="allow it in IAM"):
            await send(backend)

    bench.emulator.set_faults("limit:400-before")
    work_with(bench, "spending_limit=25USD", refuse)
    bench.emulator.set_faults("limit:403-before")
    work_with(bench, "spending_limit=25USD", deny)
    assert bench.emulator.jobs() == []
    bench.emulator.set_faults("limits:403-before")
    assert limits_finding(bench)[0] is FindingStatus.OK
    status, message = limits_finding(bench, "spending_limit=25USD")
    assert (status, "cannot be read" in message) == (FindingStatus.WARN, True)


def test_a_diagnosis_says_how_to_set_a_limit(bench: BraketBench) -> None:
    """Where there is none, and it sets none; one that is used up is worth a warning."""
    status, message = limits_finding(bench)
    assert status is FindingStatus.OK
    assert message == "the device has no spending limit at Amazon; spending_limit=25USD in the backend's name sets one"
    bench.braket.create_spending_limit(deviceArn=GARNET, spendingLimit="0")
    assert limits_finding(bench)[0] is FindingStatus.WARN


def test_options_and_documents() -> None:
    """Amounts are exact; simulators have no limits; a page that cannot be read is told."""
    assert parse_options("garnet,spending_limit=25.5USD").spending_limit == Money("USD", 25_500_000)
    for wrong in ("sv1,spending_limit=25USD", "garnet,spending_limit=25", "garnet,spending_limit=nanUSD"):
        with pytest.raises(UsageError, match="spending"):
            parse_options(wrong)
    body = json.loads(encode_new_limit(GARNET, Money("USD", 25_000_000), token=NAME))
    assert (body["spendingLimit"], body["clientToken"], list(body["tags"])) == ("25.00", NAME, [TAG])
    for text in ("[]", '{"spendingLimits":[{}]}', "<html>"):
        with pytest.raises(InvalidResultError):
            decode_limits(text.encode())
    entry = {"spendingLimitArn": "a", "deviceArn": GARNET, "totalSpend": "1", "queuedSpend": "0"}
    for amount in ("much", "NaN", "Infinity"):
        with pytest.raises(InvalidResultError):
            decode_limits(json.dumps({"spendingLimits": [entry | {"spendingLimit": amount}]}).encode())


@pytest.mark.parametrize("status", [400, 402])
def test_a_refusal_that_names_the_limit_is_no_other(status: int) -> None:
    """Neither a quota, which is waited for, nor a fault of the task's."""
    body = json.dumps({"message": "Task cost exceeds the remaining spending limit"}).encode()
    now = datetime.datetime(2026, 11, 30, tzinfo=datetime.UTC)
    assert (
        type(read_refusal(HttpResponse(status, {}, body, now, ExchangeTimes(0, None, None, 1, 2))))
        is SpendingLimitError
    )
