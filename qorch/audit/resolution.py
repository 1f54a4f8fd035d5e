"""How exactly a report knows its phases: where queue and execution of jobs were told apart by polls alone."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from qorch.model.timing import Phase, Span, TimeSource, attribute

PERCENTS = (50, 90, 99)


def sources_of(spans: Iterable[Span]) -> dict[str, tuple[str, ...]]:
    """By phase id, the sources of its spans that have one; phases without are missing."""
    found: dict[str, set[str]] = {}
    for span in spans:
        if span.source is not None:
            found.setdefault(span.phase.value, set()).add(span.source.value)
    return {phase: tuple(sorted(sources)) for phase, sources in found.items()}


def wall_resolution(
    spans: Sequence[Span], seconds: Mapping[str, float], *, started_ns: int, ended_ns: int
) -> dict[str, float]:
    """By phase id, by how many seconds its part of the wall time may be wrong; empty if no span was split by polls.

    ``seconds``: what ``attribute`` makes of the spans. If all jobs began as early as they may have, the phases that
    execution displaces are as short, and execution as long, as they can be; the contrary if all began as late.
    """
    if not any(_is_split(span) for span in spans):
        return {}
    extremes = [
        attribute([_moved(span, way) for span in spans], started_ns=started_ns, ended_ns=ended_ns) for way in (-1, 1)
    ]
    return {phase: max(abs(extreme[phase] - value) for extreme in extremes) for phase, value in seconds.items()}


def percentile_resolution(seconds: Sequence[float], resolutions: Sequence[float | None]) -> float | None:
    """By how many seconds a percentile of durations may be wrong, each of which may be wrong by its own resolution.

    None if none has one; those without one count as exact.
    """
    if all(resolution is None for resolution in resolutions):
        return None
    lengths, doubts = np.asarray(seconds), np.array([resolution or 0.0 for resolution in resolutions])
    stated = np.percentile(lengths, PERCENTS)
    longest = np.percentile(lengths + doubts, PERCENTS)
    shortest = np.percentile(np.maximum(0.0, lengths - doubts), PERCENTS)
    return float(np.max([longest - stated, stated - shortest]))


def describe(resolution_seconds: float | None, sources: Sequence[str]) -> str:
    """Such as ``to ±0.80 s, split by polls``, rounded up; empty if nothing is known of it, or in doubt."""
    if not resolution_seconds:
        return ""
    digits = max(0, 1 - math.floor(math.log10(resolution_seconds)))
    shown = math.ceil(resolution_seconds * 10**digits) / 10**digits
    return f"to ±{shown:,.{digits}f} s" + (", split by polls" if TimeSource.POLLS.value in sources else "")


def _is_split(span: Span) -> bool:
    return span.source is TimeSource.POLLS and bool(span.resolution_ns)


def _moved(span: Span, way: int) -> Span:
    """The span if its job began as early (-1) or as late (1) as it may have."""
    by_ns = way * (span.resolution_ns or 0)
    if not _is_split(span):
        return span
    if span.phase is Phase.QUEUE:
        return replace(span, ended_ns=max(span.started_ns, span.ended_ns + by_ns))
    return replace(span, started_ns=min(span.ended_ns, span.started_ns + by_ns))
