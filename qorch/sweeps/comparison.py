"""Variants side by side: what each reaches within equal budgets, at its end, and what it needs for an equal loss."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qorch.errors import UsageError
from qorch.model.arrays import FloatArray
from qorch.sweeps.interval import SeedInterval, t_interval
from qorch.sweeps.training_curve import AXES, MONEY, TrainingCurve

CURVE_POINTS = 60
BUDGET_SHARES = (0.25, 1.0)
"""Of the largest budget that every training used, at which they are compared: what leads early may fall behind."""


@dataclass(frozen=True)
class Contest:
    """What variants came to in one respect. Losses count here: of a metric that is to be large, its negative.

    ``axis`` and ``budget``: within which budget; None: trained to their ends. ``values``: by variant. ``best`` and
    ``next_best``: those of the smallest means; ``difference``: of the latter from the former, seed by seed.
    """

    axis: str | None
    budget: float | None
    values: Mapping[str, SeedInterval]
    best: str
    next_best: str
    difference: SeedInterval

    @property
    def is_clear(self) -> bool:
        """Whether the seeds show a difference."""
        return self.difference.excludes(0.0)


@dataclass(frozen=True)
class Race:
    """What variants needed of one axis to reach ``loss``, which every training reached.

    ``budgets``: geometric means by variant; ``times_fewer``: how many times as much ``next_best`` needed as ``best``.
    """

    axis: str
    loss: float
    budgets: Mapping[str, float]
    best: str
    next_best: str
    times_fewer: SeedInterval

    @property
    def is_clear(self) -> bool:
        """Whether the seeds show a difference."""
        return self.times_fewer.excludes(1.0)


@dataclass(frozen=True, eq=False)
class MeanCurve:
    """The mean loss of a variant over its seeds at budgets ``(B,)``, with its interval, NaN for one seed."""

    budgets: FloatArray
    mean: FloatArray
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True, eq=False)
class Comparison:
    """All that is answered. ``curves``: by variant, in the order of their seeds, which are those that all have."""

    curves: Mapping[str, Sequence[TrainingCurve]]
    axes: tuple[str, ...]
    at_end: Contest
    at_equal_budgets: tuple[Contest, ...]
    races: tuple[Race, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of all variants."""
        return tuple(curve.seed for curve in next(iter(self.curves.values())))

    @property
    def currency(self) -> str:
        """Of the money; empty if none was spent."""
        return next((curve.currency for group in self.curves.values() for curve in group), "")


def compare(curves: Sequence[TrainingCurve]) -> Comparison:
    """Compare trainings that are done. Only the seeds count that every variant has.

    Raises UsageError if there are fewer than two variants, or no seed in common.
    """
    groups = _group(curves)
    axes = tuple(axis for axis in AXES if _is_known(axis, groups))
    equal = [_contest_within(axis, share, groups) for axis in axes for share in BUDGET_SHARES]
    loss = _shared_loss(groups)
    at_end = _decide(None, None, {name: [float(each.losses[-1]) for each in group] for name, group in groups.items()})
    return Comparison(
        curves=groups,
        axes=axes,
        at_end=at_end,
        at_equal_budgets=tuple(contest for contest in equal if contest is not None),
        races=() if loss is None else tuple(_race(axis, loss, groups) for axis in axes),
    )


def mean_curve(curves: Sequence[TrainingCurve], axis: str) -> MeanCurve:
    """From where all trainings of a variant had begun to where the first of them ended."""
    first = max(curve.budgets[axis][0] for curve in curves)
    last = max(first, min(curve.budgets[axis][-1] for curve in curves))
    budgets = np.geomspace(first, last, CURVE_POINTS) if first > 0 else np.linspace(first, last, CURVE_POINTS)
    budgets[-1] = last
    intervals = [t_interval(values) for values in np.stack([curve.at(axis, budgets) for curve in curves], axis=1)]
    low, high = (
        np.array([math.nan if end is None else end for end in ends])
        for ends in zip(*((each.low, each.high) for each in intervals), strict=True)
    )
    return MeanCurve(budgets, np.array([each.mean for each in intervals]), low, high)


def _group(curves: Sequence[TrainingCurve]) -> dict[str, list[TrainingCurve]]:
    names = list(dict.fromkeys(curve.variant for curve in curves))
    by_seed = {name: {curve.seed: curve for curve in curves if curve.variant == name} for name in names}
    common = set.intersection(*(set(each) for each in by_seed.values())) if by_seed else set()
    if len(names) < 2 or not common:
        raise UsageError(
            "there is nothing to compare yet: no seed was trained to its end, with the metric, in two variants or more"
        )
    return {name: [found[seed] for seed in sorted(common)] for name, found in by_seed.items()}


def _is_known(axis: str, groups: Mapping[str, Sequence[TrainingCurve]]) -> bool:
    curves = list(itertools.chain(*groups.values()))
    return all(axis in curve.budgets for curve in curves) and (
        axis != MONEY or len({curve.currency for curve in curves}) == 1
    )


def _shared_loss(groups: Mapping[str, Sequence[TrainingCurve]]) -> float | None:
    """The loss that every training reached; None if one began with it, which says nothing of what it needs."""
    curves = list(itertools.chain(*groups.values()))
    loss = max(float(curve.losses[-1]) for curve in curves)
    return loss if all(loss < curve.losses[0] for curve in curves) else None


def _contest_within(axis: str, share: float, groups: Mapping[str, Sequence[TrainingCurve]]) -> Contest | None:
    """Within a share of the largest budget that every training used; None if one had reached nothing within it."""
    budget = share * min(float(curve.budgets[axis][-1]) for group in groups.values() for curve in group)
    at = np.array([budget])
    losses = {name: [float(curve.at(axis, at)[0]) for curve in group] for name, group in groups.items()}
    if any(math.isnan(loss) for group in losses.values() for loss in group):
        return None
    return _decide(axis, budget, losses)


def _decide(axis: str | None, budget: float | None, losses: Mapping[str, Sequence[float]]) -> Contest:
    values = {name: t_interval(group) for name, group in losses.items()}
    best, next_best = sorted(values, key=lambda name: values[name].mean)[:2]
    differences = [other - own for own, other in zip(losses[best], losses[next_best], strict=True)]
    difference = t_interval(differences, n_questions=_count_pairs(losses))
    return Contest(axis, budget, values, best, next_best, difference)


def _race(axis: str, loss: float, groups: Mapping[str, Sequence[TrainingCurve]]) -> Race:
    logarithms = {
        name: [math.log(max(curve.budget_for(axis, loss), 1e-12)) for curve in group] for name, group in groups.items()
    }
    means = {name: float(np.mean(group)) for name, group in logarithms.items()}
    best, next_best = sorted(means, key=lambda name: means[name])[:2]
    ratios = [other - own for own, other in zip(logarithms[best], logarithms[next_best], strict=True)]
    times_fewer = t_interval(ratios, n_questions=_count_pairs(groups)).exp()
    return Race(axis, loss, {name: math.exp(mean) for name, mean in means.items()}, best, next_best, times_fewer)


def _count_pairs(groups: Mapping[str, object]) -> int:
    """Any two of the variants might have become the best and the next."""
    return math.comb(len(groups), 2)
