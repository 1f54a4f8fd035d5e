"""Progress tells what is left of a run, in time and money: by its own steps, and by those of earlier runs."""

import datetime as dt
import inspect
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from observing import PAID, Memory, pub, set_prices, start

import qorch
from qorch.audit.latency import measure_latency
from qorch.errors import BudgetError
from qorch.model.job import Interval
from qorch.model.money import Money
from qorch.ports.clock import WallClock
from qorch.ports.progress import MoneyInterval, Progress
from qorch.run.pace_log import LoopCount, PaceLog
from qorch.run.resources import Resources
from qorch.run.totals import MoneyTotals
from qorch.testing.fakes.backend import FakeBackend
from qorch.testing.fakes.store import MemoryStore


class HandClock(WallClock):
    """A clock that stands still until it is set forward."""

    def __init__(self) -> None:
        """Noon."""
        self.ns = 10**9

    def now(self) -> dt.datetime:
        """Noon, and what it was set forward."""
        return dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC) + dt.timedelta(microseconds=self.ns // 1000)

    def monotonic_ns(self) -> int:
        """What it was set forward."""
        return self.ns

    def forward(self, seconds: float) -> None:
        """Let so much time pass."""
        self.ns += int(seconds * 1e9)


def train(
    clock: HandClock, store: MemoryStore, *, epochs: int = 3, size: int = 4, until: int | None = None, **settings: Any
) -> list[Progress]:
    """Steps of 2 s, the first of 50 s, and after each epoch 7 s more; what was told of them."""
    shown: list[Progress] = []
    with start(store, clock=clock, progress=shown.append, **settings) as run:
        for epoch in run.epochs(epochs):
            for _ in run.steps(range(size)):
                clock.forward(50.0 if not shown else 2.0)
                if len(shown) == until:
                    raise KeyboardInterrupt
            clock.forward(7.0)
            assert epoch < epochs
    return shown


def test_the_time_that_is_left_has_the_ends_of_epochs() -> None:
    """The first step of a session, in which backends start, is no pace; a validation after each epoch counts."""
    clock = HandClock()
    shown = train(clock, MemoryStore(clock))
    assert [each.time_left for each in shown[:6]] == [None] * 6
    # One step and the end of its epoch, then four and an end; three steps of the second epoch were seen.
    assert shown[6].time_left == Interval(24, 2 + 7 + 4 * 2 + 7, 24)
    assert shown[6].remaining_seconds == 24
    assert shown[-1].time_left == Interval(7, 7, 7)


def test_earlier_runs_tell_from_the_first_step_on() -> None:
    """Of the same name, backend and settings; runs with other shots tell nothing."""
    clock = HandClock()
    store = MemoryStore(clock)
    train(clock, store)
    shown = train(clock, store, epochs=5)
    left = shown[0].time_left
    assert left is not None
    assert left.low < left.expected < left.high
    assert left.expected == pytest.approx(3 * 2 + 7 + 4 * (4 * 2 + 7))
    assert train(clock, store, shots=7)[0].time_left is None


class PlainStore(MemoryStore):
    """A store made before others looked for earlier runs and for arrays of spans."""

    runs_like = last_steps = job_spans = None  # type: ignore[assignment]


def test_observers_do_not_hide_earlier_runs() -> None:
    """They are asked for from the store itself, whose abilities can be seen without calling it, as Python 3.12 does."""
    with start(MemoryStore(WallClock()), observers=[qorch.RunObserver()]) as run:
        assert inspect.getattr_static(run._use.pace_source, "runs_like")


def test_a_store_need_not_find_earlier_runs() -> None:
    """One that cannot trains and resumes as ever: what is left rests on the run alone, and latencies on its spans."""
    clock = HandClock()
    plain, able = PlainStore(clock), MemoryStore(clock)
    with pytest.raises(KeyboardInterrupt):
        train(clock, plain, until=9)
    shown = train(clock, plain, resume=True)
    assert shown[0].time_left is None
    train(clock, able)
    for store in (plain, able):
        with start(store, clock=clock) as run:
            run.execute(pub())
    found = [measure_latency(store, store.runs()[:1]) for store in (plain, able)]
    assert [group.phase for group in found[0]] == [group.phase for group in found[1]] != []


def test_steps_that_are_only_repeated_are_no_pace() -> None:
    """A resumed run executes them in no time; those that it trained before it was stopped tell what is left."""
    clock = HandClock()
    store = MemoryStore(clock)
    with pytest.raises(KeyboardInterrupt):
        train(clock, store, until=9)
    shown = train(clock, store, resume=True)
    assert shown[0].step > 0
    left = shown[0].time_left
    assert left is not None
    assert left.expected == pytest.approx(2 * (11 - shown[0].step) + 7)


def test_a_step_that_an_earlier_session_began_is_no_pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was paid for in part: whole steps tell the money, and earlier sessions the time."""
    set_prices(tmp_path, monkeypatch)
    clock, shown = HandClock(), list[Progress]()
    store, backend = MemoryStore(clock), FakeBackend(capabilities=PAID)
    for stops_at in (5, None):
        shown.clear()
        with (
            suppress(KeyboardInterrupt),
            start(store, backend=backend, clock=clock, progress=shown.append, resume=True) as run,
        ):
            for step in run.steps(range(9)):
                clock.forward(0.06)
                run.execute(pub())
                if step == stops_at:
                    raise KeyboardInterrupt
    told = {each.step: (each.remaining_money, each.time_left) for each in shown}
    assert told[4][0] is None, "a step that is stored is repeated"
    money, time_left = told[6]
    assert money == euros(2 * 1.5)
    assert time_left is not None
    assert time_left.expected == pytest.approx(2 * 0.06)


def paid_steps(
    run: qorch.Run, shown: list[Progress], *, clock: HandClock, steps: int = 5, executes: int = 2
) -> list[tuple[Money | None, MoneyInterval | None, int | None]]:
    """Steps of a second with jobs of 1.50 EUR each; what was told of their money."""
    with run:
        for _ in run.steps(range(steps)):
            clock.forward(1.0)
            for _ in range(executes):
                run.execute(pub())
    return [(each.remaining_money, each.money_left, each.budget_step) for each in shown]


def euros(amount: float) -> Money:
    """Money of the contract."""
    return Money("EUR", round(amount * 1e6))


def test_the_money_that_is_left_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first step on at the run's rate, with an interval from the second; equal prices leave no doubt."""
    set_prices(tmp_path, monkeypatch)
    clock, shown, memory = HandClock(), list[Progress](), Memory()
    run = start(MemoryStore(clock), memory, backend=FakeBackend(capabilities=PAID), clock=clock, progress=shown.append)
    told = paid_steps(run, shown, clock=clock)
    assert [left for left, _, _ in told] == [euros(amount) for amount in (12, 9, 6, 3, 0)]
    assert told[0][1] is None
    assert told[1][1] == MoneyInterval(euros(9), euros(9), euros(9))
    assert memory.told(Progress)[1].money_left == told[1][1]


def test_the_step_that_a_budget_does_not_cover_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 10 EUR, three steps of 3 EUR are covered: the fourth, number 3, is refused as it was foretold."""
    set_prices(tmp_path, monkeypatch)
    clock, shown = HandClock(), list[Progress]()
    run = start(
        MemoryStore(clock), backend=FakeBackend(capabilities=PAID), clock=clock, progress=shown.append, budget="10 EUR"
    )
    with pytest.raises(BudgetError):
        paid_steps(run, shown, clock=clock)
    assert [each.budget_step for each in shown] == [3, 3, 3]
    wide = list[Progress]()
    run = start(MemoryStore(clock), backend=FakeBackend(capabilities=PAID), progress=wide.append, budget="15 EUR")
    assert {step for _, _, step in paid_steps(run, wide, clock=clock)} == {None}


def test_a_free_backend_has_no_money_left_to_spend() -> None:
    """And a loader without a length no time."""
    clock, shown = HandClock(), list[Progress]()
    with start(MemoryStore(clock), clock=clock, progress=shown.append) as run:
        for _ in run.steps(iter(range(3))):
            clock.forward(1.0)
    assert {(each.time_left, each.remaining_money, each.money_left, each.budget_step) for each in shown} == {
        (None, None, None, None)
    }


@pytest.mark.serial
@pytest.mark.flaky(reruns=2)
def test_what_is_left_costs_little_beside_a_step() -> None:
    """Less CPU time than a fiftieth of the smallest step that a run can have: one circuit on a fake, kept in memory."""
    spent = [0.0, 0.0]
    for is_told in (True, False):
        log, count = _log_of_a_free_run(), 400
        with start(MemoryStore(WallClock())) as run:
            begun = time.process_time()
            for step in range(count):
                if is_told:
                    log.end_step(LoopCount(step, 5_000, 100), MoneyTotals(), ended_ns=step * 10_000_000)
                else:
                    with run.step(step):
                        run.execute(pub())
            spent[is_told] = time.process_time() - begun
    assert spent[1] < spent[0] / 50


def _log_of_a_free_run() -> PaceLog:
    log = PaceLog(cast("Resources", SimpleNamespace(record=SimpleNamespace(budget=None))))
    log._ended_ns, log._has_looked_back = 0, True
    return log
