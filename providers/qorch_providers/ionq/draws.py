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


def draw_counts(probabilities: FloatArray, uniforms: FloatArray) -> IntArray:
    """How often each of E outcomes is drawn in each of B rows, ``(B, E)``: from ``(B, E)`` and ``(B, S)``.

    Outcome k is drawn by the uniforms in ``[c[k - 1], c[k])`` of the row's distribution function c.
    """
    cumulative = np.cumsum(probabilities, axis=1)
    cumulative /= cumulative[:, -1:]
    n_outcomes = probabilities.shape[1]
    if n_outcomes > uniforms.shape[1]:
        places = [row.searchsorted(draws, side="right") for row, draws in zip(cumulative, uniforms, strict=True)]
        return np.stack([np.bincount(drawn, minlength=n_outcomes) for drawn in places])
    below = _count_below(cumulative, uniforms)
    below[:, 1:] -= below[:, :-1].copy()
    return below


def _count_below(cumulative: FloatArray, uniforms: FloatArray) -> IntArray:
    """How many uniforms of its row ``(B, S)`` are below each of ``cumulative (B, E)``.

    Compared by their first 32 bits, which are sorted in half of the time, and exactly where these do not decide.
    """
    coarse = (uniforms * _COARSE).astype(np.uint32)
    coarse.sort(axis=1)
    cuts = np.minimum(cumulative * _COARSE, _COARSE - 1.0).astype(np.uint32)
    below = np.empty(cumulative.shape, dtype=np.int64)
    for row in range(len(below)):
        below[row] = coarse[row].searchsorted(cuts[row])
    next_above = np.take_along_axis(coarse, np.minimum(below, uniforms.shape[1] - 1), axis=1)
    for row in np.flatnonzero((next_above == cuts).any(axis=1)).tolist():
        below[row] = np.sort(uniforms[row]).searchsorted(cumulative[row])
    return below


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
