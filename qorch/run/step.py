"""Measures the steps of a session and makes their records."""

from dataclasses import dataclass, replace

from qorch.engine.recorder import Totals
from qorch.errors import UsageError
from qorch.limits import booked_card
from qorch.model.identity import Position
from qorch.model.money import NOTHING
from qorch.ports.records import StepRecord
from qorch.ports.store import Jobs
from qorch.run.metrics import MetricLog
from qorch.run.pace_log import LoopCount, PaceLog
from qorch.run.resources import Progress, Resources, StepTimer
from qorch.run.totals import MoneyTotals, credit_bought, executions_bought, finished_step, total_money

_FREE = MoneyTotals(NOTHING, NOTHING)


@dataclass(frozen=True)
class EndedStep:
    """A step that ended, and how many calls it had; not stored yet."""

    record: StepRecord
    calls: int
    seconds_per_step: float
    metrics: dict[str, float]
    ended_ns: int = 0

    def credited(self, store: Jobs) -> StepRecord:
        """The record of a replayed step: results that the run had bought itself do not count as from the cache."""
        return credit_bought(self.record, store, calls=self.calls)


class StepMeter:
    """Measures one step of a session after the other: its time, its circuits and its numbers."""

    def __init__(self, resources: Resources, metrics: MetricLog) -> None:
        """No step has begun yet."""
        self._use = resources
        self._metrics = metrics
        self._timer = StepTimer(resources.clock)
        self._begun_at = resources.clock.now()
        self._totals = Totals()
        self._last: StepRecord | None = None
        self._pace = PaceLog(resources)
        self._has_begun = False

    def begin(self) -> None:
        """Begin to measure a step."""
        if not self._has_begun:
            self._has_begun = True
            self._pace.note_booked(self._money())
            if self._use.is_resumed:
                steps = self._use.store.steps(self._use.record.run_id)
                self._pace.skip_to(max((record.step for record in steps), default=-1))
        self._last = None
        self._metrics.begin_step()
        self._begun_at = self._use.clock.now()
        self._totals = self._use.recorder.totals
        self._timer.begin_step()

    def end(self, position: Position, *, epoch: int | None) -> EndedStep:
        """The measures of the step at this position, which has just ended."""
        record = finished_step(
            self._use.session,
            position.step,
            begun_at=self._begun_at,
            ended_at=self._use.clock.now(),
            done=self._use.recorder.totals - self._totals,
        )
        return EndedStep(
            replace(record, epoch=epoch), position.call, self._timer.end_step(), dict(self._metrics.of_step),
            self._timer.ended_ns,
        )  # fmt: skip

    def keep(self, record: StepRecord) -> None:
        """Remember the record of the last step: circuits that run before the next step are added to it."""
        self._last = record
        self._totals = self._use.recorder.totals

    def go_back(self, step: int) -> None:
        """Go on after this step, which an earlier session of the run has stored."""
        steps = self._use.store.steps(self._use.record.run_id)
        self._last = next((record for record in steps if record.step == step), None)
        self._totals = self._use.recorder.totals

    def grown(self, calls: int) -> list[StepRecord]:
        """The last step's record with the circuits that ran after it, as in a validation, if there were any.

        ``calls``: how many calls the step and what came after it have had.
        """
        last, done = self._last, self._use.recorder.totals - self._totals
        if last is None or done == Totals():
            return []
        if self._use.is_resumed:
            # What is replayed may have been counted by the session that bought it.
            rows, cached = executions_bought(self._use.store, last.run_id, step=last.step, calls=calls), 0
        else:
            rows, cached = last.executions + done.executions, done.executions_from_cache
        self.keep(replace(last, executions=rows, executions_from_cache=last.executions_from_cache + cached))
        return [] if self._last is None else [self._last]

    def _money(self) -> MoneyTotals:
        """What the run has spent and reserved. Reads the store, if the backend charges."""
        record, card = self._use.record, self._use.card
        if not self._use.backend.capabilities.charges:
            return _FREE
        booked = None if card is None else booked_card(self._use.backend, card)
        return total_money(record, self._use.store.ledger_balances(since=record.created_at.date()), card=booked)

    def progress(self, ended: EndedStep, count: LoopCount) -> Progress:
        """Where the run is after a step. Reads the store, if the backend charges."""
        record, money = self._use.record, self._money()
        left = self._pace.end_step(count, MoneyTotals() if money is _FREE else money, ended_ns=ended.ended_ns)
        return Progress(
            step=ended.record.step,
            total_steps=count.total_steps,
            seconds_per_step=ended.seconds_per_step,
            elapsed_seconds=self._use.recorder.elapsed_ns() / 1e9,
            metrics=ended.metrics,
            totals=self._use.recorder.totals,
            spend=money.spent,
            run=record.name,
            reserved=money.reserved,
            budget=record.budget,
            run_id=record.run_id,
            time_left=left.time_left,
            remaining_money=left.remaining_money,
            money_left=left.money_left,
            budget_step=left.budget_step,
        )


def open_step(number: int, why: str) -> UsageError:
    """The error of what cannot be done inside of a step; ``why``: as a clause."""
    return UsageError(
        f"step {number} has not ended: {why}. If a loop over run.steps was left by `break` and a variable, such as a"
        " progress bar, still holds it, close() it first"
    )
