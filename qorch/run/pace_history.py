"""Reads what steps took in earlier runs that were like this one: a few rows, once a session."""

import json
from typing import Any

import numpy as np

from qorch.planning.pace import Pace, PacePrior, learn_prior, measure_pace
from qorch.ports.records import StepRecord
from qorch.run.resources import Resources

_MOST_RUNS = 3
_MOST_LOOKED_AT = 12
_MOST_STEPS = 200
_COMPARED = frozenset({"shots", "gradient", "batch_size", "settings"})
"""The used settings on which the pace of a step depends."""
_NOT_COMPARED = frozenset({"name", "epochs", "seed", "limit", "data_dir"})
"""Of `qorch train`, those on which it does not."""


def read_prior(use: Resources) -> PacePrior | None:
    """What the last runs of the same name or workload, backend and settings tell; None if there are none.

    Earlier sessions of the run itself count, too. Called after the first step, as only then its settings are known.
    """
    store = use.pace_source
    if store is None:
        return None
    own, paces = _of_pace(use.used.encode()), []
    for run in store.runs_like(use.record, limit=_MOST_LOOKED_AT):
        is_own = run.run_id == use.record.run_id
        sessions = [each for each in use.store.sessions(run.run_id) if not is_own or each.ordinal < use.session.ordinal]
        if not sessions or _of_pace(sessions[-1].used_settings) != own:
            continue
        steps = store.last_steps(run.run_id, limit=_MOST_STEPS)
        pace = pace_of(steps if not is_own else [step for step in steps if step.session < use.session.ordinal])
        paces += [pace] if pace.steps.count > 1 else []
        if len(paces) == _MOST_RUNS:
            break
    return learn_prior(paces)


def pace_of(steps: list[StepRecord]) -> Pace:
    """The pace of stored steps, in order: each from the end of the one before it in its session."""
    ends = np.array([step.ended_at.timestamp() for step in steps])
    sessions = np.array([step.session for step in steps])
    epochs = np.array([-1 if step.epoch is None else step.epoch for step in steps])
    follows = np.diff(sessions) == 0
    return measure_pace(np.maximum(0.0, np.diff(ends))[follows], (np.diff(epochs) != 0)[follows])


def _of_pace(used_settings: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(used_settings)
    parts = ((key.partition(" "), value) for key, value in found.items())
    return {
        " ".join((name, scope)): value
        for (name, _, scope), value in parts
        if name in _COMPARED and scope not in _NOT_COMPARED
    }
