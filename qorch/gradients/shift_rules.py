"""Parameter-shift rules: exact derivatives from values at finitely many shifts of one angle."""

from functools import lru_cache

import numpy as np

from qorch.errors import UsageError
from qorch.model.arrays import FloatArray, freeze


@lru_cache(maxsize=64)
def shift_rule(n_frequencies: int, spacing: float) -> tuple[FloatArray, FloatArray]:
    """Shifts in radians and their coefficients, ``(2R,)`` each: ``f'(x) = sum(coefficient * f(x + shift))``.

    Exact if f is a Fourier sum with the R frequencies ``spacing, 2 spacing, …, R spacing``. The shifts
    come in pairs ``+s, -s``: two terms for a rotation, four for a controlled one. Raises UsageError unless
    R ≥ 1 and spacing > 0. Source: Wierichs, Izaac, Wang, Lin, Quantum 6, 677 (2022), section 3, the rule
    for equidistant frequencies, with the shifts above π replaced by their negative equals.
    """
    if n_frequencies < 1 or not spacing > 0.0:
        raise UsageError(f"no shift rule for {n_frequencies} frequencies at distance {spacing}; both must be positive")
    places = np.arange(n_frequencies)
    points = (2 * places + 1) * np.pi / (2 * n_frequencies)
    weights = spacing * (-1.0) ** places / (4 * n_frequencies * np.sin(points / 2) ** 2)
    shifts = np.stack([points, -points], axis=1).ravel() / spacing
    coefficients = np.stack([weights, -weights], axis=1).ravel()
    return freeze(shifts), freeze(coefficients)
