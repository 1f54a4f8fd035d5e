"""Qiskit's parameter expressions as a map from parameters to angles: affine ones as numbers, the others as programs."""

import math
import numbers
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from qiskit.circuit import Parameter, ParameterExpression
from qiskit.exceptions import QiskitError

from qorch.errors import CircuitError
from qorch.model.circuit import AngleMap
from qorch.model.qiskit.expression import NonlinearAngle, Program

Expression = Any
"""A ``qiskit.circuit.ParameterExpression``."""


@dataclass(frozen=True)
class Affine:
    """``offset + sum(coefficient * parameter[index])`` over ``terms``, in ascending order of the indices."""

    terms: tuple[tuple[int, float], ...]
    offset: float


@dataclass(frozen=True)
class Curve:
    """Any other angle: its value, the parameters it depends on, and its derivative by each."""

    value: Program
    parameters: tuple[int, ...]
    derivatives: tuple[Program, ...]


@dataclass
class AngleBuilder:
    """Collects the free angles of one circuit, in the order of its gates. Lives for one compilation."""

    parameters: tuple[Any, ...]
    indices: dict[Any, int] = field(init=False)
    angles: list[Affine | Curve] = field(default_factory=list)
    curves: dict[str, Curve] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Number the parameters."""
        self.indices = {parameter: index for index, parameter in enumerate(self.parameters)}

    def add(self, angle: object, *, gate: str) -> float | None:
        """The angle in radians if it is fixed; else None, and the angle is the next free column.

        Raises CircuitError if it is neither a finite real number nor a real expression.
        """
        if not isinstance(angle, ParameterExpression):
            return as_angle(angle, gate=gate)
        affine = _as_affine(angle, self.indices, gate=gate)
        if affine is not None and not affine.terms:
            return affine.offset
        self.angles.append(affine or self._as_curve(angle, gate=gate))
        return None

    def _as_curve(self, expression: Expression, *, gate: str) -> Curve:
        # Names of our own: no user's name can mean something to SymPy, or sort differently.
        renamed = expression.subs(
            {parameter: Parameter(f"p{self.indices[parameter]:06d}") for parameter in expression.parameters}
        )
        text = str(renamed)
        if text not in self.curves:
            names = tuple(f"p{index:06d}" for index in range(len(self.parameters)))
            try:
                self.curves[text] = _compile_curve(renamed, names)
            except CircuitError as error:
                raise CircuitError(f"cannot compile the angle '{expression}' of gate '{gate}': {error}") from error
        return self.curves[text]

    def build(self) -> AngleMap:
        """The map from parameters to all angles added so far."""
        affine = [angle if isinstance(angle, Affine) else Affine((), 0.0) for angle in self.angles]
        width = max((len(angle.terms) for angle in affine), default=1) or 1
        indices = np.zeros((len(affine), width), dtype=np.int64)
        coefficients = np.zeros((len(affine), width))
        for column, angle in enumerate(affine):
            for place, (index, coefficient) in enumerate(angle.terms):
                indices[column, place] = index
                coefficients[column, place] = coefficient
        offsets = np.array([angle.offset for angle in affine], dtype=np.float64)
        nonlinear = tuple(
            NonlinearAngle(column, curve.value, curve.parameters, curve.derivatives)
            for column, curve in enumerate(self.angles)
            if isinstance(curve, Curve)
        )
        return AngleMap(len(self.parameters), indices, coefficients, offsets, nonlinear)


def as_angle(number: object, *, gate: str) -> float:
    """A fixed angle in radians. Raises CircuitError if it is not a finite real number."""
    if not isinstance(number, numbers.Complex):
        raise CircuitError(f"gate '{gate}' has the angle {number!r}; an angle must be a real number")
    value = complex(number)
    if value.imag != 0.0 or not math.isfinite(value.real):
        raise CircuitError(f"gate '{gate}' has the angle {number}; an angle must be a finite real number")
    return value.real


def _as_affine(expression: Expression, indices: dict[Any, int], *, gate: str) -> Affine | None:
    terms = []
    for parameter in sorted(expression.parameters, key=indices.__getitem__):
        try:
            slope = expression.gradient(parameter)
        except RuntimeError:  # Qiskit cannot differentiate some functions
            return None
        if isinstance(slope, ParameterExpression):
            if slope.parameters:
                return None
            slope = slope.numeric()
        coefficient = as_angle(slope, gate=gate)
        if coefficient != 0.0:
            terms.append((indices[parameter], coefficient))
    try:
        origin = expression.bind(dict.fromkeys(expression.parameters, 0.0)).numeric()
    except (QiskitError, ArithmeticError):  # such as p / p where p is 0
        return None
    return Affine(tuple(terms), as_angle(origin, gate=gate))


def _compile_curve(expression: Expression, names: tuple[str, ...]) -> Curve:
    # SymPy takes long to load, and few circuits need it.
    from qorch.model.qiskit.formula import as_real, compile_formula, differentiate

    try:
        formula = expression.sympify()
    except (TypeError, ValueError, RuntimeError) as error:
        raise CircuitError(f"Qiskit has no formula for it ({error})") from error
    real = as_real(formula, names)
    parameters, derivatives = differentiate(real, names)
    return Curve(compile_formula(real, names), parameters, derivatives)
