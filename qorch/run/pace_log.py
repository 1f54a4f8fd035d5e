"""Follows what the steps of a session take and cost, and says what is left of the run."""

from contextlib import suppress
from dataclasses import dataclass

from qorch.errors import StoreError
from qorch.model.job import Interval
from qorch.model.money import Money
from qorch.planning.pace import NO_PACE, Pace, PacePrior
from qorch.planning.remaining import RemainingSteps, expect, look_ahead
from qorch.ports.progress import MoneyInterval
from qorch.run.pace_history import read_prior
from qorch.run.resources import Resources
from qorch.run.totals import MoneyTotals

_PAUSE_NS = 50_000_000
"""Between two computations of what is left: nobody sees more, and steps may take a millisecond."""


@dataclass(frozen=True)
class LoopCount:
    """Where a loop is: the number of its last step, of how many in all, and how many an epoch has; None: not known."""

    step: int
    total_steps: int | None
    steps_per_epoch: int | None

    @property
    def begins_epoch(self) -> bool:
        """Whether the step was the first of an epoch."""
        if self.total_steps is None or not self.steps_per_epoch or self.steps_per_epoch < 2:
            return False
        return (self.total_steps - self.step) % self.steps_per_epoch == 0

    @property
    def left(self) -> int | None:
        """The number of steps that are left."""
        return None if self.total_steps is None else max(0, self.total_steps - self.step - 1)

    @property
    def ahead(self) -> RemainingSteps | None:
        """The steps that are left, by epochs."""
        return None if self.left is None else look_ahead(self.left, self.steps_per_epoch)


@dataclass(frozen=True)
class _Told:
    """What was computed last: seconds and micro-units, when ``left`` steps were left."""

    seconds: Interval | None
    micros: Interval | None
    left: int
    at_ns: int

    def now(self, left: int, *, now_ns: int) -> "_Told":
        """The same as it is now: the time less what has passed, the money in proportion to the steps."""
        passed, share = (now_ns - self.at_ns) / 1e9, left / self.left
        seconds, micros = self.seconds, self.micros
        if seconds is not None:
            parts = (seconds.low - passed, seconds.expected - passed, seconds.high - passed)
            seconds = Interval(*(max(0.0, part) for part in parts))
        if micros is not None:
            micros = Interval(micros.low * share, micros.expected * share, micros.high * share)
        return _Told(seconds, micros, left=left, at_ns=now_ns)


@dataclass(frozen=True)
class Remaining:
    """What is left of a run; see ``Progress``."""

    time_left: Interval | None = None
    remaining_money: Money | None = None
    money_left: MoneyInterval | None = None
    budget_step: int | None = None


class PaceLog:
    """The pace of one session: its first step counts apart, and what a resumed run repeats or completes not at all."""

    def __init__(self, resources: Resources) -> None:
        """No step has ended."""
        self._use = resources
        self._time, self._money = NO_PACE, NO_PACE
        self._prior: PacePrior | None = None
        self._ended_ns: int | None = None
        self._booked: int | None = None
        self._has_looked_back = False
        self._first_whole = 0
        self._told = _Told(None, None, left=0, at_ns=0)

    def skip_to(self, step: int) -> None:
        """Steps up to this one were stored before, and only repeated; the one after it may be half done."""
        self._first_whole = step + 2 if step >= 0 else 0

    def note_booked(self, money: MoneyTotals) -> None:
        """What was booked before the first step of the session."""
        self._booked = _booked(money)

    def end_step(self, count: LoopCount, money: MoneyTotals, *, ended_ns: int) -> Remaining:
        """Count the step that ended then, after which so much was booked, and say what is left."""
        before_ns, self._ended_ns = self._ended_ns, ended_ns
        booked = _booked(money)
        if not self._has_looked_back:
            self._look_back()
        is_counted = count.step >= self._first_whole
        if is_counted and before_ns is not None:
            self._time = self._time.after((ended_ns - before_ns) / 1e9, begins_epoch=count.begins_epoch)
        if is_counted and booked is not None and self._booked is not None:
            self._money = self._money.after(
                float(booked - self._booked), begins_epoch=count.begins_epoch and before_ns is not None
            )
        self._booked = booked
        return self._tell(count, money, ended_ns=ended_ns)

    def _look_back(self) -> None:
        """After the session's first step: its settings are known, and steps that it repeats are not yet replaced."""
        self._has_looked_back = True
        # Progress is not worth a run: a store that cannot be read says so where its results are needed.
        with suppress(StoreError):
            self._prior = read_prior(self._use)

    def _tell(self, count: LoopCount, money: MoneyTotals, *, ended_ns: int) -> Remaining:
        told, left = self._compute(count, now_ns=ended_ns), count.left
        if self._booked is None or money.spent is None or money.reserved is None:
            return Remaining(told.seconds)
        rate = _mean(self._money)
        budget_step = self._budget_step(count, money.spent.currency, rate=rate)
        if left is None or rate is None:
            return Remaining(told.seconds, budget_step=budget_step)
        expected = rate * left if told.micros is None else told.micros.expected
        return Remaining(
            told.seconds,
            Money(money.spent.currency, money.reserved.micros + max(0, round(expected))),
            None if told.micros is None else _with_reserved(told.micros, money.spent, money.reserved),
            budget_step,
        )

    def _compute(self, count: LoopCount, *, now_ns: int) -> _Told:
        """Anew when that is due, else from what was computed last."""
        before, left = self._told, count.left
        if left and left < before.left and now_ns - before.at_ns < _PAUSE_NS:
            return before.now(left, now_ns=now_ns)
        ahead = count.ahead
        if ahead is None or left is None:
            return _Told(None, None, left=0, at_ns=now_ns)
        seconds = expect(self._time, ahead, prior=self._prior)
        micros = None if self._booked is None else expect(self._money, ahead)
        self._told = _Told(seconds, micros, left=left, at_ns=now_ns)
        return self._told

    def _budget_step(self, count: LoopCount, currency: str, *, rate: float | None) -> int | None:
        """The first step that the run's own budget will not cover at this rate; None if it covers all that is left."""
        budget = self._use.record.budget
        if budget is None or self._booked is None or rate is None or rate <= 0.0 or budget.currency != currency:
            return None
        covered = int(max(0, budget.micros - self._booked) // rate)
        return None if count.left is not None and covered >= count.left else count.step + 1 + covered


def _booked(money: MoneyTotals) -> int | None:
    """What is spent or reserved, in micro-units; None if that is not known."""
    return None if money.spent is None or money.reserved is None else money.spent.micros + money.reserved.micros


def _mean(pace: Pace) -> float | None:
    """The mean step, first ones of epochs too; None before the first."""
    count = pace.steps.count + pace.first_steps.count
    if not count:
        return None
    return (pace.steps.count * pace.steps.mean + pace.first_steps.count * pace.first_steps.mean) / count


def _with_reserved(found: Interval, spent: Money, reserved: Money) -> MoneyInterval:
    """What is booked of the steps ahead, as what will be spent.

    What is reserved is the most that its jobs cost: it is in what is expected and in the most. The least is as if all
    jobs, those that are reserved too, cost what was spent so far of what was booked.
    """
    share = spent.micros / max(1, spent.micros + reserved.micros)
    amounts = (found.low * share, found.expected + reserved.micros, found.high + reserved.micros)
    return MoneyInterval(*(Money(spent.currency, round(amount)) for amount in amounts))
