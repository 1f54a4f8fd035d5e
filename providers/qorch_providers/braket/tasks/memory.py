"""What this process knows of tasks beyond their ARNs: since when they are there, and how the latest ended."""

import datetime
from collections import OrderedDict
from collections.abc import Sequence
from typing import TypeVar

from qorch_providers.braket.wire.documents import BraketTask

MOST_TIMES = 100_000
MOST_DOCUMENTS = 500
"""Documents wait here for the fetch that follows upon the poll that saw the task completed."""

WAITING = frozenset({"CREATED", "QUEUED"})
"""Braket's words for a task that waits for its device."""

Known = TypeVar("Known")


class TaskMemory:
    """Bounded: the oldest is forgotten, and then asked for again."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._created_from: OrderedDict[str, datetime.datetime] = OrderedDict()
        self._completed: OrderedDict[str, BraketTask] = OrderedDict()
        self._begun: OrderedDict[str, bool] = OrderedDict()

    def note_accepted(self, arn: str, created_from: datetime.datetime) -> None:
        """A task was accepted, and was not made before this time, unless its token was used before."""
        self._created_from.setdefault(arn, created_from)
        _limit(self._created_from, MOST_TIMES)

    def note_seen(self, task: BraketTask) -> None:
        """A task was seen, in its own document or in a list."""
        if task.status not in WAITING:
            self._begun[task.arn] = True
            _limit(self._begun, MOST_TIMES)
        if task.created_at is not None:
            self._created_from[task.arn] = task.created_at
            _limit(self._created_from, MOST_TIMES)

    def note_completed(self, task: BraketTask) -> None:
        """A task is over, and has a result: this is its own document."""
        self._completed[task.arn] = task
        _limit(self._completed, MOST_DOCUMENTS)

    def created_from(self, arn: str) -> datetime.datetime | None:
        """A time before which the task was not made; None if it is not known."""
        return self._created_from.get(arn)

    def oldest(self, arns: Sequence[str]) -> datetime.datetime | None:
        """A time before which none of these was made; None if that is not known of one of them."""
        times = [self._created_from.get(arn) for arn in arns]
        known = [time for time in times if time is not None]
        return min(known) if known and len(known) == len(times) else None

    def has_begun(self, arn: str) -> bool:
        """Whether the task was seen when it did not wait in the queue any more, so that it has no place there."""
        return arn in self._begun

    def completed(self, arn: str) -> BraketTask | None:
        """The document of a task that was seen completed; None if it must be asked for."""
        return self._completed.get(arn)

    def forget_completed(self, arn: str) -> None:
        """The document of this task is not needed any more."""
        self._completed.pop(arn, None)


def _limit(kept: OrderedDict[str, Known], most: int) -> None:
    while len(kept) > most:
        kept.popitem(last=False)
