"""What a store reports about its contents: sums of a run, sizes, and what trimming deleted."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qorch.model.arrays import IntArray
from qorch.model.executions import CountsExecutions
from qorch.model.timing import Phase
from qorch.ports.records import SpanRecord

BLOCK_OVERHEAD_BYTES = 1_000
"""What a stored block takes beside its arrays: digests, index entries and unused ends of pages."""


@dataclass(frozen=True)
class CacheStatistics:
    """What the store holds: blocks, rows and their bytes, in all and by run id.

    ``free_rows`` and ``free_bytes``: of these, those of runs on backends that charge nothing. All others count as
    paid, also if it was not recorded whether the backend charges.
    """

    blocks: int
    rows: int
    bytes: int
    runs: tuple[tuple[str, int, int], ...] = ()
    free_rows: int = 0
    free_bytes: int = 0


@dataclass(frozen=True)
class Trimmed:
    """What one piece of trimming deleted; ``has_more``: the next piece would find more to do."""

    rows: int
    bytes: int
    has_more: bool


@dataclass(frozen=True)
class StoreRoom:
    """The room that a store takes and has, in bytes.

    ``file_bytes``: the file, its log included; ``unused_bytes`` of it hold nothing, and are used again or given back by
    ``shrink``; ``disk_bytes``: free on its disk. ``obstacle``: a sentence why ``shrink`` cannot give back now, or "".
    ``is_rewritten``: ``shrink`` has to write the whole file anew, once.
    """

    file_bytes: int
    unused_bytes: int
    disk_bytes: int
    obstacle: str = ""
    is_rewritten: bool = False


@dataclass(frozen=True, eq=False)
class JobSpans:
    """The spans ``(S,)`` of a run's jobs, and those in which kernels were compiled, as arrays: they may be a million.

    ``phases``: the places in ``tuple(Phase)``. ``started_ns`` and ``ended_ns``: from the begin of the ``sessions``, by
    their ordinals. ``resolution_ns``: as of Span, -1 if it was not estimated. ``has_job``: False where it belongs to
    none.
    """

    sessions: IntArray
    phases: IntArray
    started_ns: IntArray
    ended_ns: IntArray
    resolution_ns: IntArray
    has_job: npt.NDArray[np.bool_]


def collect_job_spans(records: Sequence[SpanRecord]) -> JobSpans:
    """The spans of jobs, and of compiling, as arrays."""
    found = [each for each in records if each.span.job_id is not None or each.span.phase is Phase.COMPILE]
    order = {phase: place for place, phase in enumerate(Phase)}
    table = [
        (each.session, order[each.span.phase], each.span.started_ns, each.span.ended_ns,
         -1 if each.span.resolution_ns is None else each.span.resolution_ns)
        for each in found
    ]  # fmt: skip
    columns = np.array(table, dtype=np.int64).reshape(-1, 5).T
    sessions, phases, started, ended, resolution = columns
    return JobSpans(
        sessions,
        phases,
        started,
        ended,
        resolution,
        np.array([each.span.job_id is not None for each in found], dtype=bool),
    )


@dataclass(frozen=True)
class RunTotals(CountsExecutions):
    """Sums of a run over all its sessions. ``metrics``: the newest value of every name, in the order of names.

    ``jobs``: those that were sent or ran; ``jobs_unsent``: those that provably were not. ``active_until``: the end of
    the last session, as it was last recorded; None before the first.
    """

    sessions: int
    steps: int
    jobs: int
    jobs_unsent: int
    executions: int
    executions_from_cache: int
    wall_seconds: float
    active_until: datetime.datetime | None
    metrics: dict[str, float]
