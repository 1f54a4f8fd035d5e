"""Angles of gates as functions of a circuit's parameters: sums of them as one matrix, all others one by one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from qiskit.circuit import Parameter, ParameterExpression

from qorch_providers.emulators.statevector.matrices import Floats

_TOLERANCE = 1e-9


@dataclass(frozen=True)
class _Angle:
    """One expression with its own parameters, and their places among all parameters of the circuit."""

    expression: ParameterExpression
    parameters: tuple[Parameter, ...]
    places: tuple[int, ...]

    def at(self, values: Floats) -> float:
        """Its value where its own parameters have these; not a number where it has none."""
        try:
            return float(self.expression.bind(dict(zip(self.parameters, values.tolist(), strict=True))))
        except (ZeroDivisionError, TypeError, ValueError, OverflowError):
            return float("nan")


@dataclass(frozen=True)
class AngleTable:
    """All symbolic angles of a circuit: ``values @ factors + offsets``, except for those of ``others``."""

    n_parameters: int
    factors: Floats
    offsets: Floats
    others: tuple[tuple[int, _Angle], ...]

    def at(self, values: Floats) -> Floats:
        """The angles ``(R, E)`` at parameter values ``(R, P)``."""
        angles = np.asarray(values @ self.factors + self.offsets, dtype=np.float64)
        for column, angle in self.others:
            angles[:, column] = [angle.at(row) for row in values[:, list(angle.places)]]
        return angles


def tabulate(expressions: Sequence[ParameterExpression], parameters: Sequence[Parameter]) -> AngleTable:
    """The table of these expressions, in their order. ``parameters``: all of the circuit, in its order."""
    places = {parameter: place for place, parameter in enumerate(parameters)}
    factors = np.zeros((len(places), len(expressions)))
    offsets = np.zeros(len(expressions))
    others = []
    for column, expression in enumerate(expressions):
        if isinstance(expression, Parameter):
            factors[places[expression], column] = 1.0
            continue
        own = tuple(expression.parameters)
        angle = _Angle(expression, own, tuple(places[parameter] for parameter in own))
        offset, slopes = _fit(angle)
        if _is_sum(angle, offset, slopes):
            factors[list(angle.places), column], offsets[column] = slopes, offset
        else:
            others.append((column, angle))
    return AngleTable(len(places), factors, offsets, tuple(others))


def _fit(angle: _Angle) -> tuple[float, Floats]:
    """The angle at 0, and how much it grows where one of its own parameters becomes 1."""
    n_own = len(angle.places)
    offset = angle.at(np.zeros(n_own))
    return offset, np.array([angle.at(point) - offset for point in np.eye(n_own, dtype=np.float64)])


def _is_sum(angle: _Angle, offset: float, slopes: Floats) -> bool:
    """Whether the fit holds at other points too."""
    for scale in (-2.375, 0.7310585):
        point: Floats = scale * np.arange(1, len(slopes) + 1, dtype=np.float64)
        expected = offset + float(slopes @ point)
        if not abs(angle.at(point) - expected) <= _TOLERANCE * (1.0 + abs(expected)):
            return False
    return True
