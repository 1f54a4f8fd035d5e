"""What the steps ahead will take or cost, as intervals: a pure function of what steps took so far."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qorch.model.job import Interval
from qorch.planning.pace import Pace, PacePrior, PaceSums

COVERAGE = 0.9
"""How often an interval holds what comes."""
_NORMAL_QUANTILE = 1.6448536
"""Of the normal distribution, at (1 + COVERAGE) / 2."""
_MOST_DEVIATIONS = math.sqrt(19.0)
"""No sum, however it is distributed, is more than so many standard deviations above its mean more than one time in 20
(F. P. Cantelli, 1928): where next to nothing is expected, a lognormal distribution would have no end."""
FEWEST_STEPS = 10
"""Without earlier runs, fewer steps tell no interval."""
ENOUGH_STEPS = 20
"""From so many steps on, a run's own pace stands alone."""
_ENOUGH_LEVELS = 3
"""And so many epochs, in a loop over several."""
_PRIOR_STEPS = 10
"""How many steps the variance of earlier runs stands for."""
_CONTRADICTION = 3.0
"""Standard deviations by which the own steps may differ from those of earlier runs before only they count."""


@dataclass(frozen=True)
class RemainingSteps:
    """``steps`` that are left within epochs, ``first_steps`` of epochs, and what follows the last epoch.

    ``own``: those of ``steps`` in the epoch that goes on. ``squares``: the sum of the squared numbers of steps of the
    later epochs. ``climb``: of the squared numbers that are left from the begin of each later epoch on.
    """

    steps: int
    first_steps: int
    own: int
    squares: float = 0.0
    climb: float = 0.0


def look_ahead(steps: int, steps_per_epoch: int | None) -> RemainingSteps:
    """The steps that are left of a loop whose epochs are equally long; None: it has no epochs.

    A step before which a multiple of an epoch's steps is left begins an epoch.
    """
    if not steps_per_epoch or steps_per_epoch < 2:
        return RemainingSteps(steps, 0, steps)
    whole, rest = divmod(steps, steps_per_epoch)
    square = float(steps_per_epoch**2)
    return RemainingSteps(
        steps - whole, whole, rest, whole * square, square * (whole * (whole + 1) * (2 * whole + 1) / 6)
    )


@dataclass(frozen=True)
class _Expected:
    """What a step within an epoch is expected to be, the sum over those ahead, and the variances of that.

    ``parts``: of the steps and their mean, and of the epochs' levels, each with its degrees of freedom.
    """

    mean: float
    sum: float
    variance: float
    parts: tuple[tuple[float, float], ...]


def expect(pace: Pace, ahead: RemainingSteps, *, prior: PacePrior | None = None) -> Interval | None:
    """The sum over the steps ahead, and the interval that holds it in nine of ten runs; None before that is known.

    Not known is the sum before ``FEWEST_STEPS`` steps, and in a loop over several epochs before the first end of one,
    and the level of a second one, were seen; ``prior``, what earlier runs had, stands in for both. What follows the
    last epoch counts as it followed earlier ones.

    The variance is that of the steps ahead, of the mean that was measured, and of the epochs' levels; degrees of
    freedom are combined as by Welch and Satterthwaite (Biometrics Bulletin 2, 1946); the sum's distribution is taken as
    lognormal, as times and waits are skewed.
    """
    levelled = pace.with_own_epoch()
    if (
        prior is not None
        and pace.steps.count >= ENOUGH_STEPS
        and (not ahead.first_steps or levelled.levels.count >= _ENOUGH_LEVELS)
    ):
        prior = None
    if not _is_known(levelled, ahead, prior):
        return None
    step = _expect_steps(levelled, ahead, prior)
    first = _expect_first(pace, step, prior)
    mean, parts = step.sum, step.parts
    if first is not None:
        count, (first_mean, variance, seen) = ahead.first_steps + 1, first
        mean += ahead.first_steps * first_mean + max(0.0, first_mean - step.mean)
        parts = (*parts, (count * variance * (1.0 + count / seen), max(1.0, seen - 1.0)))
    return _spread(mean, parts)


def _is_known(pace: Pace, ahead: RemainingSteps, prior: PacePrior | None) -> bool:
    if ahead.first_steps and (prior is None or prior.first_mean is None):
        return pace.first_steps.count > 0 and pace.levels.count > 1 and _has_enough(pace)
    return prior is not None or _has_enough(pace)


def _has_enough(pace: Pace) -> bool:
    """Two steps do if they are alike, as prices of the same circuits are."""
    return pace.steps.count >= FEWEST_STEPS or (pace.steps.count > 1 and not pace.steps.squares)


def _expect_steps(pace: Pace, ahead: RemainingSteps, prior: PacePrior | None) -> _Expected:
    """From the own steps, and as long as these are few from those of earlier runs."""
    own, n, n_levels = pace.steps, ahead.steps, pace.levels.count
    if (wander := pace.wander()) is not None:
        return _follow(pace, ahead, wander)
    variance, freedom, drift = own.variance, _freedom(own), pace.drift()
    level_freedom = max(1.0, n_levels - 1.0)
    if prior is not None:
        weight = max(0, own.count - 1)
        variance = (weight * variance + _PRIOR_STEPS * prior.variance) / (weight + _PRIOR_STEPS)
        freedom += _PRIOR_STEPS
        drift, level_freedom = max(drift, prior.drift), max(level_freedom, prior.runs, 2.0)
    of_steps, of_levels = variance / max(1, own.count), drift / max(1, n_levels)
    mean_freedom = freedom if prior is None else max(4.0, prior.runs)
    of_mean = of_steps + of_levels
    mean, mean_variance, share = _pool(own, of_mean, prior)
    # The epoch that goes on has a level of its own, of which so much is known.
    noise = variance / max(1, pace.own_epoch.count)
    known = drift / (drift + noise) if drift and pace.own_epoch.count else 0.0
    own_level = mean + known * (pace.own_epoch.mean - mean)
    free = (n - known * ahead.own) ** 2 * mean_variance
    from_levels = of_levels / of_mean if of_mean else 0.0
    parts = (
        (n * variance, freedom),
        (free * (1.0 - from_levels), freedom if share > 0.5 else mean_freedom),
        (free * from_levels + (ahead.squares + (1.0 - known) * ahead.own**2) * drift, level_freedom),
    )
    return _Expected(mean, n * mean + ahead.own * (own_level - mean), variance, parts)


def _follow(pace: Pace, ahead: RemainingSteps, wander: float) -> _Expected:
    """From the newest level, as levels wander: from epoch to epoch by this variance."""
    own, n, variance = pace.own_epoch, ahead.steps, pace.steps.variance
    level = pace.newest or 0.0
    noise = variance / max(1, own.count)
    if level != own.mean:
        known = wander / (wander + noise) if own.count and wander else 0.0
        level, noise = level + known * (own.mean - level), wander * (1.0 - known)
    parts = (
        (n * variance + n * n * noise, _freedom(pace.steps)),
        (ahead.climb * wander, max(1.0, pace.levels.count - 2.0)),
    )
    return _Expected(level, n * level, variance, parts)


def _pool(own: PaceSums, variance: float, prior: PacePrior | None) -> tuple[float, float, float]:
    """The mean of a step, its variance, and how far it rests on the own steps; ``variance``: of their mean."""
    if prior is None or own.count >= ENOUGH_STEPS:
        return own.mean, variance, 1.0
    difference = own.mean - prior.mean
    if own.count > 1 and difference**2 > _CONTRADICTION**2 * (variance + prior.mean_variance):
        return own.mean, variance, 1.0
    if not own.count:
        return prior.mean, prior.mean_variance, 0.0
    share = prior.mean_variance / (prior.mean_variance + variance)
    return prior.mean + share * difference, share * variance, share


def _freedom(sums: PaceSums) -> float:
    """Degrees of freedom of a variance: fewer than one less than the amounts if these are skewed, as waits are.

    The variance of few skewed amounts is too small as long as the largest was not seen; by the squared coefficient of
    variation, an empirical rule (tests/simulation/test_remaining.py).
    """
    if sums.count < 2 or sums.mean <= 0.0:
        return 1.0
    return max(1.0, (sums.count - 1) / (1.0 + sums.variance / sums.mean**2))


def _expect_first(pace: Pace, step: _Expected, prior: PacePrior | None) -> tuple[float, float, float] | None:
    """Mean and variance of the first step of an epoch, and how many were seen; None if there was none."""
    own = pace.first_steps
    if own.count:
        floor = step.variance if prior is None else prior.first_variance
        return own.mean, own.variance if own.count > 2 else max(own.variance, floor), float(own.count)
    if prior is None or prior.first_mean is None:
        return None
    return prior.first_mean, prior.first_variance, float(max(2, prior.runs))


def _spread(mean: float, parts: Sequence[tuple[float, float]]) -> Interval | None:
    """The interval around a sum; ``parts``: its variances, each with its degrees of freedom."""
    if not 0.0 < mean < math.inf:
        return Interval(0.0, 0.0, 0.0) if mean == 0.0 else None
    variance = math.fsum(part for part, _ in parts)
    if variance <= 0.0:
        return Interval(mean, mean, mean)
    freedom = variance**2 / math.fsum(part * part / degrees for part, degrees in parts)
    quantile = student_quantile(freedom)
    width = quantile * math.sqrt(math.log1p(variance / mean**2))
    factor = math.exp(min(width, 50.0))
    most = mean + quantile * _MOST_DEVIATIONS * math.sqrt(variance)
    return Interval(mean / factor, mean, min(mean * factor, most))


def student_quantile(freedom: float) -> float:
    """The 95 % quantile of Student's t (M. Abramowitz, I. Stegun, Handbook of Mathematical Functions, 26.7.5)."""
    z, v = _NORMAL_QUANTILE, max(1.0, freedom)
    cube, fifth, seventh = z**3, z**5, z**7
    return (
        z + (cube + z) / (4 * v) + (5 * fifth + 16 * cube + 3 * z) / (96 * v**2)
        + (3 * seventh + 19 * fifth + 17 * cube - 15 * z) / (384 * v**3)
    )  # fmt: skip
