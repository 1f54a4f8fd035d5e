"""What jobs were charged for: recorded with their end or later, asked for ever more seldom, waited for by nothing."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from simulation.harness import Sandbox

from qorch.engine.engine import Engine
from qorch.engine.remote.usage_watch import EARLIER_DAYS, END_SECONDS, MOST_EARLIER
from qorch.errors import BudgetError, BusyError, JobFailedError
from qorch.model.job import Interval, JobRequest, JobState, Usage
from qorch.model.money import Money
from qorch.model.prices.card import Certainty, PriceCard, UnitPrices
from qorch.model.usage import NO_USAGE, PENDING_USAGE, ReportedUsage, report_usage
from qorch.planning.budgets import Buyer, applied_budgets
from qorch.testing.fakes.provider import Fault
from qorch.testing.fakes.remote import FREE, PAID, FakeRemote

HOUR = 3600.0


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A provider whose device charges three seconds a job."""
    box = Sandbox()
    box.provider.charge_seconds = lambda: 3.0
    yield box
    box.close()


def paid(sandbox: Sandbox, **settings: Any) -> FakeRemote:
    """A device that charges."""
    return sandbox.remote(**{"capabilities": PAID, "rows_in_job": 4} | settings)


def usages(sandbox: Sandbox) -> list[ReportedUsage | None]:
    """Of all stored jobs, in their order."""
    return [job.usage for job in sandbox.store.jobs()]


async def work_for(sandbox: Sandbox, engine: Engine, seconds: float, *, rows: int = 4, run_id: str = "r") -> float:
    """One call, and a training loop that then computes for so long; when the call was answered."""
    await engine.open()
    await sandbox.execute(engine, rows, run_id=run_id)
    answered_at = sandbox.loop.time()
    await asyncio.sleep(seconds)
    return answered_at


def test_usage_that_is_complete_comes_with_the_result(sandbox: Sandbox) -> None:
    """It is in the answer that said that the job is over, so that nothing else is asked."""
    sandbox.run(work_for(sandbox, sandbox.engine(paid(sandbox)), HOUR, rows=8))
    assert usages(sandbox) == [report_usage(device_seconds=3)] * 2
    assert sandbox.provider.calls["usage"] == 0


def test_pending_usage_is_asked_for_at_growing_intervals(sandbox: Sandbox) -> None:
    """While the run goes on, about all of its jobs together; the call was answered as soon as without it."""
    sandbox.provider.count_seconds = lambda: HOUR
    engine = sandbox.engine(paid(sandbox))

    async def work() -> tuple[float, list[ReportedUsage | None], int]:
        answered_at = await work_for(sandbox, engine, HOUR / 2, rows=8)
        before, asked = usages(sandbox), sandbox.provider.calls["usage"]
        await asyncio.sleep(HOUR)
        return answered_at, before, asked

    answered_at, before, asked = sandbox.run(work())
    assert answered_at < 2.0
    assert before == [PENDING_USAGE] * 2
    assert usages(sandbox) == [report_usage(device_seconds=3)] * 2
    # Of both jobs together: 2 s after their end, 4 s later and so on, and then every ten minutes.
    assert (asked, sandbox.provider.calls["usage"]) == (10, 14)


def test_the_end_of_a_run_asks_once_more_and_does_not_wait(sandbox: Sandbox) -> None:
    """What was counted since the last question is recorded; the rest stays pending."""
    waits = iter((0.5, HOUR))
    sandbox.provider.count_seconds = waits.__next__
    engine = sandbox.engine(paid(sandbox))
    sandbox.run(work_for(sandbox, engine, 1.0, rows=8))
    assert usages(sandbox) == [report_usage(device_seconds=3), PENDING_USAGE]
    assert sandbox.provider.calls["usage"] == 1
    assert sandbox.loop.time() < 4.0


def test_a_provider_that_does_not_answer_holds_up_no_end(sandbox: Sandbox) -> None:
    """The last question is given up soon."""
    sandbox.provider.count_seconds = lambda: HOUR
    remote = paid(sandbox)
    engine = sandbox.engine(remote)

    async def work() -> None:
        await work_for(sandbox, engine, 0.0)
        remote.round_trip_seconds = 10 * HOUR

    sandbox.run(work())
    assert sandbox.loop.time() < 3.0 + END_SECONDS
    assert usages(sandbox) == [PENDING_USAGE]


def test_the_next_run_on_the_account_asks_about_jobs_of_earlier_ones(sandbox: Sandbox) -> None:
    """About the newest of them, in one question, whichever run they were of; not about those of another provider."""
    sandbox.provider.count_seconds = lambda: HOUR
    sandbox.run(work_for(sandbox, sandbox.engine(paid(sandbox)), 0.0, rows=8))
    other = sandbox.engine(paid(sandbox, name="other:remote"), run_id="o")
    sandbox.run(work_for(sandbox, other, 0.0, run_id="o"))
    asked = sandbox.provider.calls["usage"]
    later = sandbox.engine(paid(sandbox, name="fake:remote,other=option"), run_id="later")

    async def start() -> None:
        await asyncio.sleep(HOUR)
        await later.open()
        await asyncio.sleep(1.0)

    sandbox.run(start())
    assert usages(sandbox) == [*[report_usage(device_seconds=3)] * 2, PENDING_USAGE]
    assert sandbox.provider.calls["usage"] == asked + 1
    assert MOST_EARLIER > 2


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_a_job_without_a_result_may_be_charged(sandbox: Sandbox, is_cancelled: bool) -> None:
    """A failed or cancelled one: its end is recorded with what is known, and the rest is asked for."""
    sandbox.provider.count_seconds = lambda: 60.0
    sandbox.provider.run_seconds = lambda: 5.0
    if not is_cancelled:
        sandbox.provider.failures = lambda: JobFailedError("it ran too long")
    engine = sandbox.engine(paid(sandbox))

    async def work() -> None:
        await engine.open()
        call = asyncio.create_task(sandbox.execute(engine, 4))
        await asyncio.sleep(2.0)
        for job in sandbox.provider.jobs.values():
            job.is_cancelled = is_cancelled
        with pytest.raises(JobFailedError):
            await call
        await asyncio.sleep(200.0)

    sandbox.run(work())
    [job] = sandbox.store.jobs()
    assert (job.state, job.usage) == (JobState.FAILED, report_usage(device_seconds=3))


BY_TIME = PriceCard(
    backends=("fake:remote",), currency="USD", certainty=Certainty.PUBLISHED, source="a test", date=None,
    prices=UnitPrices(second=Decimal(1)),
)  # fmt: skip


class Timed(FakeRemote):
    """A device whose jobs take ten seconds of it, at most."""

    def measure(self, request: JobRequest) -> Usage:
        """See Metered."""
        return Usage(request.n_rows, 0, seconds=Interval(0.0, 3.0, 10.0))


@pytest.mark.parametrize(("count_seconds", "n_calls"), [(1.5, 3), (HOUR, 1)])
def test_a_budget_waits_a_moment_for_what_is_still_reserved(
    sandbox: Sandbox, count_seconds: float, n_calls: int
) -> None:
    """A call that only lacks what is reserved for jobs that are over goes on once they are counted, if that is soon."""
    sandbox.provider.count_seconds = lambda: count_seconds
    # Each job is charged three dollars; the wall stands where no fourth could be charged the most that it may cost.
    remote = Timed(sandbox.provider, sandbox.clock, capabilities=PAID, rows_in_job=4)
    limit = Money("USD", 18_000_000)
    budgets = applied_budgets(limit, (), Buyer("r", "r", remote.name, "a"))
    engine = sandbox.engine(remote, card=BY_TIME, budgets=budgets)

    async def work() -> None:
        await engine.open()
        for step in range(n_calls):
            await sandbox.execute(engine, 4, step=step)
        with pytest.raises(BudgetError):
            await sandbox.execute(engine, 4, step=n_calls)

    sandbox.run(work())
    assert len(sandbox.provider.jobs) == n_calls


def test_trouble_with_usage_stops_nothing(sandbox: Sandbox) -> None:
    """A question that fails comes again at its next turn; the calls of the run go on meanwhile."""
    sandbox.provider.count_seconds = lambda: 10.0
    remote = paid(sandbox)
    remote.faults = lambda name: Fault.BUSY if name == "usage" and sandbox.loop.time() < 100.0 else None
    engine = sandbox.engine(remote)

    async def work() -> None:
        await work_for(sandbox, engine, 60.0)
        await sandbox.execute(engine, 4, step=1)
        await asyncio.sleep(200.0)

    sandbox.run(work())
    assert usages(sandbox) == [report_usage(device_seconds=3)] * 2


def test_a_job_that_the_provider_does_not_know_any_more_stays_pending(sandbox: Sandbox) -> None:
    """Nothing is invented for it, and it keeps no other from being recorded."""
    sandbox.provider.count_seconds = lambda: 10.0
    engine = sandbox.engine(paid(sandbox))

    async def work() -> None:
        await work_for(sandbox, engine, 0.0, rows=8)
        del sandbox.provider.jobs["job-1"]
        await asyncio.sleep(100.0)

    sandbox.run(work())
    assert sorted(map(str, usages(sandbox))) == ["3 s of the device", "pending"]


def test_the_end_of_a_job_does_not_undo_what_was_counted_meanwhile(sandbox: Sandbox) -> None:
    """An answer that is fetched again for minutes is recorded after its job was seen over, and perhaps counted."""
    sandbox.provider.count_seconds = lambda: 10.0
    sandbox.provider.spoils = lambda: 2
    remote = paid(sandbox, name="fake:slow")
    remote.faults = lambda name: Fault.BUSY if name == "fetch" and sandbox.loop.time() < 90.0 else None
    sandbox.run(work_for(sandbox, sandbox.engine(remote), 30.0))
    assert usages(sandbox) == [report_usage(device_seconds=3)]


def test_old_and_strange_jobs_of_earlier_runs_cost_no_run_anything(sandbox: Sandbox) -> None:
    """What is not known at this account is asked about once a start; after a month only `qorch recover` asks."""
    sandbox.provider.count_seconds = lambda: 90 * 24 * HOUR
    sandbox.run(work_for(sandbox, sandbox.engine(paid(sandbox)), 0.0))
    sandbox.provider.jobs.clear()
    asked = []

    async def start(engine: Engine) -> None:
        await engine.open()
        await asyncio.sleep(HOUR)
        asked.append(sandbox.provider.calls["usage"])

    sandbox.run(start(sandbox.engine(paid(sandbox), run_id="soon")))
    for _ in range(2):
        sandbox.run(asyncio.sleep(EARLIER_DAYS / 2 * 24 * HOUR))
    sandbox.run(start(sandbox.engine(paid(sandbox), run_id="late")))
    assert asked == [2, 2]
    assert usages(sandbox) == [PENDING_USAGE]


def test_free_devices_are_asked_nothing(sandbox: Sandbox) -> None:
    """Nor is anything recorded."""
    sandbox.run(work_for(sandbox, sandbox.engine(paid(sandbox, capabilities=FREE)), HOUR))
    assert (usages(sandbox), sandbox.provider.calls["usage"]) == ([None], 0)


class SilentRemote:
    """A backend that is no ReportsUsage: the fake one without the method."""

    def __init__(self, remote: FakeRemote) -> None:
        self._remote = remote

    def __getattr__(self, name: str) -> Any:
        if name == "fetch_usage":
            raise AttributeError(name)
        return getattr(self._remote, name)


def test_a_provider_that_reports_nothing_is_not_waited_for(sandbox: Sandbox) -> None:
    """Its jobs are recorded as such, and never asked about."""
    engine = sandbox.engine(SilentRemote(paid(sandbox)))  # type: ignore[arg-type]
    sandbox.run(work_for(sandbox, engine, HOUR))
    assert (usages(sandbox), sandbox.store.jobs_without_usage()) == ([NO_USAGE], [])


def test_a_usage_that_cannot_be_stored_stops_nothing(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The question comes again."""
    sandbox.provider.count_seconds = lambda: 10.0
    engine = sandbox.engine(paid(sandbox))
    original = engine._journal.record
    refused = 0

    async def record(writes: Any) -> None:
        nonlocal refused
        if len(writes) == 1 and sandbox.loop.time() < 50.0:
            refused += 1
            raise BusyError("no")
        await original(writes)

    monkeypatch.setattr(engine._journal, "record", record)
    sandbox.run(work_for(sandbox, engine, 200.0))
    assert usages(sandbox) == [report_usage(device_seconds=3)]
    assert refused > 1
