"""Which trial is best: the metric that decides, its direction, and the trials in that order."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qorch.errors import UnknownNameError, UsageError
from qorch.model.text import printable
from qorch.sweeps.stored_trial import StoredTrial

MAXIMIZE, MINIMIZE = "maximize", "minimize"
_USUAL = ("test_accuracy", "accuracy", "test_loss", "test_mse", "loss")
"""The metrics that decide by default: the first of them that was logged."""
_SMALL = ("loss", "mse", "error", "cost", "infidelity")
"""What a metric is to be small of, by its name."""


@dataclass(frozen=True)
class Ranking:
    """A metric, and whether its largest or its smallest value is best."""

    metric: str
    direction: str

    @property
    def is_descending(self) -> bool:
        """Whether the largest value is best."""
        return self.direction == MAXIMIZE

    def value_of(self, trial: StoredTrial) -> float | None:
        """The trial's value; None if it logged none, or one that is not a number."""
        value = trial.metrics.get(self.metric)
        return None if value is None or math.isnan(value) else value

    def order(self, trials: Sequence[StoredTrial]) -> list[StoredTrial]:
        """Best first: those that are done, then the others, each with those without a value last."""
        return sorted(trials, key=self._key)

    def best(self, trials: Sequence[StoredTrial]) -> StoredTrial | None:
        """The best trial that is done; None if there is none with a value."""
        done = [trial for trial in trials if trial.is_done and self.value_of(trial) is not None]
        return min(done, key=self._key, default=None)

    def _key(self, trial: StoredTrial) -> tuple[bool, bool, float]:
        value = self.value_of(trial)
        signed = 0.0 if value is None else -value if self.is_descending else value
        return not trial.is_done, value is None, signed


def choose_ranking(trials: Sequence[StoredTrial], *, metric: str | None, direction: str | None) -> Ranking:
    """The metric that was asked for, or else the most usual one that the trials logged, and its direction.

    Raises UnknownNameError for a metric that finished trials did not log, UsageError for another direction.
    """
    check_direction(direction)
    logged = list(dict.fromkeys(name for trial in trials for name in trial.metrics))
    if metric is not None and any(trial.is_done for trial in trials) and metric not in logged:
        raise UnknownNameError(f"no trial logged '{metric}'; logged were: {printable(', '.join(logged)) or 'nothing'}")
    chosen = metric or next((name for name in (*_USUAL, *reversed(logged)) if name in logged), _USUAL[0])
    return Ranking(chosen, direction or usual_direction(chosen))


def usual_direction(metric: str) -> str:
    """``minimize`` for losses and errors, by the metric's name, and ``maximize`` for all others."""
    return MINIMIZE if any(word in metric.lower() for word in _SMALL) else MAXIMIZE


def check_direction(direction: str | None) -> None:
    """Raise UsageError for what is no direction."""
    if direction not in {None, MAXIMIZE, MINIMIZE}:
        raise UsageError(f"--direction is '{direction}'; choose {MAXIMIZE} or {MINIMIZE}")
