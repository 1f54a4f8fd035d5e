"""Draws strips: curves one below the other over one axis, each with a scale and a heading of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qorch.audit.page.pictures import (
    NARROW,
    Mark,
    Picture,
    PicturePath,
    PictureText,
    area,
    horizontal,
    polyline,
    spread,
    vertical,
)
from qorch.audit.page.reduction import thin_line
from qorch.audit.page.scales import Format, Scale, format_tick, linear, ticks, time_ticks
from qorch.model.arrays import FloatArray

_HEADING, _NARROW_HEADING = 30, 48
_GAP = 18
_FOOT = 40
_LABEL_GAP = 15.0


@dataclass(frozen=True)
class StripLine:
    """A curve: ``x (M,)`` ascending, ``y (M,)``. ``style``: its colour's class; ``label``: stands at its end."""

    x: FloatArray
    y: FloatArray
    style: str
    label: str = ""
    is_filled: bool = False


@dataclass(frozen=True)
class Strip:
    """Curves with one scale. ``figure``: what stands at the right of the heading, such as the last value."""

    heading: str
    lines: tuple[StripLine, ...]
    style: str
    height: int = 90
    figure: str = ""
    begins_at_zero: bool = False
    limit: float | None = None


@dataclass(frozen=True)
class StripAxis:
    """What all strips share: from ``low`` to ``high``; ``borders``: where vertical lines stand.

    ``is_whole``: it counts something, so that only whole numbers stand at it.
    """

    low: float
    high: float
    heading: str
    format: Format = format_tick
    is_time: bool = False
    is_whole: bool = False
    borders: tuple[float, ...] = ()


def draw_strips(strips: Sequence[Strip], axis: StripAxis, *, width: int) -> Picture:
    """The strips as one picture."""
    left, right = (44, 10) if width == NARROW else (56, 12)
    labelled = max((len(line.label) for strip in strips for line in strip.lines), default=0)
    if labelled:
        right = min(width // 3, 14 + 8 * labelled)
    across = linear(axis.low, axis.high, start=left, end=width - right)
    marks: list[Mark] = []
    top = 0
    has_second_line = width == NARROW and any(strip.figure for strip in strips)
    head = _NARROW_HEADING if has_second_line else _HEADING
    for strip in strips:
        floor = top + head + strip.height
        marks += _draw_strip(strip, across, top=top + head, floor=floor, width=width)
        marks += [PicturePath(vertical(across.at(border), top + head, to=floor), "border") for border in axis.borders]
        top = floor + _GAP
    floor = top - _GAP
    marks += _draw_axis(axis, across, floor=floor)
    return Picture(width, floor + _FOOT, tuple(marks), (across.start, head, across.end, floor))


def _draw_strip(strip: Strip, across: Scale, *, top: int, floor: int, width: int) -> list[Mark]:
    up = _value_scale(strip, top=top, floor=floor)
    marks: list[Mark] = [
        PictureText(
            0, top - (30 if width == NARROW and strip.figure else 12), strip.heading, f"heading ink-{strip.style}"
        ),
        PictureText(across.end, top - 12, strip.figure, "figure", "end"),
    ]
    for value in ticks(up.low, up.high, most=5 if strip.height > 120 else 3):
        marks += [
            PicturePath(horizontal(across.start, up.at(value), to=across.end), "grid"),
            PictureText(across.start - 8, up.at(value) + 4, format_tick(value), "tick", "end"),
        ]
    for line in strip.lines:
        marks += _draw_line(line, across, up, floor=floor)
    if strip.limit is not None:
        marks.append(PicturePath(horizontal(across.start, up.at(strip.limit), to=across.end), "limit"))
    return marks + _label_ends(strip, across, up, width=width)


def _draw_line(line: StripLine, across: Scale, up: Scale, *, floor: int) -> list[Mark]:
    x, y = thin_line(line.x, line.y)
    placed = across.place(x), up.place(np.where(np.isfinite(y), y, np.nan))
    known = np.isfinite(y)
    if known.sum() == 1:  # which would be too small to be seen
        at, height = float(placed[0][known][0]), float(placed[1][known][0])
        return [PicturePath(horizontal(at - 3, height, to=at + 3), f"line line-{line.style}")]
    filled = line.is_filled and bool(known.all())
    paths = [PicturePath(area(*placed, floor=floor), f"area fill-{line.style}")] if filled else []
    return [*paths, PicturePath(polyline(*placed), f"line line-{line.style}")]


def _label_ends(strip: Strip, across: Scale, up: Scale, *, width: int) -> list[Mark]:
    labelled = [(line, _last(line)) for line in strip.lines if line.label]
    found = [(line, up.at(last)) for line, last in labelled if last is not None]
    tops = spread([top + 4 for _, top in found], gap=_LABEL_GAP)
    return [
        PictureText(across.end + 8, top, line.label, f"label ink-{line.style}")
        for (line, _), top in zip(found, tops, strict=True)
    ]


def _last(line: StripLine) -> float | None:
    finite = line.y[np.isfinite(line.y)]
    return float(finite[-1]) if len(finite) else None


def _value_scale(strip: Strip, *, top: int, floor: int) -> Scale:
    values = np.concatenate([line.y for line in strip.lines]) if strip.lines else np.zeros(0)
    values = values[np.isfinite(values)]
    if strip.limit is not None:
        values = np.append(values, strip.limit)
    if not len(values):
        return linear(0.0, 1.0, start=floor, end=top)
    low, high = float(values.min()), float(values.max())
    if strip.begins_at_zero:
        return linear(0.0, high if high > 0 else 1.0, start=floor, end=top)
    pad = (high - low) * 0.05
    return linear(low - pad, high + pad, start=floor, end=top)


def _draw_axis(axis: StripAxis, across: Scale, *, floor: int) -> list[Mark]:
    most = max(2, int((across.end - across.start) // 70))
    values = time_ticks(across.high, most=most) if axis.is_time else ticks(across.low, across.high, most=most)
    if axis.is_whole:
        values = [value for value in values if value == round(value)]
    marks: list[Mark] = [
        PicturePath(horizontal(across.start, floor, to=across.end), "axis"),
        PictureText(across.end, floor + 35, axis.heading, "tick", "end"),
    ]
    for value in values:
        place = across.at(value)
        marks += [
            PicturePath(vertical(place, floor, to=floor + 4), "axis"),
            PictureText(place, floor + 18, axis.format(value), "tick", "middle"),
        ]
    return marks
