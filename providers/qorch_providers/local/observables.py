"""What a gradient is taken of: weighted Pauli strings as masks, or the whole distribution."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qorch.model.arrays import FloatArray
from qorch.model.observable import Distribution, Observable, Observables, X, Y, Z
from qorch_providers.local.sparse import plan_sum


@dataclass(frozen=True, eq=False)
class WeightedStrings:
    """Per row, one weight for each of M Pauli strings, or with ``wants_all`` for each of 2^n outcomes.

    ``weights (R, M)``; ``z_masks (M,)``, ordered by layer; ``layers (L, 4)``: X mask, whether the factor is i, and the
    layer's range of strings. A string is ``P |k> = i^y (-1)^|k & z| |k ^ x>``, where y of its letters are Y (which is
    in both masks); signs are in the weights.
    """

    wants_all: bool
    weights: FloatArray
    z_masks: npt.NDArray[np.int64]
    layers: npt.NDArray[np.int64]

    def take(self, rows: slice) -> "WeightedStrings":
        """The same for some rows."""
        return replace(self, weights=self.weights[rows])


def weigh(observables: Observables, cotangents: FloatArray) -> WeightedStrings:
    """The sum over k of ``cotangents[:, k]`` times observable k, for all rows ``(N, K)``."""
    if isinstance(observables, Distribution):
        empty = np.empty(0, dtype=np.int64)
        return WeightedStrings(True, np.ascontiguousarray(cotangents), empty, np.empty((0, 4), dtype=np.int64))
    strings = sorted(_strings(observables).items())
    layers: list[list[int]] = []
    matrix = np.zeros((len(strings), cotangents.shape[1]))
    for place, ((x_mask, is_imaginary, _), coefficients) in enumerate(strings):
        if not layers or layers[-1][:2] != [x_mask, is_imaginary]:
            layers.append([x_mask, is_imaginary, place, place])
        layers[-1][3] = place + 1
        for index, coefficient in coefficients:
            matrix[place, index] += coefficient
    return WeightedStrings(
        wants_all=False,
        weights=plan_sum(matrix.T).apply(cotangents),
        z_masks=np.array([key[2] for key, _ in strings], dtype=np.int64),
        layers=np.array(layers, dtype=np.int64).reshape(-1, 4),
    )


_Key = tuple[int, int, int]


def _strings(observables: tuple[Observable, ...]) -> dict[_Key, list[tuple[int, float]]]:
    """(X mask, whether the factor is i, Z mask) → (observable, coefficient with the sign of i^y)."""
    strings: dict[_Key, list[tuple[int, float]]] = {}
    for index, observable in enumerate(observables):
        for term in observable.terms:
            if not term.letters:
                continue  # a constant has no derivative
            x_mask = sum(1 << qubit for qubit, letter in term.letters if letter in (X, Y))
            z_mask = sum(1 << qubit for qubit, letter in term.letters if letter in (Z, Y))
            n_y = (x_mask & z_mask).bit_count()
            sign = -1.0 if n_y % 4 in (2, 3) else 1.0
            key = (x_mask, n_y % 2, z_mask)
            strings.setdefault(key, []).append((index, sign * term.coefficient))
    return strings
