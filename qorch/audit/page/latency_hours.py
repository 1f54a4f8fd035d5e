"""How long the phases of jobs took by the hour of the day: queues are longer while others work."""

import datetime
from collections.abc import Sequence

from qorch.audit.latency import HOUR, LatencyGroup, group_times, place_spans
from qorch.audit.page.pictures import NARROW, WIDTHS, Figure, FigureTable, Mark, Picture, PicturePath, PictureText, box
from qorch.audit.page.scales import format_seconds
from qorch.audit.page.shares import style_of
from qorch.audit.phases import label_of
from qorch.model.timing import Phase
from qorch.ports.records import SessionRecord, SpanRecord
from qorch.ports.statistics import collect_job_spans

_HOURS = 24
_MOST_PHASES = 6
_ROW, _BAR = 46, 30


def hours_figure(spans: Sequence[SpanRecord], sessions: Sequence[SessionRecord]) -> Figure | None:
    """The median of the longest phases in each hour of the day (UTC); None unless jobs ran in several hours."""
    if _lie_in_one_hour(sessions):
        return None
    times = place_spans(collect_job_spans(spans), sessions, zone=datetime.UTC)
    groups = group_times(times, [""], by=[HOUR])
    if len({group.hour for group in groups}) < 2:
        return None
    chosen = _longest(groups)
    shown = [group for group in groups if group.phase in chosen]
    rows = [
        (f"{group.hour:02}", label_of(group.phase), f"{group.count:,}", format_seconds(group.p50_seconds),
         format_seconds(group.p90_seconds), format_seconds(group.p99_seconds))
        for group in sorted(shown, key=lambda group: (group.hour or 0, chosen.index(group.phase)))
    ]  # fmt: skip
    worst = max(shown, key=lambda group: group.p50_seconds)
    return Figure(
        name="latency-hours",
        title="How long phases took, by the hour of the day",
        summary=f"The longest in the median is {label_of(worst.phase)} from {worst.hour:02} o'clock (UTC) on, with"
        f" {format_seconds(worst.p50_seconds)}.",
        pictures=tuple(_draw(shown, chosen, width=width) for width in WIDTHS),
        table=FigureTable(("hour (UTC)", "phase", "count", "half within", "90 % within", "99 % within"), tuple(rows)),
        note="The median of each hour as a bar; each phase has a scale of its own, whose largest value is written.",
    )


def _lie_in_one_hour(sessions: Sequence[SessionRecord]) -> bool:
    """Whether nothing of the sessions is in a second hour, so that there is nothing to tell apart."""
    hours = set[int]()
    for session in sessions:
        begin = session.started_at.timestamp()
        hours |= {int(begin // 3600), int((begin + session.wall_ns / 1e9) // 3600)}
    return len(hours) < 2


def _longest(groups: Sequence[LatencyGroup]) -> list[Phase]:
    longest: dict[Phase, float] = {}
    for group in groups:
        longest[group.phase] = max(longest.get(group.phase, 0.0), group.p50_seconds)
    return sorted(longest, key=lambda phase: -longest[phase])[:_MOST_PHASES]


def _draw(groups: Sequence[LatencyGroup], phases: Sequence[Phase], *, width: int) -> Picture:
    left = 0 if width == NARROW else 230
    column = (width - left - 8) / _HOURS
    row = _ROW + (18 if width == NARROW else 0)
    marks: list[Mark] = []
    for place, phase in enumerate(phases):
        own = [group for group in groups if group.phase is phase]
        most = max(group.p50_seconds for group in own) or 1.0
        floor = (place + 1) * row - 6
        marks += [
            PictureText(0, floor - (_BAR + 6 if width == NARROW else 8), label_of(phase), "name"),
            PictureText(
                width if width == NARROW else left - 12, floor - (_BAR + 6 if width == NARROW else 8),
                format_seconds(most), "value", "end",
            ),
        ]  # fmt: skip
        for group in own:
            height = max(1.5, _BAR * group.p50_seconds / most)
            x = left + (group.hour or 0) * column
            marks.append(
                PicturePath(box(x, floor - height, column - 2, height=round(height, 1)), f"fill-{style_of(phase)}")
            )
    bottom = len(phases) * row
    for hour in range(0, _HOURS, 6 if width == NARROW else 3):
        marks.append(PictureText(left + hour * column, bottom + 14, f"{hour:02}", "tick"))
    return Picture(width, bottom + 22, tuple(marks))
