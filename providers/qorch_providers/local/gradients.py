"""From derivatives by a circuit's angles to derivatives by its parameters."""

from functools import lru_cache

import numpy as np

from qorch.errors import ParameterError
from qorch.model.arrays import FloatArray
from qorch.model.circuit import AngleMap
from qorch_providers.local.sparse import FixedSum, plan_sum


def chain(angle_map: AngleMap, slopes: FloatArray, values: FloatArray) -> FloatArray:
    """``(N, P)`` from derivatives by the angles ``(N, D)`` at parameter values ``(N, P)``.

    Raises ParameterError if the derivative of a non-linear expression is not finite.
    """
    if angle_map.is_identity:
        return slopes
    gradients = _affine_sum(angle_map).apply(slopes)
    for angle in angle_map.nonlinear:
        for index, derivative in zip(angle.parameters, angle.derivatives, strict=True):
            factors = derivative.evaluate(values)
            if not np.isfinite(factors).all():
                row = int(np.argmin(np.isfinite(factors)))
                raise ParameterError(f"the derivative of an angle expression of the circuit is not finite at row {row}")
            gradients[:, index] += slopes[:, angle.column] * factors
    return gradients


@lru_cache(maxsize=64)
def _affine_sum(angle_map: AngleMap) -> FixedSum:
    return plan_sum(angle_map.matrix)
