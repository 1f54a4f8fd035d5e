"""Learning rates over a resume: those of the checkpoint go on, unless the user allowed the program's new ones."""

import logging
from collections.abc import Sequence

from qorch.run.checkpoint.loop import optimizer_groups
from qorch.run.resources import Saveable

_log = logging.getLogger("qorch")


class LearningRates:
    """The learning rates that a program had set when its first loop began, ``noted``; None before."""

    def __init__(self, run_id: str, *, is_change_allowed: bool) -> None:
        """``is_change_allowed``: whether the user said that the run goes on with other rates."""
        self.noted: list[float] | None = None
        self._run_id = run_id
        self._is_change_allowed = is_change_allowed

    def note(self, objects: Sequence[Saveable]) -> None:
        """Remember the rates of the optimisers among these objects, once."""
        if self.noted is None and objects:
            self.noted = [float(group["lr"]) for group in optimizer_groups(objects)]

    def keep(self, objects: Sequence[Saveable], before: list[float] | None) -> None:
        """Choose the rates with which restored objects go on; ``before``: those that the run was started with."""
        groups, noted = optimizer_groups(objects), self.noted
        if before is None or noted is None or before == noted or len(groups) != len(noted):
            return
        if self._is_change_allowed:
            for group, rate in zip(groups, noted, strict=True):
                group["lr"] = rate
            return
        _log.warning(
            "the learning rate goes on with %s, that of the checkpoint; the program set %s now, and %s when run %s was"
            " started. To train on with the new one: start_run(..., allow_changes=['learning_rate'])",
            *(_listed(rates) for rates in ([float(group["lr"]) for group in groups], noted, before)),
            self._run_id,
        )
        self.noted = before


def _listed(rates: Sequence[float]) -> str:
    return ", ".join(f"{rate:g}" for rate in sorted(set(rates)))
