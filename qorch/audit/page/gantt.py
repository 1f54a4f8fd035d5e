"""Draws jobs as lanes: what each was doing when. Activities differ in height as well as in colour."""

from types import MappingProxyType

import numpy as np

from qorch.audit.page.job_times import ACTIVITY_LABELS, ActivityTimes, JobActivity, PlacedJobs
from qorch.audit.page.pictures import NARROW, Mark, Picture, PicturePath, PictureText, box, boxes, horizontal, vertical
from qorch.audit.page.scales import Scale, linear, time_ticks
from qorch.audit.page.strips import StripAxis
from qorch.model.arrays import FloatArray, IntArray

_HEIGHTS = MappingProxyType(
    {
        JobActivity.WAITING: 0.2,
        JobActivity.TRANSFER: 0.5,
        JobActivity.QUEUE: 0.35,
        JobActivity.EXECUTION: 1.0,
        JobActivity.AWAY: 0.75,
        JobActivity.UNSEEN: 0.35,
        JobActivity.STORING: 0.6,
    }
)
"""Of a lane."""
MOST_HEIGHT = 460
_LEAST_LANE, _MOST_LANE = 1.5, 16.0
_LEAST_WIDTH = 0.6


def draw_gantt(
    times: PlacedJobs, chosen: IntArray, axis: StripAxis, *, width: int, most_height: int = MOST_HEIGHT
) -> Picture:
    """The lanes of the jobs at ``chosen (L,)``, from the top down."""
    lane = float(np.clip(most_height / max(1, len(chosen)), _LEAST_LANE, _MOST_LANE))
    key, top = _draw_key(times, width=width)
    floor = top + lane * len(chosen) + 4
    across = linear(axis.low, axis.high, start=0.0, end=float(width))
    lanes = np.full(len(times.jobs), -1)
    lanes[chosen] = np.arange(len(chosen))
    marks = key + _draw_grid(axis, across, top=top, floor=floor, width=width)
    marks += [PicturePath(vertical(across.at(border), top, to=floor), "border") for border in axis.borders]
    for each in times.activities:
        d = _lane_boxes(each, lanes, across, top=top, lane=lane)
        marks.append(PicturePath(d, f"fill-{each.activity.value}"))
    return Picture(width, round(floor + 24), tuple(marks), (0.0, top, float(width), floor - 4))


def _lane_boxes(times: ActivityTimes, lanes: IntArray, across: Scale, *, top: float, lane: float) -> str:
    rows = lanes[times.jobs]
    shown = rows >= 0
    height = round(max(1.0, lane * 0.85 * _HEIGHTS[times.activity]), 1)
    x, y = across.place(times.starts[shown]), _middles(rows[shown], top=top, lane=lane) - height / 2
    widths = np.maximum(across.place(times.ends[shown]) - x, _LEAST_WIDTH)
    return boxes(x, y, widths, height=height)


def _middles(rows: IntArray, *, top: float, lane: float) -> FloatArray:
    middles: FloatArray = top + (rows.astype(np.float64) + 0.5) * lane
    return middles


def _draw_key(times: PlacedJobs, *, width: int) -> tuple[list[Mark], float]:
    """Which mark means what, and where the lanes may begin."""
    marks: list[Mark] = []
    left, top = 0.0, 8.0
    for each in times.activities:
        text = ACTIVITY_LABELS[each.activity]
        wide = 34 + 7.2 * len(text)
        if left and (left + wide > width or width == NARROW):
            left, top = 0.0, top + 22
        height = 12 * _HEIGHTS[each.activity]
        marks += [
            PicturePath(box(left, top - height / 2, 20, height=round(height, 1)), f"fill-{each.activity.value}"),
            PictureText(left + 26, top + 4, text, "key"),
        ]
        left += wide
    return marks, top + 20


def _draw_grid(axis: StripAxis, across: Scale, *, top: float, floor: float, width: int) -> list[Mark]:
    marks: list[Mark] = [PicturePath(horizontal(0, floor, to=width), "axis")]
    for value in time_ticks(across.high, low=across.low, most=max(2, width // 110)):
        place = across.at(value)
        anchor = "start" if place < 20 else "end" if place > width - 20 else "middle"
        marks += [
            PicturePath(vertical(place, top, to=floor), "grid"),
            PictureText(place, floor + 18, axis.format(value), "tick", anchor),
        ]
    return marks
