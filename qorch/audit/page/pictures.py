"""What a picture consists of: marks whose places are computed, so that a template only writes them down."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qorch.model.arrays import FloatArray

WIDE, NARROW = 960, 340
"""Widths in which every picture is drawn, in CSS pixels: of a screen, and of a phone."""
WIDTHS = (WIDE, NARROW)


@dataclass(frozen=True)
class PicturePath:
    """A path in SVG's own words, made of numbers only; ``style`` is a class of the style sheet."""

    d: str
    style: str


@dataclass(frozen=True)
class PictureText:
    """A text at a place; ``anchor``: start, middle or end."""

    x: float
    y: float
    text: str
    style: str = "tick"
    anchor: str = "start"


Mark = PicturePath | PictureText


@dataclass(frozen=True)
class Picture:
    """Marks, from the back to the front. ``plot``: left, top, right and bottom of what lies along the axis."""

    width: int
    height: int
    marks: tuple[Mark, ...]
    plot: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    @property
    def shape(self) -> str:
        """Its class in the style sheet: whether it is for a screen or for a phone."""
        return "narrow" if self.width == NARROW else "wide"


@dataclass(frozen=True)
class FigureTable:
    """What a picture shows, in numbers. ``places``: of each row on the picture's axis (0 to 1), if it has one."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    places: tuple[float, ...] = ()


@dataclass(frozen=True)
class Figure:
    """A picture in both widths, with its text alternative and its table.

    ``summary``: what it shows, in sentences. ``note``: what was left out, or how it is to be read. ``axis``: along
    which axis (x or y) the rows of the table lie; "" if along none.
    """

    name: str
    title: str
    summary: str
    pictures: tuple[Picture, ...]
    table: FigureTable
    note: str = ""
    axis: str = ""


def polyline(x: FloatArray, y: FloatArray) -> str:
    """A path through points ``(M,)``; it is interrupted where one is not finite, and a lonely point is a dot."""
    parts = []
    is_down = False
    is_known = (np.isfinite(x) & np.isfinite(y)).tolist()
    for left, top, known in zip(np.round(x, 1).tolist(), np.round(y, 1).tolist(), is_known, strict=True):
        # A line of no length is drawn as a dot, as lines have round ends.
        if known:
            parts.append(f"L{left:g} {top:g}" if is_down else f"M{left:g} {top:g}h0")
        is_down = known
    return "".join(parts)


def area(x: FloatArray, y: FloatArray, *, floor: float) -> str:
    """The area between points ``(M,)``, all finite, and a horizontal line."""
    if not len(x):
        return ""
    points = "L".join(
        f"{left:g} {top:g}" for left, top in zip(np.round(x, 1).tolist(), np.round(y, 1).tolist(), strict=True)
    )
    return f"M{x[0]:.1f} {floor:g}L{points}L{x[-1]:.1f} {floor:g}Z"


def boxes(x: FloatArray, y: FloatArray, widths: FloatArray, *, height: float) -> str:
    """Rectangles ``(M,)`` as one path: a page with a node for each would open slowly."""
    corners = zip(np.round(x, 1).tolist(), np.round(y, 1).tolist(), np.round(widths, 1).tolist(), strict=True)
    return "".join(f"M{left:g} {top:g}h{width:g}v{height:g}h{-width:g}z" for left, top, width in corners)


def box(x: float, y: float, width: float, *, height: float) -> str:
    """One rectangle."""
    return boxes(np.array([x]), np.array([y]), np.array([width]), height=height)


def horizontal(x: float, y: float, *, to: float) -> str:
    """A horizontal line."""
    return f"M{x:.1f} {y:.1f}H{to:.1f}"


def vertical(x: float, y: float, *, to: float) -> str:
    """A vertical line."""
    return f"M{x:.1f} {y:.1f}V{to:.1f}"


def spread(places: Sequence[float], *, gap: float) -> list[float]:
    """Places of labels from the top down, moved apart to be at least ``gap`` from each other; in the given order."""
    order = np.argsort(np.asarray(places), kind="stable")
    moved = list(places)
    for before, after in itertools.pairwise(order):
        moved[after] = max(moved[after], moved[before] + gap)
    return moved
