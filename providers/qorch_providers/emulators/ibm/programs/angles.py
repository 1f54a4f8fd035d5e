"""Angles of gates as functions of a circuit's parameters: sums of them as one matrix, all others one by one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from qiskit.circuit import Parameter, ParameterExpression

from qorch_providers.emulators.statevector.matrices import Floats

_TOLERANCE = 1e-9


@dataclass(frozen=True)
class AngleTable:
    """All symbolic angles of a circuit: ``values @ factors + offsets``, except for those of ``others``."""

    factors: Floats
    offsets: Floats
    others: tuple[tuple[int, ParameterExpression], ...]
    parameters: tuple[Parameter, ...]

    def at(self, values: Floats) -> Floats:
        """The angles ``(R, E)`` at parameter values ``(R, P)``."""
        angles = np.asarray(values @ self.factors + self.offsets, dtype=np.float64)
        for column, expression in self.others:
            angles[:, column] = [_evaluate(expression, self.parameters, row) for row in values]
        return angles


def tabulate(expressions: Sequence[ParameterExpression], parameters: Sequence[Parameter]) -> AngleTable:
    """The table of these expressions, in their order. ``parameters``: all of the circuit, in its order."""
    ordered = tuple(parameters)
    places = {parameter: place for place, parameter in enumerate(ordered)}
    factors = np.zeros((len(ordered), len(expressions)))
    offsets = np.zeros(len(expressions))
    others = []
    for column, expression in enumerate(expressions):
        own = [places[parameter] for parameter in expression.parameters]
        offset, slopes = _fit(expression, ordered, own)
        if _is_sum(expression, ordered, own, offset, slopes):
            factors[own, column], offsets[column] = slopes, offset
        else:
            others.append((column, expression))
    return AngleTable(factors, offsets, tuple(others), ordered)


def _fit(expression: ParameterExpression, parameters: tuple[Parameter, ...], own: list[int]) -> tuple[float, Floats]:
    """The expression at 0, and how much it grows where one of its own parameters becomes 1."""
    point = np.zeros(len(parameters))
    offset = _evaluate(expression, parameters, point)
    slopes = np.zeros(len(own))
    for index, place in enumerate(own):
        point[place] = 1.0
        slopes[index] = _evaluate(expression, parameters, point) - offset
        point[place] = 0.0
    return offset, slopes


def _is_sum(
    expression: ParameterExpression, parameters: tuple[Parameter, ...], own: list[int], offset: float, slopes: Floats
) -> bool:
    """Whether the fit holds at other points too."""
    for scale in (-2.375, 0.7310585):
        point = np.zeros(len(parameters))
        point[own] = scale * np.arange(1, len(own) + 1)
        expected = offset + float(slopes @ point[own])
        if not abs(_evaluate(expression, parameters, point) - expected) <= _TOLERANCE * (1.0 + abs(expected)):
            return False
    return True


def _evaluate(expression: ParameterExpression, parameters: tuple[Parameter, ...], row: Floats) -> float:
    """The expression at one point; not a number where it has no value."""
    own = expression.parameters
    values = {parameter: float(value) for parameter, value in zip(parameters, row, strict=True) if parameter in own}
    try:
        return float(expression.bind(values))
    except (ZeroDivisionError, TypeError, ValueError, OverflowError):
        return float("nan")
