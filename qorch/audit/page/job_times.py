"""What each job of a run was doing when, as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

import numpy as np

from qorch.audit.page.reduction import merge
from qorch.audit.page.run_time import RunTime
from qorch.model.arrays import FloatArray, IntArray
from qorch.model.timing import Phase
from qorch.ports.records import JobRecord, SpanRecord


class JobActivity(StrEnum):
    """What a job is doing: several phases each. The value is a class of the style sheet."""

    WAITING = "waiting"
    TRANSFER = "transfer"
    QUEUE = "queue"
    EXECUTION = "execution"
    AWAY = "away"
    UNSEEN = "unseen"
    STORING = "storing"


ACTIVITY_LABELS = MappingProxyType(
    {
        JobActivity.WAITING: "waiting for a turn or a worker",
        JobActivity.TRANSFER: "being sent, fetched or decoded",
        JobActivity.QUEUE: "in the provider's queue",
        JobActivity.EXECUTION: "executing",
        JobActivity.AWAY: "at the provider, which tells no more",
        JobActivity.UNSEEN: "done, not yet seen",
        JobActivity.STORING: "being stored",
    }
)
ACTIVITIES = MappingProxyType(
    {
        Phase.PACE: JobActivity.WAITING,
        Phase.WAIT: JobActivity.WAITING,
        Phase.WORKERS: JobActivity.WAITING,
        Phase.ENCODE: JobActivity.TRANSFER,
        Phase.CONNECT: JobActivity.TRANSFER,
        Phase.SERVER: JobActivity.TRANSFER,
        Phase.TRANSFER: JobActivity.TRANSFER,
        Phase.SUBMIT: JobActivity.TRANSFER,
        Phase.DECODE: JobActivity.TRANSFER,
        Phase.QUEUE: JobActivity.QUEUE,
        Phase.EXECUTE: JobActivity.EXECUTION,
        Phase.COMPILE: JobActivity.EXECUTION,
        Phase.REMOTE: JobActivity.AWAY,
        Phase.POLL: JobActivity.UNSEEN,
        Phase.STORE: JobActivity.STORING,
        Phase.SYNC: JobActivity.STORING,
    }
)
"""What a job does in a phase; the phases that are missing here belong to no job."""


@dataclass(frozen=True, eq=False)
class ActivityTimes:
    """When jobs had one activity: ``starts``, ``ends`` (seconds of the run) and the places of the jobs, ``(K,)``."""

    activity: JobActivity
    starts: FloatArray
    ends: FloatArray
    jobs: IntArray


@dataclass(frozen=True, eq=False)
class PlacedJobs:
    """The J jobs that have spans, by their begin. ``begins`` and ``ends (J,)``: of all their spans."""

    jobs: tuple[JobRecord, ...]
    begins: FloatArray
    ends: FloatArray
    activities: tuple[ActivityTimes, ...]


def time_jobs(jobs: Sequence[JobRecord], spans: Sequence[SpanRecord], axis: RunTime) -> PlacedJobs:
    """Place all spans of jobs on the run's axis; those of one job and activity that overlap count once."""
    starts, ends, owners, ranks = _tabulate(jobs, spans, axis)
    begins: FloatArray = np.full(len(jobs), np.inf)
    finishes: FloatArray = np.full(len(jobs), -np.inf)
    np.minimum.at(begins, owners, starts)
    np.maximum.at(finishes, owners, ends)
    in_order = np.argsort(begins, kind="stable")[: int(np.isfinite(begins).sum())]
    places = np.full(len(jobs), -1)
    places[in_order] = np.arange(len(in_order))
    activities = []
    for rank, activity in enumerate(JobActivity):
        own = ranks == rank
        if own.any():
            activities.append(ActivityTimes(activity, *merge(starts[own], ends[own], places[owners[own]])))
    chosen = tuple(jobs[place] for place in in_order.tolist())
    return PlacedJobs(chosen, begins[in_order], finishes[in_order], tuple(activities))


def _tabulate(
    jobs: Sequence[JobRecord], spans: Sequence[SpanRecord], axis: RunTime
) -> tuple[FloatArray, FloatArray, IntArray, IntArray]:
    """The spans of jobs: begin and end in seconds of the run, the place of the job, the rank of the activity."""
    known = {job.job_id: place for place, job in enumerate(jobs)}
    ranks = {phase: list(JobActivity).index(activity) for phase, activity in ACTIVITIES.items()}
    offsets = {session.ordinal: axis.offset(session.ordinal) for session in axis.sessions}
    found = [
        (offsets.get(each.session, 0.0), span.started_ns, span.ended_ns, known[span.job_id], ranks[span.phase])
        for each in spans
        if (span := each.span).job_id is not None and span.job_id in known and span.phase in ranks
    ]
    table = np.array(found, dtype=np.float64).reshape(-1, 5)
    starts: FloatArray = table[:, 0] + table[:, 1] / 1e9
    ends: FloatArray = table[:, 0] + table[:, 2] / 1e9
    return starts, ends, table[:, 3].astype(np.int64), table[:, 4].astype(np.int64)


def seconds_by_job(times: ActivityTimes, count: int) -> FloatArray:
    """How long each of ``count`` jobs had the activity, ``(count,)``."""
    sums: FloatArray = np.bincount(times.jobs, weights=times.ends - times.starts, minlength=count).astype(np.float64)
    return sums
