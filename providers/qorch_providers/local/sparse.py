"""Products with a matrix that is mostly zeros, added up in a fixed order.

A BLAS product rounds differently with the number of rows, and a row's bits must not depend on the rows beside it.
"""

from dataclasses import dataclass

import numpy as np

from qorch.model.arrays import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class FixedSum:
    """``columns @ matrix``: each layer adds at most one entry ``coefficient * source`` to every target."""

    n_targets: int
    layers: tuple[tuple[IntArray, IntArray, FloatArray], ...]

    def apply(self, columns: FloatArray) -> FloatArray:
        """``(N, targets)`` from ``(N, sources)``."""
        sums = np.zeros((len(columns), self.n_targets))
        for targets, sources, coefficients in self.layers:
            sums[:, targets] += columns[:, sources] * coefficients
        return sums


def plan_sum(matrix: FloatArray) -> FixedSum:
    """The sum of a matrix ``(sources, targets)``: the entries of every column from the top down."""
    targets, sources = np.nonzero(matrix.T)
    places = np.arange(len(targets)) - np.searchsorted(targets, targets)
    layers = []
    for place in range(int(places.max(initial=-1)) + 1):
        chosen = places == place
        layers.append((targets[chosen], sources[chosen], matrix[sources[chosen], targets[chosen]]))
    return FixedSum(matrix.shape[1], tuple(layers))
