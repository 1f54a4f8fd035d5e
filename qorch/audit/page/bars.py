"""Draws parts of a whole: one bar of 100 %, and below it a bar with name and figures for each part."""

from collections.abc import Sequence
from dataclasses import dataclass

from qorch.audit.page.pictures import NARROW, Mark, Picture, PicturePath, PictureText, box

_WHOLE = 30
_ROW, _NARROW_ROW = 26, 44
_NAMES = 240
_FIGURES = 200


@dataclass(frozen=True)
class BarRow:
    """One part: its ``share`` of the whole, and the two figures that stand at its right."""

    name: str
    share: float
    style: str
    figure: str
    detail: str = ""


def draw_bars(rows: Sequence[BarRow], *, width: int) -> Picture:
    """The whole, and its parts from the top down."""
    marks: list[Mark] = []
    left = 0.0
    for row in rows:
        wide = row.share * width
        if wide > 0:
            marks.append(PicturePath(box(left, 0.5, wide - min(1.0, wide / 3), height=_WHOLE), f"fill-{row.style}"))
        left += wide
    step = _NARROW_ROW if width == NARROW else _ROW
    largest = max((row.share for row in rows), default=0.0) or 1.0
    for index, row in enumerate(rows):
        marks += _draw_row(row, top=_WHOLE + 26 + index * step, largest=largest, width=width)
    return Picture(width, _WHOLE + 12 + len(rows) * step, tuple(marks))


def _draw_row(row: BarRow, *, top: int, largest: float, width: int) -> list[Mark]:
    is_narrow = width == NARROW
    start, room, floor = (0, width, top + 18) if is_narrow else (_NAMES, width - _NAMES - _FIGURES, top)
    wide = max(1.5 if row.share else 0.0, room * row.share / largest)
    return [
        PictureText(0, top, row.name, "name"),
        PicturePath(box(start, floor - 11, wide, height=13), f"fill-{row.style}"),
        PictureText(width - 76, top, row.detail, "value", "end"),
        PictureText(width, top, row.figure, "value strong", "end"),
    ]
