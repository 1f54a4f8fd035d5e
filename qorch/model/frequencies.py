"""Relative frequencies of counted outcomes, with standard errors that hold for rare outcomes, too."""

import numpy as np

from qorch.errors import InvalidResultError
from qorch.model.arrays import FloatArray, IntArray
from qorch.model.counts import Counts

PSEUDO_SHOTS = 3.0
"""Shots of the maximally mixed state that count towards every variance, never towards a value.

Near ±1 a sample often holds no rare outcome at all, and its own variance is 0. Agresti and Coull's remedy
for proportions, carried over to any sum of Pauli strings: the mixed state gives every string the mean 0, so a
pseudo-shot adds 0 to the sum, and to the squares the sum of the squared coefficients. Three is chosen by the
exact binomial coverage of ``value ± 1.96 stderr`` over p from 0.01 to 0.99 and 256 to 4,096 shots: 92.2 % to
96.3 %, on average 94.6 %. Without pseudo-shots it falls to 88 %, with four it rises to 99.9 %
(tests/unit/test_estimation_coverage.py).
"""


def frequencies(counts: Counts) -> tuple[FloatArray, FloatArray]:
    """Relative frequencies of all 2^n outcomes and their standard errors, ``(R, 2**n)`` each.

    The value is count / shots; the error is binomial, with half of PSEUDO_SHOTS for the outcome and half
    against it. Raises InvalidResultError for a row without shots.
    """
    check_shots(counts.shots)
    shots = counts.shots.astype(np.float64)
    rows, outcomes = counts.row_of_entry, counts.outcomes.astype(np.int64)
    values = np.zeros((counts.n_rows, 1 << counts.n_qubits))
    values[rows, outcomes] = counts.counts / shots[rows]
    # Most outcomes were never seen, and all of a row's unseen ones have the same error.
    errors = np.empty_like(values)
    errors[:] = _binomial_errors(np.zeros_like(shots), shots)[:, np.newaxis]
    errors[rows, outcomes] = _binomial_errors(counts.counts.astype(np.float64), shots[rows])
    return values, errors


def _binomial_errors(counts: FloatArray, shots: FloatArray) -> FloatArray:
    shares = (counts + PSEUDO_SHOTS / 2) / (shots + PSEUDO_SHOTS)
    return np.asarray(np.sqrt(shares * (1.0 - shares) / shots))


def check_shots(shots: IntArray) -> None:
    """Raise InvalidResultError if a row of ``(R,)`` has no shots."""
    if not shots.all():
        raise InvalidResultError(
            f"row {int(np.flatnonzero(shots == 0)[0])} has no shots; its value cannot be estimated"
        )
