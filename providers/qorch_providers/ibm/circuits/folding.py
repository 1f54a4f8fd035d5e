"""Fractional ``rzz`` gates take angles from 0 to a quarter turn only: any other angle is folded into that range.

A gate of any angle is ``rx(flip) rzz(folded) rx(flip) rz(turn) rz(turn)``, where flip and turn are 0 or half a turn and
the rx are on one of its qubits. All three are computed from the row's angle, so that one circuit serves all rows.
"""

import math
from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from qiskit.circuit import ParameterExpression

from qorch.errors import CircuitError
from qorch.model.arrays import FloatArray

_QUARTER, _HALF, _FULL = math.pi / 2, math.pi, 2 * math.pi
_TOLERANCE = 1e-9


class AngleKind(IntEnum):
    """What a number of a circuit is, of the angle that it is computed from."""

    PLAIN = 0
    FOLDED = 1
    FLIP = 2
    TURN = 3


def derive(angles: FloatArray, kind: AngleKind) -> FloatArray:
    """The numbers of this kind, of angles in radians."""
    if kind is AngleKind.PLAIN:
        return angles
    within = np.mod(angles, _FULL)
    quadrant = np.minimum(np.floor_divide(within, _QUARTER), 3.0)
    is_odd = np.mod(quadrant, 2.0) == 1.0
    if kind is AngleKind.FLIP:
        return np.where(is_odd, _HALF, 0.0)
    if kind is AngleKind.TURN:
        return np.where((quadrant == 1.0) | (quadrant == 2.0), _HALF, 0.0)
    rest = within - quadrant * _QUARTER
    folded: FloatArray = np.clip(np.where(is_odd, _QUARTER - rest, rest), 0.0, _QUARTER)
    return folded


def affine_form(expression: ParameterExpression) -> tuple[list[str], list[float], float]:
    """Names, factors and offset of an angle that is a sum of parameters times factors.

    Raises CircuitError for any other: no gate of qorch's becomes one.
    """
    parameters = sorted(expression.parameters, key=lambda parameter: parameter.name)

    def at(values: Sequence[float]) -> float:
        return float(expression.bind(dict(zip(parameters, values, strict=True))))

    offset = at([0.0] * len(parameters))
    factors = [at([float(one is each) for each in parameters]) - offset for one in parameters]
    probe = [0.5 + index for index in range(len(parameters))]
    expected = offset + sum(factor * value for factor, value in zip(factors, probe, strict=True))
    if abs(at(probe) - expected) > _TOLERANCE:
        raise CircuitError(f"the angle {expression} of a compiled circuit is no sum of its parameters")
    return [parameter.name for parameter in parameters], factors, offset
