"""Forecasts from made-up futures: budgets, what is asked instead, and how they are shown."""

import datetime as dt
import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qorch.cli.dry_run_work import ProgressLines
from qorch.cli.forecast_table import describe_forecast, print_forecast, print_what_ifs
from qorch.config import read_config
from qorch.dry_run.forecast import judge_budget, open_mock, sum_up, summarise
from qorch.dry_run.futures import Failure, Future
from qorch.dry_run.needed_money import Need, add_up_needs, rising
from qorch.dry_run.what_if import WhatIf, parse_what_if
from qorch.errors import UsageError
from qorch.model.identity import Position
from qorch.model.job import JobState
from qorch.model.ledger import EntryKind, LedgerRecord
from qorch.model.money import parse_money
from qorch.model.profiles.profile import FaultFigures, LatencyFigures, Profile, ShareFigure, TimeFigure
from qorch.ports.clock import WallClock
from qorch.ports.records import JobRecord

NOON = dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC)


class HandClock(WallClock):
    """Stands until the test moves it."""

    seconds = 0.0

    def monotonic_ns(self) -> int:
        """See Clock."""
        return round(self.seconds * 1e9)


PRICED = open_mock("mock:ionq.qpu.forte-1", config=read_config())


def future_of(seed: int, *, wall: float = 60.0, dollars: int = 10, failure: Failure | None = None) -> Future:
    """One in which two steps cost the same."""
    needs = (Need(0, dollars * 500_000), Need(1, dollars * 1_000_000))
    phases = {"execute": 0.75 * wall, "provider_queue": 0.25 * wall}
    return Future(seed, wall, dollars * 1_000_000, 2, 20, 2_000, seed % 3, phases, needs, failure)


def entry_of(kind: EntryKind, job: str, micros: int, *, minute: int, step: int) -> LedgerRecord:
    """One of the ledger."""
    at = NOON + dt.timedelta(minutes=minute)
    return LedgerRecord("r", job, kind, "USD", micros, at, day=at.date(), step=step)


def job_of(name: str, state: JobState, *, minute: int) -> JobRecord:
    """One that has come to this state."""
    return JobRecord(name, "r", Position(0, 0), state, 1, 10, NOON + dt.timedelta(minutes=minute))


def test_need_counts_what_is_over_as_charged_and_the_rest_at_most() -> None:
    """Two jobs of a call count together; one that is over when the next is reserved counts with its charge."""
    reserved = EntryKind.RESERVED
    ledger = [
        entry_of(reserved, "a", 10, minute=0, step=0),
        entry_of(reserved, "b", 10, minute=0, step=0),
        entry_of(EntryKind.SPENT, "a", 4, minute=1, step=0),
        entry_of(EntryKind.RELEASED, "a", 6, minute=1, step=0),
        entry_of(reserved, "c", 10, minute=2, step=1),
        entry_of(reserved, "d", 10, minute=9, step=2),
    ]
    jobs = [job_of("a", JobState.DONE, minute=1), job_of("b", JobState.FAILED, minute=5)]
    jobs += [job_of("c", JobState.DONE, minute=6), job_of("d", JobState.SUBMITTED, minute=9)]
    assert add_up_needs(ledger, jobs, {"a": 4, "b": 0, "c": 7}) == (Need(0, 20), Need(1, 24))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 50)), max_size=20), st.integers(0, 60))
def test_rising_needs_stop_a_budget_where_all_would(pairs: list[tuple[int, int]], limit: int) -> None:
    """Whatever the limit, the first need above it is kept."""
    needs = [Need(*pair) for pair in pairs]

    def first_over(some: Sequence[Need]) -> Need | None:
        return next((need for need in some if need.micros > limit), None)

    assert first_over(rising(needs)) == first_over(needs)


def test_budget_is_judged_in_every_future() -> None:
    """It suffices in some, and stops the others at the step of the call that it does not cover."""
    futures = [future_of(seed, dollars=dollars) for seed, dollars in enumerate((8, 10, 12, 30))]
    judged = judge_budget(futures, parse_money("10 USD"))
    assert (judged.sufficient, judged.futures, judged.first_step, judged.median_step) == (2, 4, 0, 1)
    assert sum_up(futures, PRICED).needed == parse_money("30 USD")


def test_numbers_are_of_the_futures_that_went_well() -> None:
    """One that ended early would make the rest look cheap; it is told of, with its error."""
    failed = Failure("JobFailedError", "job r/0.0 failed", 0)
    futures = [future_of(0), future_of(1), future_of(2, wall=1.0, dollars=1, failure=failed)]
    told = sum_up(futures, PRICED)
    assert told.spend is not None
    assert (told.wall_seconds.p05, told.spend.p05, told.failed) == (60.0, 10e6, 1)
    alone = sum_up(futures[2:], PRICED)
    assert (alone.wall_seconds.p50, alone.failed) == (1.0, 1)


def test_shares_of_phases_sum_to_one() -> None:
    """They are of the mean wall time."""
    told = sum_up([future_of(0, wall=20.0), future_of(1, wall=60.0)], PRICED)
    assert [(part.phase_id, part.seconds, part.share) for part in told.phases] == [
        ("execute", 30.0, 0.75),
        ("provider_queue", 10.0, 0.25),
    ]


def test_assumed_figures_are_counted() -> None:
    """A figure is assumed if its source says so; what a profile does not give does not count."""
    profile = Profile(
        "lab",
        "of a lab",
        latencies=LatencyFigures(network=TimeFigure(source="measured in 3 runs"), queue=TimeFigure(source="assumed")),
        faults=FaultFigures(busy=ShareFigure(source="their documents; the spread is assumed")),
        origin="lab.toml",
    )
    summary = summarise(profile)
    assert (summary.name, summary.origin, summary.figures, summary.assumed) == ("lab", "lab.toml", 3, 2)


@pytest.mark.parametrize(
    ("text", "mock", "renamed"),
    [
        ("workers=40", "mock:cloud", "mock:cloud,jobs=40"),
        ("workers=40, pack=64", "mock:ibm.ibm_fez,rows=2,seed=3", "mock:ibm.ibm_fez,seed=3,jobs=40,rows=64"),
        ("gradient=spsa,shots=256", "mock:cloud,jobs=4", "mock:cloud,jobs=4"),
    ],
)
def test_what_if_is_read_and_named(text: str, mock: str, renamed: str) -> None:
    """Workers and pack are options of the mock, in place of those that it had; the others are not."""
    asked = parse_what_if(text)
    assert asked.rename(mock) == renamed
    assert str(asked) == text.replace(" ", "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("lanes=4", "no 'lanes=4'"),
        ("workers", "no 'workers'"),
        ("workers=0", "from 1"),
        ("pack=many", "whole number"),
        ("shots=1,shots=2", "twice"),
    ],
)
def test_wrong_what_if_is_refused(text: str, told: str) -> None:
    """With what could be written instead."""
    with pytest.raises(UsageError, match=told):
        parse_what_if(text)


def test_program_has_its_own_gradients() -> None:
    """Nobody but the program can choose them; everything else may be asked of it."""
    WhatIf(workers=4, pack=2, shots=100).check_script()
    with pytest.raises(UsageError, match="a program chooses the gradients"):
        WhatIf(gradient="spsa").check_script()


def test_document_has_its_keys() -> None:
    """Those that users read, with money in micro-units, and it is JSON."""
    futures = [future_of(seed, wall=60.0 + seed, dollars=10 + seed) for seed in range(19)]
    document = describe_forecast(sum_up(futures, PRICED, budget=parse_money("12 USD")))
    assert json.loads(json.dumps(document)) == document
    assert (document["jobs"], document["rows"], document["shots"]) == (2, 20, 2_000)
    assert document["spend"] == {"currency": "USD", "micros": 19_000_000}
    assert document["spend_low"]["micros"] == 10_000_000
    assert document["spend_high"]["micros"] == 28_000_000
    assert document["wall_seconds"] == {"p05": 60.0, "p50": 69.0, "p95": 78.0}
    assert document["budget"]["suffices"] is False
    assert document["budget"]["suffices_share"] == pytest.approx(3 / 19)
    assert document["smallest_budget"]["micros"] == 28_000_000
    assert (document["futures"], document["seed"], document["profile"]["name"]) == (19, 0, "ionq-qpu")


def test_text_says_what_matters(capsys: pytest.CaptureFixture[str]) -> None:
    """Money, time, budget, failures and how much of the profile is assumed; alternatives stand beside each other."""
    failed = Failure("JobFailedError", "job r/0.0 failed", 4)
    futures = [future_of(seed, wall=3_600.0 + seed) for seed in range(18)]
    futures += [future_of(18, failure=failed), future_of(19, failure=failed)]
    told = sum_up(futures, PRICED, budget=parse_money("9 USD"))
    print_forecast(told)
    print_what_ifs(told, [("workers=2", told)])
    text = capsys.readouterr().out
    for part in (
        "20 futures (seeds 0 to 19) on mock:ionq.qpu.forte-1",
        "10.00 USD, by proxy prices",
        "1 h (9 of 10: 1 h to 1 h)",
        "9.00 USD suffices in no future: it stops the run at step 2",
        "the smallest that suffices in all futures is 10.00 USD",
        "2 of 20 futures end with JobFailedError, first at step 5: job r/0.0 failed",
        "of its 20 figures are assumed",
        "workers=2",
    ):
        assert part in text


def test_few_futures_are_not_said_to_hold_nine_of_ten(capsys: pytest.CaptureFixture[str]) -> None:
    """Of fewer than 18 that end well, the smallest and the largest hold fewer: the text says how many they are."""
    broken = Failure("JobFailedError", "it failed", 0)
    for count, n_failed, said in ((17, 0, "17 futures"), (18, 0, "9 of 10"), (18, 1, "17 futures")):
        futures = [
            future_of(seed, wall=60.0 + seed, failure=broken if seed < n_failed else None) for seed in range(count)
        ]
        told = sum_up(futures, PRICED)
        print_forecast(told)
        print_what_ifs(told, [("workers=2", told)])
        out = capsys.readouterr().out
        assert f"({said}: 1 min" in out
        assert (f"workers=2: {n_failed} of {count} futures end with JobFailedError" in out) == bool(n_failed)
        assert ("9 of 10" in out) == (said == "9 of 10")


def test_futures_that_take_long_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, as steps are: a line once five seconds have passed."""
    clock = HandClock()
    lines = ProgressLines(clock)
    for number, seconds in enumerate((1.0, 4.5, 1.0, 5.0), start=1):
        clock.seconds += seconds
        lines.show_future(number, of=4)
    assert capsys.readouterr().err.splitlines() == ["dry run: future 2/4", "dry run: future 4/4"]
