"""What this process knows of jobs beyond their ids: since when they are there, and which are complete."""

import datetime
from collections import OrderedDict
from collections.abc import Sequence
from typing import TypeVar

from qorch_providers.ibm.wire.documents import IbmJobView

MOST_JOBS = 100_000

V = TypeVar("V")


class JobMemory:
    """Bounded: the oldest is forgotten, and then asked for again."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._created_from: OrderedDict[str, datetime.datetime] = OrderedDict()
        self._completed: OrderedDict[str, None] = OrderedDict()
        self._first_ns: OrderedDict[str, int] = OrderedDict()

    def note_accepted(self, job_id: str, created_from: datetime.datetime) -> None:
        """A job was accepted, and was not made before this time."""
        _put(self._created_from, job_id, created_from)

    def note_seen(self, job: IbmJobView) -> None:
        """A job was seen, in its own document or in a list."""
        if job.created_at is not None:
            _put(self._created_from, job.job_id, job.created_at)

    def note_completed(self, job_id: str) -> None:
        """A job is over, and has a result."""
        _put(self._completed, job_id, None)

    def is_completed(self, job_id: str) -> bool:
        """Whether a job was seen completed."""
        return job_id in self._completed

    def forget_completed(self, job_id: str) -> None:
        """A job is to be asked after again before anything is fetched."""
        self._completed.pop(job_id, None)

    def oldest(self, job_ids: Sequence[str]) -> datetime.datetime | None:
        """A time before which none of these was made; None if it is known of none of them."""
        return min((self._created_from[job_id] for job_id in job_ids if job_id in self._created_from), default=None)

    def knows(self, job_id: str) -> bool:
        """Whether a time is known before which the job was not made."""
        return job_id in self._created_from

    def waited_ns(self, job_id: str, *, now_ns: int) -> int:
        """How long ago something about this job was first waited for: its results, or what it is charged for."""
        if job_id not in self._first_ns:
            _put(self._first_ns, job_id, now_ns)
        return now_ns - self._first_ns[job_id]

    def end_waiting(self, job_id: str) -> None:
        """Nothing about this job is waited for any more."""
        self._first_ns.pop(job_id, None)


def _put(kept: OrderedDict[str, V], job_id: str, value: V) -> None:
    kept[job_id] = value
    while len(kept) > MOST_JOBS:
        kept.popitem(last=False)
