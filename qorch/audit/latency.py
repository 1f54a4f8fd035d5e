"""How long each phase took per job, over many runs: by phase, backend and hour of the day."""

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import numpy as np

from qorch.audit.phases import label_of
from qorch.audit.resolution import PERCENTS
from qorch.model.arrays import FloatArray, IntArray
from qorch.model.timing import Phase
from qorch.ports.records import RunRecord, SessionRecord
from qorch.ports.statistics import JobSpans, collect_job_spans
from qorch.ports.store import JobSpanSource, Runs

BACKEND, HOUR = "backend", "hour"
GROUPINGS = (BACKEND, HOUR)
"""What rows are told apart by beside the phase."""
_PHASES = tuple(Phase)
_COMPILE, _EXECUTE = _PHASES.index(Phase.COMPILE), _PHASES.index(Phase.EXECUTE)
_QUARTER_SECONDS = 900
"""No zone's offset changes within a quarter of an hour."""


@dataclass(frozen=True)
class LatencyGroup:
    """How long one phase took in ``count`` jobs, in seconds; ``backend`` and ``hour`` (0 to 23): None if all count.

    A job that was submitted again, say, has such a phase several times: each counts. ``resolution_seconds``: each of
    the percentiles differs by at most this from the true one; None if that was not estimated.
    """

    backend: str | None
    hour: int | None
    phase: Phase
    count: int
    p50_seconds: float
    p90_seconds: float
    p99_seconds: float
    resolution_seconds: float | None

    def to_json(self, by: Sequence[str]) -> dict[str, Any]:
        """As it stands in JSON and CSV documents; ``by``: of ``GROUPINGS``."""
        groups = {name: getattr(self, name) for name in GROUPINGS if name in by}
        times = {f"p{percent}_seconds": getattr(self, f"p{percent}_seconds") for percent in PERCENTS}
        return {
            **groups, "phase_id": self.phase.value, "phase": label_of(self.phase), "count": self.count, **times,
            "resolution_seconds": self.resolution_seconds,
        }  # fmt: skip


class LatencySource(Runs, Protocol):
    """What the latencies of runs are read from."""


@dataclass(frozen=True, eq=False)
class PlacedSpans:
    """Spans of jobs of many runs, as arrays ``(S,)``: phase, length, doubt (NaN: none), backend, hour of the day."""

    phases: IntArray
    seconds: FloatArray
    doubts: FloatArray
    backends: IntArray
    hours: IntArray


def measure_latency(
    store: LatencySource,
    runs: Sequence[RunRecord],
    *,
    by: Sequence[str] = (),
    since: datetime.datetime | None = None,
    zone: datetime.tzinfo = datetime.UTC,
) -> list[LatencyGroup]:
    """The latencies of the runs' jobs, in the order of backends, phases and hours.

    ``since``: only of phases that began then or later. ``zone``: of the hours of the day.
    """
    names = list(dict.fromkeys(run.backend for run in runs))
    parts = [
        place_spans(
            _read_spans(store, run.run_id), store.sessions(run.run_id), backend=names.index(run.backend), since=since,
            zone=zone if HOUR in by else None,
        )
        for run in runs
    ]  # fmt: skip
    return group_times(_join(parts), names, by=by) if parts else []


def _read_spans(store: LatencySource, run_id: str) -> JobSpans:
    source: object = store
    return source.job_spans(run_id) if isinstance(source, JobSpanSource) else collect_job_spans(store.spans(run_id))


def place_spans(
    spans: JobSpans,
    sessions: Sequence[SessionRecord],
    *,
    backend: int = 0,
    since: datetime.datetime | None = None,
    zone: datetime.tzinfo | None = None,
) -> PlacedSpans:
    """The spans of one run, at the hours in which they began; without ``zone`` the hours are 0."""
    seconds = _own_seconds(spans)
    origins = np.zeros(1 + max((session.ordinal for session in sessions), default=0))
    for session in sessions:
        origins[session.ordinal] = session.started_at.timestamp()
    begins = origins[np.minimum(spans.sessions, len(origins) - 1)] + spans.started_ns / 1e9
    kept = spans.has_job if since is None else spans.has_job & (begins >= since.timestamp())
    doubts = np.where(spans.resolution_ns < 0, np.nan, spans.resolution_ns / 1e9)
    return PlacedSpans(
        phases=spans.phases[kept],
        seconds=seconds[kept],
        doubts=doubts[kept],
        backends=np.full(int(kept.sum()), backend),
        hours=np.zeros(int(kept.sum()), dtype=np.int64) if zone is None else hours_of(begins[kept], zone),
    )


def hours_of(moments: FloatArray, zone: datetime.tzinfo) -> IntArray:
    """The hour of the day (0 to 23) of moments ``(S,)`` in seconds since 1970, with the zone's summer time."""
    quarters, places = np.unique((moments // _QUARTER_SECONDS).astype(np.int64), return_inverse=True)
    hours = [datetime.datetime.fromtimestamp(each * _QUARTER_SECONDS, zone).hour for each in quarters.tolist()]
    found: IntArray = np.array(hours, dtype=np.int64)[places]
    return found


def find_zone(name: str) -> datetime.tzinfo:
    """The time zone of this name, such as ``Europe/Vienna``. Raises KeyError or ValueError if there is none."""
    return datetime.UTC if name == "UTC" else ZoneInfo(name)


def _join(parts: Sequence[PlacedSpans]) -> PlacedSpans:
    names = ("phases", "seconds", "doubts", "backends", "hours")
    return PlacedSpans(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def group_times(times: PlacedSpans, backends: Sequence[str], *, by: Sequence[str]) -> list[LatencyGroup]:
    """The percentiles of each group; ``backends``: their names."""
    has_backend, has_hour = BACKEND in by, HOUR in by
    keys = times.phases * 24 + (times.hours if has_hour else 0)
    if has_backend:
        ranks = np.argsort(np.argsort(np.array(backends)))
        keys = keys + ranks[times.backends] * (24 * len(_PHASES))
    order = np.argsort(keys, kind="stable")
    found, starts = np.unique(keys[order], return_index=True)
    edges = [*starts.tolist(), len(order)]
    in_order = sorted(backends)
    groups = []
    for index, key in enumerate(found.tolist()):
        chosen = order[edges[index] : edges[index + 1]]
        rest, hour = divmod(key, 24)
        backend, phase = divmod(rest, len(_PHASES))
        stated, doubt = _percentiles(times.seconds[chosen], times.doubts[chosen])
        groups.append(
            LatencyGroup(
                in_order[backend] if has_backend else None,
                hour if has_hour else None,
                _PHASES[phase],
                len(chosen),
                *stated,
                doubt,
            )
        )
    return groups


def _percentiles(seconds: FloatArray, doubts: FloatArray) -> tuple[tuple[float, float, float], float | None]:
    """The percentiles, and by how much they may be wrong; what has no doubt counts as exact."""
    stated = np.percentile(seconds, PERCENTS)
    p50, p90, p99 = stated.tolist()
    if np.isnan(doubts).all():
        return (p50, p90, p99), None
    known = np.nan_to_num(doubts)
    longest = np.percentile(seconds + known, PERCENTS) - stated
    shortest = stated - np.percentile(np.maximum(0.0, seconds - known), PERCENTS)
    return (p50, p90, p99), float(max(longest.max(), shortest.max()))


def _own_seconds(spans: JobSpans) -> FloatArray:
    """The length of each span, of an execution without the time in which kernels were compiled: ``(S,)``."""
    taken = np.zeros(len(spans.phases))
    compiling, executing = spans.phases == _COMPILE, spans.phases == _EXECUTE
    if compiling.any():
        for session in np.unique(spans.sessions[compiling]).tolist():
            own = spans.sessions == session
            chosen = executing & own
            for start, stop in _merge(spans.started_ns[compiling & own], spans.ended_ns[compiling & own]):
                inside = np.minimum(spans.ended_ns[chosen], stop) - np.maximum(spans.started_ns[chosen], start)
                taken[chosen] += np.maximum(0, inside)
    seconds: FloatArray = (spans.ended_ns - spans.started_ns - taken) / 1e9
    return seconds


def _merge(starts: IntArray, ends: IntArray) -> Iterable[tuple[int, int]]:
    """The intervals ``(C,)`` with those that overlap as one."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(zip(starts.tolist(), ends.tolist(), strict=True)):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], stop))
        else:
            merged.append((start, stop))
    return merged
