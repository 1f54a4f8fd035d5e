"""Futures of a recording: the run itself for the seed of its mock, the same for the same seeds, and sane ones."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from simulation.harness import CENT_A_SHOT, Sandbox, pub_of

from qorch.config import read_config
from qorch.dry_run.forecast import find_quantiles, forecast_mock, judge_budget, open_mock, sum_up
from qorch.dry_run.futures import PricedMock, draw_futures
from qorch.dry_run.program import DryRun, Replacements, rehearsing
from qorch.dry_run.recording import RecordedCall, RecordedMoment, RecordedRun
from qorch.engine.planner import Call
from qorch.errors import BudgetError, UsageError
from qorch.model.budget import Budget
from qorch.model.identity import Position
from qorch.model.latency import parse_latency
from qorch.model.money import Money
from qorch.model.prices.card import PriceCard, UnitPrices
from qorch.model.profiles.profile import (
    ClosureFigures,
    FaultFigures,
    LatencyFigures,
    Profile,
    ProviderFacts,
    ShareFigure,
    TimeFigure,
)
from qorch.model.profiles.writer import write_profile
from qorch.model.pub import as_batch
from qorch.model.usage import UsageUnit
from qorch.planning.budgets import Buyer, RunBudgets
from qorch.ports.clock import WallClock
from qorch_providers.mock import MockBackend
from qorch_providers.mock.provider import MockProvider

HOUR = 3_600.0
FACTS = ProviderFacts(settle_seconds=0.5, at_once=10, source="a test")
STEPS, ROWS = 3, 12


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """One world; no task may be left in it."""
    made = Sandbox()
    yield made
    made.close()


def profile_of(*, faults: FaultFigures = FaultFigures(), **latencies: str) -> Profile:  # noqa: B008
    """Of the latencies by their names."""
    figures = {name: TimeFigure(parse_latency(text), "a test") for name, text in latencies.items()}
    return Profile("test", "of a test", latencies=LatencyFigures(**figures), faults=faults, facts=FACTS)


CONSTANT = profile_of(network="0.1", acceptance="0.05", queue="1", execution="0.5", per_shot="0.001", result="0.1")
SPREAD = profile_of(network="lognormal(0.1,0.4)", queue="exponential(1)", execution="0.3..0.9")


def priced_mock(
    profile: Profile, *, name: str = "mock:ionq.qpu.forte-1,rows=6", card: PriceCard = CENT_A_SHOT
) -> PricedMock:
    """Futures by a profile."""
    opened = open_mock(name, config=read_config())
    assert isinstance(opened.mock, MockBackend)
    return PricedMock(replace(opened.mock, provider=MockProvider(profile, WallClock(), 0)), card)


def recording_of(*, steps: int = STEPS, rows: int = ROWS, compute: float = 0.5, cache: str = "resume") -> RecordedRun:
    """One call a step."""
    calls = (Call("r", 1, Position(step, 0), as_batch(pub_of(rows)), None) for step in range(steps))
    recorded = (RecordedCall(call, number - 1, compute) for number, call in enumerate(calls))
    return RecordedRun("r", 1, tuple(recorded), compute, cache)


def run_really(sandbox: Sandbox, profile: Profile, *, budget: Money | None = None, seed: int = 0) -> None:
    """The recorded training on the mock that simulates; raises what its engine raises."""
    opened = priced_mock(profile).mock
    assert isinstance(opened, MockBackend)
    mock = replace(opened, provider=MockProvider(profile, sandbox.clock, seed), clock=sandbox.clock)
    budgets = () if budget is None else (Budget(limit=budget, run_id="r"),)

    async def work() -> None:
        engine = sandbox.engine(mock, card=CENT_A_SHOT, budgets=RunBudgets(budgets, Buyer("r", "r", mock.name, "mock")))  # type: ignore[arg-type]
        await engine.open()
        for recorded in recording_of().calls:
            await sandbox.clock.sleep(recorded.compute_seconds)
            await engine.execute(recorded.call)
        await sandbox.clock.sleep(0.5)

    sandbox.run(work())


@pytest.mark.parametrize("profile", [CONSTANT, SPREAD])
def test_future_with_the_seed_of_a_run_is_that_run(sandbox: Sandbox, profile: Profile) -> None:
    """Wall time, jobs and money are those of the mock that really simulates."""
    run_really(sandbox, profile, seed=3)
    [future] = draw_futures([recording_of()], priced_mock(profile), seeds=[3])
    jobs = sandbox.store.jobs("r")
    assert future.wall_seconds == pytest.approx(sandbox.loop.time(), abs=1e-6)
    assert future.jobs == len(jobs) == STEPS * ROWS // 6
    assert future.executions == STEPS * ROWS
    assert future.shots == STEPS * ROWS * 20
    assert future.spent_micros == STEPS * ROWS * 20 * 10_000
    assert sum(future.phases.values()) == pytest.approx(future.wall_seconds)
    assert future.phases["unattributed"] < 0.01 * future.wall_seconds


def test_futures_are_the_same_for_the_same_seeds() -> None:
    """Whatever is drawn depends on the seed alone; without a spread, all seeds give one future."""
    drawn = [draw_futures([recording_of()], priced_mock(SPREAD), seeds=[4, 5]) for _ in range(2)]
    assert [(each.wall_seconds, each.phases) for each in drawn[0]] == [
        (each.wall_seconds, each.phases) for each in drawn[1]
    ]
    assert drawn[0][0].wall_seconds != drawn[0][1].wall_seconds
    constant = draw_futures([recording_of()], priced_mock(CONSTANT), seeds=[4, 5])
    assert len({each.wall_seconds for each in constant}) == 1


def test_more_workers_are_not_slower() -> None:
    """In the median of futures, twice as many jobs at once take no longer."""
    walls = [
        forecast.wall_seconds.p50
        for jobs in (1, 2, 4)
        for forecast in [
            sum_up(
                draw_futures(
                    [recording_of(steps=1, rows=32)],
                    priced_mock(SPREAD, name=f"mock:cloud,rows=4,jobs={jobs}"),
                    seeds=range(5),
                ),
                priced_mock(SPREAD),
            )
        ]
    ]
    assert walls[0] > 1.5 * walls[1] > 1.5 * walls[2]


def test_calls_that_began_together_overlap() -> None:
    """A call waits for that after which it was recorded, and for no other."""
    alone = recording_of(steps=2)
    together = replace(alone, calls=tuple(replace(call, after=-1) for call in alone.calls))
    one, both = (draw_futures([run], priced_mock(CONSTANT), seeds=[0])[0] for run in (alone, together))
    assert both.jobs == one.jobs
    assert both.wall_seconds < 0.6 * one.wall_seconds


@pytest.mark.parametrize("step", range(STEPS))
def test_budget_stops_where_the_engine_would(sandbox: Sandbox, step: int) -> None:
    """A millionth less than a step needs stops the run at that step, and what it needs does not."""
    [future] = draw_futures([recording_of()], priced_mock(CONSTANT), seeds=[0])
    needed = [need.micros for need in future.needs]
    assert [need.step for need in future.needs] == list(range(STEPS))
    short = Money("USD", needed[step] - 1)
    judged = judge_budget([future], short)
    assert (judged.sufficient, judged.first_step) == (0, step)
    assert judge_budget([future], Money("USD", needed[-1])).sufficient == 1
    with pytest.raises(BudgetError):
        run_really(sandbox, CONSTANT, budget=short)
    done = [job.position.step for job in sandbox.store.jobs("r") if job.provider_id]
    assert sorted(set(done)) == list(range(step))


def test_futures_that_fail_are_counted() -> None:
    """A job that fails for good ends its future, and the numbers are of the others."""
    faults = FaultFigures(failed_for_good=ShareFigure(0.1))
    priced = priced_mock(replace(SPREAD, faults=faults))
    futures = draw_futures([recording_of()], priced, seeds=range(12))
    told = sum_up(futures, priced)
    failed = [future for future in futures if future.failure is not None]
    assert 0 < told.failed == len(failed) < 12
    assert {part.example.error for part in told.failures} == {"JobFailedError"}
    assert "failed" in told.failures[0].example.message
    assert told.executions.p05 == told.executions.p95 == STEPS * ROWS
    assert all(future.executions < STEPS * ROWS for future in failed)


def test_an_error_with_which_the_program_went_on_ends_no_future() -> None:
    """A call that was refused in the simulation is refused in every course, and those after it are carried out."""
    run = recording_of()
    exact = replace(run.calls[1].call, batch=as_batch(pub_of(ROWS, shots=None)))
    refused = replace(run.calls[1], call=exact, is_refused=True)
    [future] = draw_futures([replace(run, calls=(run.calls[0], refused, run.calls[2]))], priced_mock(SPREAD), seeds=[0])
    assert future.failure is None
    assert future.executions == (STEPS - 1) * ROWS


def test_what_the_program_took_back_is_not_paid_for() -> None:
    """A call is cancelled as long after the end of another as it was; one that has ended by then is paid for."""
    run, priced = (
        recording_of(steps=2),
        priced_mock(profile_of(queue="100"), name="mock:ionq.qpu.forte-1,rows=12,jobs=1"),
    )
    first, second = (replace(call, after=-1) for call in run.calls)
    for seconds, executions in ((0.0, ROWS), (HOUR, 2 * ROWS)):
        cancelled = replace(second, taken_back=RecordedMoment(0, seconds))
        [future] = draw_futures([replace(run, calls=(first, cancelled))], priced, seeds=[0])
        assert future.failure is None
        assert future.executions == executions
        assert future.spent_micros == executions * 20 * 10_000


def test_retries_are_counted_and_cost_nothing() -> None:
    """A busy provider makes futures longer, and jobs are sent again; each is paid for once."""
    calm, busy = (
        sum_up(draw_futures([recording_of()], priced_mock(replace(SPREAD, faults=faults)), seeds=range(5)), priced)
        for faults in (FaultFigures(), FaultFigures(busy=ShareFigure(0.4)))
        for priced in [priced_mock(SPREAD)]
    )
    assert calm.retries.p95 == 0 < busy.retries.p50
    assert busy.wall_seconds.p50 > calm.wall_seconds.p50
    assert busy.spend == calm.spend


def test_hours_of_queue_and_closures_pass() -> None:
    """No step ends before its queue has, and a day with a calibration window is longer by about that."""
    queue = profile_of(network="0.1", queue=str(10 * HOUR), execution="60")
    closures = ClosureFigures(TimeFigure(parse_latency("86400")), TimeFigure(parse_latency("43200")))
    open_, closed = (
        sum_up(
            draw_futures([recording_of(steps=1, rows=4)], priced_mock(profile), seeds=range(3)), priced_mock(profile)
        )
        for profile in (queue, replace(queue, closures=closures))
    )
    assert 10 * HOUR < open_.wall_seconds.p05 <= open_.wall_seconds.p95 < 10.1 * HOUR
    assert open_.wall_seconds.p95 < closed.wall_seconds.p50 < 34 * HOUR


def test_equal_rows_are_bought_once_where_the_cache_says_so() -> None:
    """Under reuse, a later step takes what an earlier one stored."""
    resumed, reused = (
        draw_futures([recording_of(cache=cache)], priced_mock(CONSTANT), seeds=[0])[0] for cache in ("resume", "reuse")
    )
    assert resumed.executions == STEPS * ROWS
    assert reused.executions == ROWS


def test_runs_follow_upon_each_other() -> None:
    """What a program's runs take is added up; a budget is that of each."""
    once, twice = (draw_futures([recording_of()] * count, priced_mock(CONSTANT), seeds=[0])[0] for count in (1, 2))
    assert twice.wall_seconds == pytest.approx(2 * once.wall_seconds)
    assert twice.spent_micros == 2 * (once.spent_micros or 0)
    assert twice.needs == once.needs


def test_forecast_of_nothing_is_refused() -> None:
    """Neither without calls, nor of no futures, nor on a backend that is no mock."""
    empty = RecordedRun("r", 1, (), 0.0)
    for runs, mock, futures, told in (
        ([empty], "mock:cloud", 5, "none was recorded"),
        ([recording_of()], "mock:cloud", 0, "0 futures"),
        ([recording_of()], "local", 5, "mock:local"),
    ):
        with pytest.raises(UsageError, match=told):
            forecast_mock(runs, mock, config=read_config(), seed=0, futures=futures)


def test_quantiles_hold_nine_of_ten_further_draws() -> None:
    """The interval that 20 draws give holds a 21st in nine of ten cases."""
    random = np.random.default_rng(5)
    drawn = random.lognormal(size=(4_000, 21))
    inside = [ends.p05 <= row[20] <= ends.p95 for row in drawn for ends in [find_quantiles(row[:20])]]
    assert 0.88 < np.mean(inside) < 0.92


def test_price_of_time_is_what_the_device_takes() -> None:
    """Jobs are reserved at the most, and cost what was drawn, however late and seldom the provider tells it."""
    a_second = replace(CENT_A_SHOT, prices=UnitPrices(second=Decimal(1)))
    told_late = replace(
        profile_of(network="0.1", queue="1", execution="50", usage="90000", faults=FaultFigures(busy=ShareFigure(0.5))),
        facts=replace(FACTS, usage=(UsageUnit.DEVICE_SECONDS,)),
    )
    priced = priced_mock(told_late, name="mock:ibm.ibm_fez,rows=6", card=a_second)
    futures = draw_futures([recording_of(steps=2)], priced, seeds=range(3))
    assert {future.spent_micros for future in futures} == {4 * 50_000_000}
    for future in futures:
        first, second = (need.micros for need in future.needs)
        assert first > 2 * 50_000_000
        assert second == pytest.approx(first + 2 * 50_000_000)


def test_dry_run_without_a_spread_is_its_own_forecast(tmp_path: Path) -> None:
    """What is simulated and recorded, with the model's time frozen, is what every future is."""
    file = tmp_path / "constant.toml"
    file.write_text(write_profile(CONSTANT), encoding="utf-8")
    use = Replacements(f"ionq:qpu.forte-1,rows=6,profile={file}", compute_seconds=0.3)
    with rehearsing(tmp_path):
        dry_run = DryRun(use, tmp_path)
        with closing(dry_run):
            with dry_run.start_run("r", seed=1) as run:
                for step in range(STEPS):
                    with run.step(step):
                        run.execute([pub_of(ROWS)])
            training = dry_run.sum_up()
    recorded = [simulated.recording for simulated in training.runs]
    told = forecast_mock(recorded, training.backend, config=read_config(), seed=0, futures=2)
    assert told.wall_seconds.p05 == told.wall_seconds.p95 == pytest.approx(training.wall_seconds, abs=1e-6)
    assert told.jobs.p50 == training.runs[0].report.jobs
    assert told.spend is not None
    assert training.runs[0].report.spend == Money("USD", int(told.spend.p50))
