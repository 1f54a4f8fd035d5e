"""Estimates expectation values with standard errors from counts, exact parities, or what a backend has estimated."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qorch.model.arrays import AnyArray, FloatArray, IntArray
from qorch.model.counts import Counts
from qorch.model.frequencies import PSEUDO_SHOTS, check_shots
from qorch.model.observable import BasisGroup

CHUNK_ENTRIES = 1 << 18
"""How many parities are held at once: few enough to stay in cache, and to bound memory for many strings."""


@dataclass(eq=False)
class Moments:
    """Sums over the shots of N rows measured in one basis; mutable, as the results of a call arrive in pieces.

    ``shots (N,)``; ``parities (N, M)``: the sum of every string's parity, exact integers, so that no order
    of the pieces changes a bit of a value; ``squares (N, K)``: the sum of the squared value of a shot, for
    those observables that mix strings (0 for others).
    """

    group: BasisGroup
    shots: IntArray
    parities: IntArray
    squares: FloatArray

    @property
    def mixed(self) -> npt.NDArray[np.bool_]:
        """Which observables ``(K,)`` have several strings here: their squares are not constants."""
        return np.asarray(np.count_nonzero(self.group.weights, axis=1) > 1, dtype=np.bool_)


def empty_moments(n_rows: int, group: BasisGroup) -> Moments:
    """Moments of ``n_rows`` rows before any shot."""
    n_observables, n_strings = group.weights.shape
    return Moments(
        group,
        np.zeros(n_rows, dtype=np.int64),
        np.zeros((n_rows, n_strings), dtype=np.int64),
        np.zeros((n_rows, n_observables)),
    )


def add_counts(moments: Moments, counts: Counts, *, rows: npt.ArrayLike) -> None:
    """Add the histograms of the given rows ``(R,)`` of the moments; a row may occur again with more shots."""
    places = np.asarray(rows, dtype=np.int64)
    width = max(1, len(moments.group.masks))
    step = max(1, CHUNK_ENTRIES // width)
    for start in range(0, len(counts.outcomes), step):
        stop = min(start + step, len(counts.outcomes))
        bounds = np.clip(counts.offsets, start, stop) - start
        filled = np.flatnonzero(np.diff(bounds))
        _add_entries(
            moments,
            counts.outcomes[start:stop],
            counts=counts.counts[start:stop].astype(np.int64),
            starts=bounds[filled],
            rows=places[filled],
        )


def _add_entries(moments: Moments, outcomes: AnyArray, *, counts: IntArray, starts: IntArray, rows: IntArray) -> None:
    shots = np.add.reduceat(counts, starts)
    np.add.at(moments.shots, rows, shots)
    masks = moments.group.masks.astype(outcomes.dtype)[:, np.newaxis]
    odd = np.bitwise_count(outcomes & masks) & 1
    odd_shots = np.add.reduceat(odd * counts, starts, axis=1)
    np.add.at(moments.parities, rows, (shots - 2 * odd_shots).T)
    mixed = np.flatnonzero(moments.mixed)
    if len(mixed):
        values = moments.group.weights[mixed] @ (1.0 - 2.0 * odd)
        squares = np.add.reduceat(values * values * counts, starts, axis=1)
        np.add.at(moments.squares, (rows[:, np.newaxis], mixed), squares.T)


def expectations(moments: Sequence[Moments], offsets: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Values and standard errors, ``(N, K)`` each, of observables measured in several bases.

    The value is the plain mean, unbiased, plus the constants ``offsets (K,)``; the bases are independent
    samples, so their variances add. For the variance see PSEUDO_SHOTS. Raises InvalidResultError for a row
    without shots.
    """
    n_rows = len(moments[0].shots)
    values = np.repeat(offsets[np.newaxis, :], n_rows, axis=0)
    variances = np.zeros_like(values)
    for part in moments:
        check_shots(part.shots)
        shots = part.shots[:, np.newaxis].astype(np.float64)
        sums = exact_expectations(part.parities.astype(np.float64), part.group)
        values += sums / shots
        variances += _variances(part, sums, shots=shots) / shots
    return values, np.sqrt(variances)


def _variances(moments: Moments, sums: FloatArray, *, shots: FloatArray) -> FloatArray:
    """Variance of one shot's value, ``(N, K)``, with the pseudo-shots."""
    spread = (moments.group.weights**2).sum(axis=1)
    squares = np.where(moments.mixed, moments.squares, spread * shots)
    total = shots + PSEUDO_SHOTS
    variances = (squares + PSEUDO_SHOTS * spread) / total - (sums / total) ** 2
    return np.asarray(np.maximum(variances, 0.0), dtype=np.float64)


def combine_estimates(
    values: FloatArray, variances: FloatArray, *, group: BasisGroup, offsets: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Values and standard errors, ``(N, K)`` each, of observables whose sums a backend has estimated.

    ``values`` and ``variances (N, M)`` are the backend's own. Nothing is added to the variances: each observable is a
    multiple of one sum (``qorch.model.pauli_sums``), so the square of its weight is all that they need.
    """
    squares = BasisGroup(group.basis, group.masks, group.weights**2)
    return offsets + exact_expectations(values, group), np.sqrt(exact_expectations(variances, squares))


def exact_expectations(values: FloatArray, group: BasisGroup) -> FloatArray:
    """The contribution of one basis to the K observables, ``(N, K)``, given the values ``(N, M)`` of its strings.

    Exact values have the standard error 0. Summed in a fixed order, not as a BLAS product, whose rounding may
    depend on the number of rows.
    """
    return np.asarray(np.einsum("nm,km->nk", values, group.weights, optimize=False), dtype=np.float64)
