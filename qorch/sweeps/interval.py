"""Intervals across seeds, by Student's t distribution."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

LEVEL = 0.95


@dataclass(frozen=True)
class SeedInterval:
    """A mean over ``count`` seeds, and the interval that has its true value with a probability of ``LEVEL``.

    ``low`` and ``high`` are None for one seed, which tells nothing of the spread.
    """

    mean: float
    low: float | None
    high: float | None
    count: int

    def excludes(self, value: float) -> bool:
        """Whether the value lies outside."""
        return self.low is not None and self.high is not None and not self.low <= value <= self.high

    def exp(self) -> "SeedInterval":
        """The interval of a ratio, from that of its logarithm."""
        low, high = (None if end is None else math.exp(end) for end in (self.low, self.high))
        return SeedInterval(math.exp(self.mean), low, high, self.count)


def t_interval(values: Sequence[float], *, n_questions: int = 1) -> SeedInterval:
    """The interval of the mean of values, one a seed.

    With few seeds, a bootstrap's intervals are too narrow; those of the t distribution hold for five, if the values are
    about normal. ``n_questions``: of as many intervals, all hold together with the probability ``LEVEL`` (Bonferroni).
    """
    array = np.asarray(values, dtype=np.float64)
    mean, count = float(array.mean()), len(array)
    if count < 2 or not np.isfinite(array).all():
        return SeedInterval(mean, None, None, count)
    half = float(stdtrit(count - 1, 1 - (1 - LEVEL) / 2 / n_questions) * array.std(ddof=1) / math.sqrt(count))
    return SeedInterval(mean, mean - half, mean + half, count)
