"""Many points become few, and keep their shape."""

import numpy as np

from qorch.model.arrays import FloatArray, IntArray

MOST_POINTS = 480
"""Of one line: more than that cannot be seen."""


def thin_line(x: FloatArray, y: FloatArray, *, most: int = MOST_POINTS) -> tuple[FloatArray, FloatArray]:
    """At most ``most`` of the points ``(M,)`` of a line, x ascending: of each stretch the lowest and the highest.

    A stretch without a finite value keeps one, so that the line is interrupted there.
    """
    if len(x) <= most:
        return x, y
    edges = np.linspace(0, len(x), most // 2 - 1, dtype=np.int64)
    stretches = np.repeat(np.arange(len(edges) - 1), np.diff(edges))
    is_finite = np.isfinite(y)
    # The first of each stretch after sorting; where nothing is finite, that is its first point.
    lowest = np.lexsort((np.where(is_finite, y, np.inf), stretches))[edges[:-1]]
    highest = np.lexsort((np.where(is_finite, -y, np.inf), stretches))[edges[:-1]]
    chosen = np.unique(np.concatenate([lowest, highest, [0, len(x) - 1]]))
    return x[chosen], y[chosen]


def sample(count: int, most: int) -> IntArray:
    """At most ``most`` of ``count`` places, evenly, with the first and the last."""
    return np.unique(np.linspace(0, max(0, count - 1), min(count, most)).round().astype(np.int64))


def mean_open(starts: FloatArray, ends: FloatArray, edges: FloatArray) -> FloatArray:
    """How many of the intervals ``(M,)`` were open in the mean between each two of ``edges (B + 1,)``: ``(B,)``."""
    opened = _elapsed_since(starts, edges) - _elapsed_since(ends, edges)
    widths = np.diff(edges)
    means: FloatArray = np.maximum(np.diff(opened), 0.0) / np.where(widths > 0, widths, 1.0)
    return means


def _elapsed_since(moments: FloatArray, at: FloatArray) -> FloatArray:
    """For each of ``at (E,)`` the sum over ``moments (M,)`` of the time since then, nothing if they are later."""
    ordered = np.sort(moments)
    passed = np.searchsorted(ordered, at, side="right")
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    elapsed: FloatArray = passed * at - sums[passed]
    return elapsed


def merge(starts: FloatArray, ends: FloatArray, groups: IntArray) -> tuple[FloatArray, FloatArray, IntArray]:
    """The intervals ``(M,)`` with those of one group that overlap made one: starts, ends and groups ``(K,)``."""
    if not len(starts):
        return starts, ends, groups
    order = np.lexsort((starts, groups))
    starts, ends, groups = starts[order], ends[order], groups[order]
    # Groups are moved apart, so that one running maximum serves all.
    reach = float(np.max(ends)) - float(np.min(starts)) + 1.0
    shift = np.unique(groups, return_inverse=True)[1] * reach
    latest = np.maximum.accumulate(ends + shift)
    is_new = np.concatenate([[True], starts[1:] + shift[1:] > latest[:-1]])
    first = np.flatnonzero(is_new)
    last = np.concatenate([first[1:], [len(starts)]]) - 1
    return starts[first], latest[last] - shift[last], groups[first]
