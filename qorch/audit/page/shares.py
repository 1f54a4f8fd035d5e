"""Where the time went: the wall time by phase as one bar of 100 %, and how long each phase took per job."""

import math
from collections.abc import Sequence

import numpy as np

from qorch.audit.page.bars import BarRow, draw_bars
from qorch.audit.page.job_times import ACTIVITIES
from qorch.audit.page.pictures import (
    NARROW,
    WIDTHS,
    Figure,
    FigureTable,
    Mark,
    Picture,
    PicturePath,
    PictureText,
    horizontal,
    polyline,
    vertical,
)
from qorch.audit.page.scales import Scale, decades, format_seconds, format_share
from qorch.audit.report import Latency, PhaseShare, Report
from qorch.audit.resolution import describe
from qorch.model.timing import UNATTRIBUTED, Phase

_ROW = 26
_NARROW_ROW = 42


def share_figure(report: Report) -> Figure | None:
    """The wall time by phase; None before there is any."""
    parts = [part for part in report.phases if part.seconds > 0 or part.phase_id == UNATTRIBUTED]
    parts.sort(key=lambda part: (part.phase_id == UNATTRIBUTED, -part.seconds))
    if not report.wall_seconds:
        return None
    largest = ", ".join(f"{part.phase} {format_share(part.share)}" for part in parts[:4])
    rows = [
        (part.phase, format_seconds(part.seconds), format_share(part.share),
         describe(part.resolution_seconds, part.sources) or "–")
        for part in parts
    ]  # fmt: skip
    total = sum(part.share for part in parts)
    rows.append(("total", format_seconds(sum(part.seconds for part in parts)), format_share(total), ""))
    return Figure(
        name="shares",
        title="Where the wall time went",
        summary=f"{format_seconds(report.wall_seconds)} in all: {largest}. The parts add up to {format_share(total)}.",
        pictures=tuple(draw_bars(_share_rows(parts), width=width) for width in WIDTHS),
        table=FigureTable(("phase", "time", "share", "exactness"), tuple(rows)),
        note="Every moment counts once, for the first of the phases that went on then; “unattributed” is what was not"
        " observed.",
    )


def latency_figure(report: Report) -> Figure | None:
    """Median, 90th and 99th percentile per job and phase; None without jobs."""
    parts = sorted((part for part in report.latency if part.p99_seconds > 0), key=lambda part: -part.p50_seconds)
    if not parts:
        return None
    rows = [
        (part.phase, format_seconds(part.p50_seconds), format_seconds(part.p90_seconds),
         format_seconds(part.p99_seconds), describe(part.resolution_seconds, part.sources) or "–")
        for part in parts
    ]  # fmt: skip
    return Figure(
        name="latency",
        title="How long each phase took, per job",
        summary=f"{len(parts)} phases; the longest in the median is {parts[0].phase}"
        f" with {format_seconds(parts[0].p50_seconds)}.",
        pictures=tuple(_draw_latency(parts, width=width) for width in WIDTHS),
        table=FigureTable(("phase", "half of the jobs within", "90 % within", "99 % within", "exactness"), tuple(rows)),
        note="Filled dot: the median; ring: 90 % of the jobs; bar: 99 %. The scale is logarithmic.",
    )


def style_of(phase_id: str) -> str:
    """The class of a phase in the style sheet: that of what a job does then, or of the run's own work."""
    if phase_id == UNATTRIBUTED:
        return UNATTRIBUTED
    phase = Phase(phase_id)
    if phase in ACTIVITIES:
        return ACTIVITIES[phase].value
    return "model" if phase is Phase.MODEL else "own"


def _share_rows(parts: Sequence[PhaseShare]) -> list[BarRow]:
    return [
        BarRow(
            part.phase, part.share, style_of(part.phase_id), format_share(part.share), format_seconds(part.seconds)
        )
        for part in parts
    ]  # fmt: skip


def _draw_latency(parts: Sequence[Latency], *, width: int) -> Picture:
    is_narrow = width == NARROW
    row, name_width = (_NARROW_ROW, 10) if is_narrow else (_ROW, 230)
    lowest = min(value for part in parts for value in (part.p50_seconds, part.p99_seconds) if value > 0)
    highest = max(part.p99_seconds for part in parts)
    low = 10.0 ** math.floor(math.log10(lowest))
    high = 10.0 ** max(math.ceil(math.log10(highest)), math.floor(math.log10(lowest)) + 1)
    across = Scale(low, high, name_width, width - (80 if not is_narrow else 30), is_log=True)
    floor = 14 + len(parts) * row
    marks: list[Mark] = []
    powers = decades(low, high)
    for power in powers[:: max(1, len(powers) * 62 // int(across.end - across.start) + 1)]:
        place = across.at(power)
        marks += [
            PicturePath(vertical(place, 4, to=floor), "grid"),
            PictureText(place, floor + 18, format_seconds(power), "tick", "middle"),
        ]
    for index, part in enumerate(parts):
        marks += _draw_percentiles(part, across, top=18 + index * row, width=width)
    return Picture(width, floor + 26, tuple(marks))


def _draw_percentiles(part: Latency, across: Scale, *, top: float, width: int) -> list[Mark]:
    is_narrow = width == NARROW
    middle = top + (18 if is_narrow else 0)
    p50, p90, p99 = (
        across.at(max(value, across.low)) for value in (part.p50_seconds, part.p90_seconds, part.p99_seconds)
    )
    style = style_of(part.phase_id)
    median = format_seconds(part.p50_seconds)
    label = PictureText(width, top + 4, median, "value", "end")
    return [
        PictureText(0, top + 4, part.phase, "name"),
        PicturePath(horizontal(p50, middle, to=p99), f"line line-{style}"),
        PicturePath(vertical(p99, middle - 5, to=middle + 5), f"line line-{style}"),
        PicturePath(ring(p90, middle, 4.0), f"ring line-{style}"),
        PicturePath(polyline(np.array([p50]), np.array([middle])), f"dot line-{style}"),
        label,
    ]


def ring(x: float, y: float, radius: float) -> str:
    """A circle as a path."""
    half = f"a{radius:g} {radius:g} 0 1 0"
    return f"M{x - radius:.1f} {y:.1f}{half} {2 * radius:g} 0{half} {-2 * radius:g} 0"
