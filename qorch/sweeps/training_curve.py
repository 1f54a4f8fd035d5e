"""What a training had reached after so many circuits, so much money and so many seconds."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from qorch.audit.page.progress import make_curves
from qorch.audit.page.records import RunCourse
from qorch.model.arrays import FloatArray, freeze

AXES = CIRCUITS, MONEY, SECONDS = ("circuits", "money", "seconds")
MOST_SMOOTHED = 20
"""Steps over which a metric is smoothed that is logged in every step, or a tenth of the steps if that is less."""


@dataclass(frozen=True, eq=False)
class TrainingCurve:
    """A metric of one training, at each of the places where it was logged, ``(S,)``.

    ``losses``: the best so far of its trailing mean; of a metric that is to be large, its negative. Best so far, as a
    training may keep its best weights; of the mean, as the smallest of many noisy losses is luck, of which a method of
    many cheap steps has more. ``budgets``: by axis, what had been used there; money is missing if it is not known.
    """

    variant: str
    seed: int
    losses: FloatArray
    budgets: Mapping[str, FloatArray]
    currency: str = ""

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for array in (self.losses, *self.budgets.values()):
            freeze(array)

    def at(self, axis: str, budgets: FloatArray) -> FloatArray:
        """The losses reached within budgets ``(B,)``; NaN before the first one."""
        places = np.searchsorted(self.budgets[axis], budgets, side="right") - 1
        values: FloatArray = np.where(places < 0, np.nan, self.losses[np.maximum(places, 0)])
        return values

    def budget_for(self, axis: str, loss: float) -> float:
        """The least budget within which a loss was reached; NaN if it was not."""
        reached = np.flatnonzero(self.losses <= loss)
        return float(self.budgets[axis][reached[0]]) if len(reached) else float("nan")


def read_training_curve(course: RunCourse, *, variant: str, metric: str, sign: float) -> TrainingCurve | None:
    """The curve of a run; None if it did not log the metric. ``sign``: -1 if the metric is to be large."""
    curves = make_curves(course)
    places = {step.step: index for index, step in enumerate(course.steps)}
    logged = {places[each.step]: each.value for each in course.metrics if each.name == metric and each.step in places}
    if not logged:
        return None
    indices = np.array(sorted(logged), dtype=np.int64)
    values = sign * np.array([logged[index] for index in indices.tolist()], dtype=np.float64)
    values[~np.isfinite(values)] = np.inf
    is_of_steps = 2 * len(values) >= len(places)
    window = max(1, min(MOST_SMOOTHED, len(values) // 10)) if is_of_steps else 1
    indices, losses = indices[window - 1 :], np.minimum.accumulate(trailing_mean(values, window))
    budgets = {CIRCUITS: (curves.executed + curves.from_cache)[indices], SECONDS: curves.seconds[indices]}
    if curves.spent is not None and curves.spent[-1] > 0:
        budgets[MONEY] = curves.spent[indices]
    return TrainingCurve(variant, course.run.seed, losses, budgets, curves.currency)


def trailing_mean(values: FloatArray, window: int) -> FloatArray:
    """Of each value and the ``window - 1`` before it, ``(S - window + 1,)``."""
    means: FloatArray = np.lib.stride_tricks.sliding_window_view(values, window).mean(axis=-1)
    return means
