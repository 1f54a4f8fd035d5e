"""From derivatives by a circuit's angles to derivatives by its parameters."""

import numpy as np

from qorch.errors import ParameterError
from qorch.model.arrays import FloatArray
from qorch.model.circuit import AngleMap


def chain(angle_map: AngleMap, slopes: FloatArray, values: FloatArray) -> FloatArray:
    """``(N, P)`` from derivatives by the angles ``(N, D)`` at parameter values ``(N, P)``.

    Raises ParameterError where the derivative of a non-linear expression is not finite.
    """
    if angle_map.is_identity:
        return slopes
    gradients = slopes @ angle_map.matrix
    for angle in angle_map.nonlinear:
        for index, derivative in zip(angle.parameters, angle.derivatives, strict=True):
            gradients[:, index] += slopes[:, angle.column] * derivative.evaluate(values)
    if angle_map.nonlinear and not np.isfinite(gradients).all():
        row = int(np.argwhere(~np.isfinite(gradients))[0, 0])
        raise ParameterError(f"the derivative of an angle expression of the circuit is not finite at row {row}")
    return gradients
