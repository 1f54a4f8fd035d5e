"""What the money of a run bought: executions, shots, gradient steps, and how much less the loss is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from qorch.model.job import JobState
from qorch.model.ledger import JobBalance
from qorch.model.money import MICROS_PER_UNIT, Money
from qorch.ports.records import JobRecord, MetricRecord, StepRecord

LOSS = "loss"
"""The name under which a training logs what it makes smaller."""
_SMOOTHED_SHARE = 10


@dataclass(frozen=True)
class LossChange:
    """The loss at the begin and at the end of a run: means of the first and the last ``n_values`` that were logged.

    One tenth of all values, and at least one: what a single step logs is noise.
    """

    first: float
    last: float
    n_values: int

    @property
    def decrease(self) -> float | None:
        """By how much it is less at the end; None if it is not."""
        return self.first - self.last if self.last < self.first else None

    def decrease_per_unit(self, spent_micros: int) -> float | None:
        """The decrease for one unit of the currency; None if there was none, or nothing was spent."""
        if self.decrease is None or spent_micros <= 0:
            return None
        return self.decrease * MICROS_PER_UNIT / spent_micros


@dataclass(frozen=True)
class Purchase:
    """What ``spent`` bought. ``executions`` and ``shots``: of jobs that were done; ``shots`` None if not all are known.

    ``steps``: finished steps of the training. ``done_micros``: what was spent on the jobs that were done; None if the
    price of a job is not known, and then nothing has a mean price.
    """

    spent: Money
    done_micros: int | None
    jobs: int
    executions: int
    shots: int | None
    steps: int
    loss: LossChange | None

    def price_of(self, executions: int) -> Money | None:
        """So many executions at the mean price of those that were done; None if there were none, or it is not known."""
        if self.done_micros is None:
            return None
        return _divide(Money(self.spent.currency, self.done_micros * executions), self.executions)

    @property
    def per_execution(self) -> Money | None:
        """The mean price of an execution that was done; None if there was none."""
        return self.price_of(1)

    @property
    def per_thousand_shots(self) -> Money | None:
        """The mean price of a thousand shots that were done; None if there were none, or they are not all known."""
        if self.done_micros is None:
            return None
        return _divide(Money(self.spent.currency, 1000 * self.done_micros), self.shots or 0)

    @property
    def per_step(self) -> Money | None:
        """All that was spent, for each finished step; None if there is none, or it is not known."""
        return None if self.done_micros is None else _divide(self.spent, self.steps)

    @property
    def loss_decrease_per_unit(self) -> float | None:
        """The decrease of the loss for one unit of the currency; None if there was none, or it is not known."""
        if self.loss is None or self.done_micros is None:
            return None
        return self.loss.decrease_per_unit(self.spent.micros)

    def to_json(self) -> dict[str, Any]:
        """As it stands in JSON documents: prices are money, or null where there is nothing to divide by."""
        return {
            "jobs": self.jobs,
            "executions": self.executions,
            "shots": self.shots,
            "gradient_steps": self.steps,
            "per_execution": _as_json(self.per_execution),
            "per_thousand_shots": _as_json(self.per_thousand_shots),
            "per_gradient_step": _as_json(self.per_step),
            "loss": None if self.loss is None else self._loss_json(self.loss),
        }

    def _loss_json(self, loss: LossChange) -> dict[str, Any]:
        return {**vars(loss), "decrease": loss.decrease, "decrease_per_unit": self.loss_decrease_per_unit}


def find_purchase(
    spent: Money,
    jobs: Sequence[JobRecord],
    balances: dict[str, JobBalance],
    *,
    steps: Sequence[StepRecord],
    metrics: Sequence[MetricRecord],
    jobs_unpriced: int = 0,
) -> Purchase:
    """What the money of a run bought. ``balances``: of its jobs, by id; ``jobs_unpriced``: how many have no price."""
    done = [job for job in jobs if job.state is JobState.DONE]
    shots = [None if job.shots is None else job.shots * job.n_executions for job in done]
    return Purchase(
        spent=spent,
        done_micros=None
        if jobs_unpriced
        else sum(balances[job.job_id].spent_micros for job in done if job.job_id in balances),
        jobs=len(done),
        executions=sum(job.n_executions for job in done),
        shots=None if None in shots else sum(each for each in shots if each is not None),
        steps=len(steps),
        loss=find_loss_change([metric.value for metric in metrics if metric.name == LOSS]),
    )


def find_loss_change(values: Sequence[float]) -> LossChange | None:
    """The change of a loss from its values in order; None if fewer than two of them are finite."""
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < 2:
        return None
    n_values = max(1, len(finite) // _SMOOTHED_SHARE)
    return LossChange(math.fsum(finite[:n_values]) / n_values, math.fsum(finite[-n_values:]) / n_values, n_values)


def _divide(money: Money, count: int) -> Money | None:
    """The amount for each one, to the nearest millionth."""
    return Money(money.currency, round(Fraction(money.micros, count))) if count else None


def _as_json(money: Money | None) -> dict[str, object] | None:
    return None if money is None else money.to_json()
