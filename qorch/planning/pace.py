"""What steps took or cost so far, as sums that a step updates in microseconds; pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qorch.model.arrays import FloatArray

_FEWEST_FOR_INCIDENT = 20
_INCIDENT = 3.0
_LEAST_SHARE_OF_EPOCH = 0.25
"""An epoch that goes on tells its level once it has this share of the steps of an earlier one."""
_UNORDERED = 1.2
_FEWEST_LEVELS = 4
"""Of fewer epochs it is not told whether their levels have an order."""


@dataclass(frozen=True)
class PaceSums:
    """Count, mean, and sum of squared deviations from it of some amounts (B. P. Welford, Technometrics 4, 1962)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def after(self, amount: float) -> "PaceSums":
        """With one more amount."""
        count, delta = self.count + 1, amount - self.mean
        mean = self.mean + delta / count
        return PaceSums(count, mean, self.squares + delta * (amount - mean))

    @property
    def variance(self) -> float:
        """Of one amount; 0 before the second."""
        return self.squares / (self.count - 1) if self.count > 1 else 0.0


NO_SUMS = PaceSums()


@dataclass(frozen=True)
class Pace:
    """Amounts of steps, seconds or money: each from the end of the step before to the step's own end.

    ``steps``: of steps within an epoch. ``first_steps``: of the first steps of epochs but the first: they hold what
    lies between two epochs, such as a validation. ``levels``: the mean steps of epochs that are over;
    ``level_noise``: the sum of 1 / steps over them; ``moves``: the squared differences of each two of them in a row;
    ``newest``: the last.
    ``own_epoch``: of the epoch that goes on. ``incident``: an amount above three times the sum of all before it, as
    when a computer was asleep: it counts only once there is a second one.
    """

    steps: PaceSums = NO_SUMS
    first_steps: PaceSums = NO_SUMS
    levels: PaceSums = NO_SUMS
    level_noise: float = 0.0
    moves: PaceSums = NO_SUMS
    newest: float | None = None
    own_epoch: PaceSums = NO_SUMS
    incident: float | None = None

    def after(self, amount: float, *, begins_epoch: bool = False) -> "Pace":
        """With one more step."""
        if begins_epoch:
            closed = self.with_own_epoch(least=2)
            return replace(closed, first_steps=self.first_steps.after(amount), own_epoch=NO_SUMS)
        steps, incident = self.steps, self.incident
        if steps.count >= _FEWEST_FOR_INCIDENT and amount > _INCIDENT * steps.count * steps.mean > 0.0:
            if incident is None:
                return replace(self, incident=amount)
            steps, incident = steps.after(incident) if incident else steps, 0.0
        return Pace(
            steps.after(amount), self.first_steps, self.levels, self.level_noise, self.moves, self.newest,
            self.own_epoch.after(amount), incident,
        )  # fmt: skip

    def with_own_epoch(self, *, least: float | None = None) -> "Pace":
        """With the epoch that goes on among the levels, if it has ``least`` steps: by default a part of an epoch's."""
        own = self.own_epoch
        if least is None:
            size = (self.steps.count - own.count) / self.levels.count if self.levels.count else 0.0
            least = max(2.0, _LEAST_SHARE_OF_EPOCH * size)
        if own.count < least:
            return self
        moves = self.moves if self.newest is None else self.moves.after((own.mean - self.newest) ** 2)
        noise = self.level_noise + 1.0 / own.count
        levels = self.levels.after(own.mean)
        return Pace(self.steps, self.first_steps, levels, noise, moves, own.mean, own, self.incident)

    def drift(self) -> float:
        """The variance of the levels of epochs beyond that of their steps; 0 of fewer than two.

        The estimator of a one-way random-effects model by the method of moments; of two or three epochs, the variance
        itself: a difference of so few would be 0 too often.
        """
        if self.levels.count < _FEWEST_LEVELS:
            return self.levels.variance
        return max(0.0, self.levels.variance - self.steps.variance * self.level_noise / self.levels.count)

    def wander(self) -> float | None:
        """The variance by which a level moves from epoch to epoch if it wanders; None if the levels have no order.

        It wanders if the squared differences of levels in a row are less than 1.2 times the squared deviations from
        their mean: without order that is about 2 (J. von Neumann, Annals of Mathematical Statistics 12, 1941).
        """
        if self.levels.count < _FEWEST_LEVELS or self.moves.count * self.moves.mean >= _UNORDERED * self.levels.squares:
            return None
        return max(0.0, self.moves.mean - 2.0 * self.steps.variance * self.level_noise / self.levels.count)


NO_PACE = Pace()


def measure_pace(amounts: FloatArray, begins_epoch: npt.NDArray[np.bool_]) -> Pace:
    """The pace of steps ``(S,)`` in order; ``begins_epoch (S,)``: whether a step is the first of an epoch."""
    pace = NO_PACE
    for amount, is_first in zip(amounts.tolist(), begins_epoch.tolist(), strict=True):
        pace = pace.after(amount, begins_epoch=is_first)
    return pace


@dataclass(frozen=True)
class PacePrior:
    """What earlier runs let expect of a step before this run has had enough of them.

    ``mean``: of a step, with ``mean_variance`` between runs; ``variance`` and ``drift`` of a step and of an epoch's
    level; ``first_mean`` and ``first_variance``: of the first steps of epochs, None if no run had more than one.
    ``runs``: how many there were.
    """

    mean: float
    mean_variance: float
    variance: float
    drift: float
    first_mean: float | None
    first_variance: float
    runs: int


_LEAST_SPREAD = 0.1
_SPREAD_OF_ONE = 0.25
"""Of the mean step, between runs: at least, and if only one run is known. Machines are shared, and devices change."""


def learn_prior(paces: Sequence[Pace]) -> PacePrior | None:
    """What the paces of earlier runs say together; None without one that has two steps."""
    known = [pace for pace in paces if pace.steps.count >= 2]
    if not known:
        return None
    means = np.array([pace.steps.mean for pace in known])
    mean = float(means.mean())
    spread = float(means.std(ddof=1)) if len(known) > 1 else _SPREAD_OF_ONE * mean
    firsts = [pace.first_steps for pace in known if pace.first_steps.count]
    n_firsts = sum(first.count for first in firsts)
    first_mean = sum(first.count * first.mean for first in firsts) / n_firsts if firsts else None
    variance = float(np.mean([pace.steps.variance for pace in known]))
    return PacePrior(
        mean=mean,
        mean_variance=max(spread, _LEAST_SPREAD * mean) ** 2,
        variance=variance,
        drift=float(np.mean([pace.with_own_epoch().drift() for pace in known])),
        first_mean=first_mean,
        first_variance=max(variance, *(first.variance for first in firsts)) if firsts else variance,
        runs=len(known),
    )
