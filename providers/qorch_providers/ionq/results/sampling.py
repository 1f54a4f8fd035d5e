"""Counts from probabilities: drawn here if IonQ gives exact ones, computed if it gives those of a histogram.

Shot s of a row is word ``offset + s`` of its stream (see `qorch_providers.streams`), turned into an outcome by the
inverse distribution function.
"""

import numpy as np
import numpy.typing as npt

from qorch.errors import InvalidResultError
from qorch.model.arrays import FloatArray, IntArray
from qorch_providers.ionq.results.distributions import Distribution

COUNT_TOLERANCE = 0.01
"""How far probability times shots may be from a whole number."""
ROUNDED_TOLERANCE = 0.25
"""The limit if the server's rounding explains a larger distance; beyond it, the whole number is ambiguous."""
_ROUNDED_DIGITS = (4, 5, 6)
_WORDS = 2.0**32
_LAST_WORD = np.uint32(0xFFFFFFFE)


def draw_counts(probabilities: FloatArray, words: npt.NDArray[np.uint32]) -> IntArray:
    """How often each outcome is drawn, ``(B, E)``, given ``probabilities (B, E)`` and uint32 ``words (B, S)``.

    Outcome k is drawn by the words from ``2**32 c[k - 1]`` below ``2**32 c[k]``, rounded, of the row's distribution
    function c: no probability is off by more than 2^-32, and an impossible outcome is never drawn.
    """
    cumulative = np.cumsum(probabilities, axis=1)
    cumulative *= _WORDS / cumulative[:, -1:]
    # The largest word is never drawn, so the end of the distribution fits into 32 bits.
    cuts = np.minimum(cumulative + 0.5, _WORDS - 1.0).astype(np.uint32)
    words = np.minimum(words, _LAST_WORD)
    n_outcomes = probabilities.shape[1]
    if n_outcomes > words.shape[1]:
        places = [row.searchsorted(drawn, side="right") for row, drawn in zip(cuts, words, strict=True)]
        return np.stack([np.bincount(drawn, minlength=n_outcomes) for drawn in places])
    words.sort(axis=1)
    below = np.empty(cuts.shape, dtype=np.int64)
    for row in range(len(below)):
        below[row] = words[row].searchsorted(cuts[row])
    below[:, 1:] -= below[:, :-1].copy()
    return below


def whole_counts(distribution: Distribution, *, shots: int) -> IntArray:
    """The counts ``(E,)``, given probabilities that are counts divided by ``shots``.

    Raises InvalidResultError if the counts are not whole within 0.01, or within what a server's rounding to 4, 5 or 6
    decimals explains, at most 0.25; and if they do not sum to ``shots``.
    """
    expected = distribution.probabilities * shots
    counts = np.rint(expected)
    off = float(np.abs(expected - counts).max())
    if off > COUNT_TOLERANCE:
        explained = _rounding(distribution) * shots
        if off > min(explained, ROUNDED_TOLERANCE):
            hint = "; the server rounds them too much for this many shots: ask for fewer" if off <= explained else ""
            raise InvalidResultError(f"the probabilities are not those of {shots} shots{hint}")
    if int(counts.sum()) != shots:
        raise InvalidResultError(f"the probabilities are not those of {shots} shots")
    return np.asarray(counts, dtype=np.int64)


def _rounding(distribution: Distribution) -> float:
    """The largest rounding error of the probabilities, judged by their decimals; 0 if they are not rounded."""
    shares = distribution.probabilities
    for digits in _ROUNDED_DIGITS:
        if np.allclose(shares, shares.round(digits), rtol=0.0, atol=1e-12):
            return 0.5 * 10.0**-digits * (1.0 + 1e-6)
    return 0.0


def nearest_counts(distribution: Distribution, *, shots: int) -> IntArray:
    """Counts ``(E,)`` that sum to ``shots`` and are nearest to the probabilities, by largest remainders.

    For mitigated (debiased) histograms only, whose probabilities fit no set of shots: the counts are rounded, and
    errors estimated from them are those of plain shots, not of the mitigation.
    """
    expected = distribution.probabilities * (shots / distribution.probabilities.sum())
    counts = np.floor(expected)
    missing = shots - int(counts.sum())
    largest = np.argsort(counts - expected, kind="stable")[:missing]
    counts[largest] += 1.0
    return np.asarray(counts, dtype=np.int64)
