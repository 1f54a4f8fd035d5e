"""Shots from probabilities: drawn here where IonQ gives exact ones, counted where it gives a histogram's shares.

Shot s of a row is draw ``shot_offset + s`` of its stream (see `qorch_providers.streams`), turned into an outcome by the
inverse distribution function.
"""

import numpy as np

from qorch.errors import InvalidResultError
from qorch.model.arrays import FloatArray, IntArray
from qorch_providers.ionq.distributions import Distribution

COUNT_TOLERANCE = 0.01
"""How far probability times shots may be from a whole number."""
_COARSE = 2.0**32


def draw_counts(distribution: Distribution, uniforms: FloatArray) -> IntArray:
    """How often each of E outcomes is drawn, ``(E,)``: outcome k by the uniforms in ``[c[k - 1], c[k])``."""
    cumulative = np.cumsum(distribution.probabilities)
    cumulative /= cumulative[-1]
    if len(cumulative) <= len(uniforms):
        below = _count_below(cumulative, uniforms)
        below[1:] -= below[:-1].copy()
        return below
    drawn = cumulative.searchsorted(uniforms, side="right")
    return np.bincount(drawn, minlength=len(cumulative)).astype(np.int64)


def _count_below(cumulative: FloatArray, uniforms: FloatArray) -> IntArray:
    """How many uniforms are below each of ``cumulative (E,)``.

    Compared by their first 32 bits, which are sorted in half of the time, and exactly where these do not decide.
    """
    coarse = (uniforms * _COARSE).astype(np.uint32)
    coarse.sort()
    cuts = np.minimum(cumulative * _COARSE, _COARSE - 1.0).astype(np.uint32)
    below = coarse.searchsorted(cuts)
    if (coarse.take(below, mode="clip") == cuts).any():
        below = np.sort(uniforms).searchsorted(cumulative)
    return np.asarray(below, dtype=np.int64)


def whole_counts(distribution: Distribution, *, shots: int) -> IntArray:
    """The counts ``(E,)`` whose shares of ``shots`` these probabilities are.

    Raises InvalidResultError where they are not whole within 0.01 or do not sum to the shots: then this is no
    histogram of so many shots.
    """
    expected = distribution.probabilities * shots
    counts = np.rint(expected)
    if (np.abs(expected - counts) > COUNT_TOLERANCE).any() or int(counts.sum()) != shots:
        raise InvalidResultError(f"the probabilities are no shares of {shots} shots")
    return np.asarray(counts, dtype=np.int64)


def nearest_counts(distribution: Distribution, *, shots: int) -> IntArray:
    """Counts ``(E,)`` that sum to ``shots`` and are nearest to the probabilities, by largest remainders.

    For mitigated (debiased) histograms only, whose shares come from no set of shots: their counts are a rounding, and
    errors estimated from them are those of plain shots, not of the mitigation.
    """
    expected = distribution.probabilities * (shots / distribution.probabilities.sum())
    counts = np.floor(expected)
    missing = shots - int(counts.sum())
    largest = np.argsort(counts - expected, kind="stable")[:missing]
    counts[largest] += 1.0
    return np.asarray(counts, dtype=np.int64)
