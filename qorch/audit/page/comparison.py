"""Runs side by side: what each had reached after as many executions, as much money, as many seconds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qorch.audit.page.pictures import WIDTHS, Figure, FigureTable
from qorch.audit.page.progress import FIRST, Curves, make_curves
from qorch.audit.page.records import RunCourse
from qorch.audit.page.reduction import sample
from qorch.audit.page.scales import Format, format_number, format_seconds, format_tick
from qorch.audit.page.strips import Strip, StripAxis, StripLine, draw_strips
from qorch.model.arrays import FloatArray

MOST_RUNS = 6
_STYLES = "abcdef"
_MOST_METRICS = 3
_MOST_ROWS = 20
_MOST_LETTERS = 22


@dataclass(frozen=True)
class _Way:
    """What the curves are drawn over."""

    name: str
    heading: str
    format: Format
    is_time: bool = False

    def along(self, curves: Curves) -> FloatArray | None:
        """The places of the steps; None if the run has none of this, as of money that is not known."""
        if self.name == "money":
            return curves.spent
        asked: FloatArray = curves.executed + curves.from_cache
        return {"executions": asked, "time": curves.seconds, "steps": curves.steps}[self.name]


_WAYS = (
    _Way("executions", "executions asked for", format_tick),
    _Way("money", "money spent", format_tick),
    _Way("time", "seconds of the run's sessions", format_seconds, is_time=True),
    _Way("steps", "step", format_tick),
)


def comparison_figures(courses: Sequence[RunCourse]) -> tuple[Figure, ...]:
    """The metrics of at most ``MOST_RUNS`` runs over executions, money, time and steps; those that no run has."""
    shown = [(label, make_curves(course)) for label, course in zip(labels(courses), courses, strict=True)][:MOST_RUNS]
    names = list(dict.fromkeys(name for _, curves in shown for name in curves.metrics))
    names.sort(key=lambda name: (name not in FIRST, -sum(name in curves.metrics for _, curves in shown)))
    found = [_draw_way(way, shown, names[:_MOST_METRICS]) for way in _WAYS]
    return tuple(figure for figure in found if figure is not None)


def labels(courses: Sequence[RunCourse]) -> list[str]:
    """What runs are called in pictures: their names if these differ, or else the ends of their ids."""
    names = [course.run.name for course in courses]
    if len(set(names)) == len(names) and max(map(len, names), default=0) <= _MOST_LETTERS:
        return names
    return [course.run.run_id[-_MOST_LETTERS:] for course in courses]


def _draw_way(way: _Way, shown: Sequence[tuple[str, Curves]], names: Sequence[str]) -> Figure | None:
    along = [(label, curves, x) for label, curves in shown if (x := way.along(curves)) is not None and len(x)]
    reach = max((float(x[-1]) for _, _, x in along), default=0.0)
    if not names or reach <= 0:
        return None
    lines = {
        name: tuple(
            _line(x, curves.metrics[name], style, label)
            for style, (label, curves, x) in zip(_STYLES, along, strict=False)
            if name in curves.metrics
        )
        for name in names
    }
    strips = [Strip(name, lines[name], "plain", height=220 if not index else 110) for index, name in enumerate(names)]
    axis = StripAxis(0.0, reach, way.heading, way.format, is_time=way.is_time)
    return Figure(
        name=f"comparison-{way.name}",
        title=f"{names[0]} over {way.heading}",
        summary=_summary(names[0], lines[names[0]], way),
        pictures=tuple(draw_strips(strips, axis, width=width) for width in WIDTHS),
        table=_table(lines, way),
    )


def _line(x: FloatArray, values: FloatArray, style: str, label: str) -> StripLine:
    is_logged = ~np.isnan(values)
    return StripLine(x[is_logged], values[is_logged], style, label)


def _summary(name: str, lines: Sequence[StripLine], way: _Way) -> str:
    parts = [
        f"{line.label}: {name} {format_number(float(line.y[-1]))} at {way.format(float(line.x[-1]))}"
        for line in lines
        if len(line.x)
    ]
    return "; ".join(parts) + "."


def _table(lines: dict[str, tuple[StripLine, ...]], way: _Way) -> FigureTable:
    rows = [
        (line.label, name, way.format(float(line.x[index])), format_number(float(line.y[index])))
        for name, curves in lines.items()
        for line in curves
        for index in sample(len(line.x), _MOST_ROWS).tolist()
        if len(line.x)
    ]
    return FigureTable(("run", "metric", way.heading, "value"), tuple(rows))
