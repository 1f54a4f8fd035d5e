"""The standard error near ±1: exact binomial coverage of value ± 1.96 stderr, and how it was chosen."""

import numpy as np
import pytest
from scipy.stats import binom

from qorch.model.counts import Counts
from qorch.model.frequencies import PSEUDO_SHOTS, frequencies
from qorch.model.observable import BasisGroup
from qorch.planning.estimation import Moments, expectations

PROBABILITIES = (0.01, 0.02, 0.05, 0.1, 0.3, 0.5, 0.9, 0.99)
SHOTS = (256, 512, 1024, 4096)
# Coverage in % of one parity of which the share p is odd: a row per p, a column per number of shots.
COVERAGE = np.array(
    [
        [92.2, 96.2, 93.8, 94.1],
        [96.2, 93.5, 93.7, 95.3],
        [93.4, 94.5, 95.3, 94.6],
        [94.5, 94.7, 95.1, 94.9],
        [94.3, 94.6, 94.8, 95.0],
        [94.8, 95.3, 95.1, 94.9],
        [94.5, 94.7, 95.1, 94.9],
        [92.2, 96.2, 93.8, 94.1],
    ]
)


def estimate(odd: np.ndarray, shots: int) -> tuple[np.ndarray, np.ndarray]:
    """Value and standard error of one parity at every number of odd outcomes."""
    group = BasisGroup(np.zeros(1, np.uint8), np.ones(1, np.uint64), np.ones((1, 1)))
    moments = Moments(group, np.full(len(odd), shots), (shots - 2 * odd)[:, np.newaxis], np.zeros((len(odd), 1)))
    values, stderr = expectations([moments], np.zeros(1))
    return values[:, 0], stderr[:, 0]


def coverage(p: float, shots: int) -> float:
    """The probability that the interval holds the true value 1 - 2p."""
    odd = np.arange(shots + 1)
    values, stderr = estimate(odd, shots)
    return float(binom.pmf(odd, shots, p)[np.abs(values - (1 - 2 * p)) <= 1.96 * stderr].sum())


def test_coverage_is_that_of_the_table():
    """Every single coverage is within 3 points of 95 %, the mean within half a point; the table is exact."""
    found = np.array([[coverage(p, shots) for shots in SHOTS] for p in PROBABILITIES])
    np.testing.assert_allclose(100 * found, COVERAGE, atol=0.06)
    assert abs(found - 0.95).max() < 0.03
    assert abs(found.mean() - 0.95) < 0.005


def test_extreme_values_are_never_certain_and_never_useless():
    """Down to one rare outcome in 2,000 the coverage stays above 92 %."""
    for p in (0.0005, 0.001, 0.002, 0.003, 0.005, 0.015, 0.03):
        assert min(coverage(p, shots) for shots in SHOTS) > 0.92


def test_a_sample_of_one_outcome_has_a_finite_error():
    """With no odd outcome in 1,024 shots, the value is 1 and its interval reaches rare odd shares below 0.3 %."""
    values, stderr = estimate(np.array([0]), 1024)
    assert values[0] == 1.0
    assert 0.001 < 1.96 * stderr[0] / 2 < 0.003


def test_the_error_far_from_the_edges_is_the_plain_one():
    """At value 0 the error differs from 1 / sqrt(shots) by less than a part in ten thousand."""
    values, stderr = estimate(np.array([512]), 1024)
    assert values[0] == 0.0
    assert stderr[0] == pytest.approx(1 / 32, rel=1e-4)


def test_frequencies_have_the_same_coverage():
    """A share p of an outcome is half the distance of a parity from 1, and so is its error."""
    shots = 512
    counts = np.arange(1, shots)
    pairs = np.stack([counts, shots - counts], axis=1).ravel()
    table = Counts(1, np.tile([0, 1], len(counts)).astype(np.uint8), pairs, np.arange(0, 2 * len(counts) + 1, 2))
    values, stderr = frequencies(table)
    parities, errors = estimate(counts, shots)
    np.testing.assert_allclose(values[:, 0], (1 - parities) / 2, atol=1e-15)
    np.testing.assert_allclose(stderr[:, 0], errors / 2)


def test_three_pseudo_shots_beat_none_and_four():
    """Of 0, 2, 3 and 4 pseudo-shots, three come nearest to 95 % over the table."""

    def error(pseudo: float) -> float:
        deviations = []
        for p in PROBABILITIES:
            for shots in SHOTS:
                odd = np.arange(shots + 1)
                share = (odd + pseudo / 2) / (shots + pseudo)
                inside = np.abs(odd / shots - p) <= 1.96 * np.sqrt(share * (1 - share) / shots)
                deviations.append(binom.pmf(odd, shots, p)[inside].sum() - 0.95)
        return float(np.sqrt(np.mean(np.square(deviations))))

    assert min((0.0, 2.0, 3.0, 4.0), key=error) == PSEUDO_SHOTS
