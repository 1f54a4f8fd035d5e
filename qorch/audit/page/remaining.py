"""What is left of a run that goes on, by what is stored of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qorch.audit.page.records import RunCourse
from qorch.model.job import Interval
from qorch.planning.remaining import expect, look_ahead
from qorch.ports.records import RunState, SessionRecord
from qorch.run.pace_history import pace_of

_MOST_STEPS = 200
"""Of the last ones: a page is made again and again."""


@dataclass(frozen=True)
class PlannedSteps:
    """The steps of all loops that a run has begun; ``per_epoch``: of the loop that goes on."""

    total: int
    per_epoch: int


def time_left(course: RunCourse) -> Interval | None:
    """The seconds that are left of a run at work, as ``qorch.planning.remaining`` has them; None if not known."""
    planned = plan_steps(course.sessions)
    if course.run.state != RunState.RUNNING or planned is None or not course.steps:
        return None
    left = planned.total - course.steps[-1].step - 1
    if left <= 0:
        return None
    return expect(pace_of(list(course.steps[-_MOST_STEPS:])), look_ahead(left, planned.per_epoch))


def plan_steps(sessions: Sequence[SessionRecord]) -> PlannedSteps | None:
    """From the settings that the newest session used; None if a loop has no length, or none was begun."""
    used: Mapping[str, Any] = json.loads(sessions[-1].used_settings) if sessions else {}
    total, per_epoch = 0, 0
    scopes = [key.partition(" ")[2] for key in used if key.startswith("batches ")]
    for scope in scopes:
        batches, epochs = used[f"batches {scope}"], used.get(f"epochs {scope}")
        outer = scope.partition(".")[0] if "." in scope else ""
        repeats = used.get(f"epochs {outer}") if outer else 1
        if not (isinstance(batches, int) and isinstance(epochs, int) and isinstance(repeats, int)):
            return None
        total += batches * epochs * repeats
        per_epoch = batches * epochs if outer else batches
    return PlannedSteps(total, per_epoch) if total else None
