"""Parameter-shift gradients: a pub becomes forward and shifted rows, and their values its gradient."""

import functools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from qorch.errors import ParameterError
from qorch.gradients.method import GradientMethod
from qorch.gradients.recombination import LinearTerms, Recombination
from qorch.gradients.shift_rules import shift_rule
from qorch.gradients.streams import PubStream
from qorch.gradients.wanted import BoolArray, as_wanted, check_observables
from qorch.model.arrays import FloatArray, IntArray, freeze
from qorch.model.circuit import Circuit
from qorch.model.pub import Batch, Pub

KEPT_RULES = 32
"""Circuits whose rules are kept: a training loop asks for the same ones in every step."""


@dataclass(frozen=True, eq=False)
class ShiftTerms(LinearTerms):
    """What the derivatives of a circuit by P wanted parameters are made of, at whatever point.

    Term t shifts the angle ``columns[t]`` by ``shifts[t]`` radians and counts ``coefficients[t]`` in the
    derivative by that angle; all are ``(T,)``. ``weights (T, P)`` is the coefficient times the derivative
    of the angle by each parameter, and 0 for the L terms ``row_terms (L,)`` of non-linear angles, where it
    differs from row to row.
    """

    wanted: BoolArray
    columns: IntArray
    shifts: FloatArray
    coefficients: FloatArray

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        super().__post_init__()
        for array in (self.wanted, self.columns, self.shifts, self.coefficients):
            freeze(array)


@dataclass(frozen=True)
class ParameterShift(GradientMethod):
    """The parameter-shift rule, exact but for the noise of shots; see ``expand``, and ``shift_rule`` for its source."""

    kind: ClassVar[str] = "parameter-shift"

    def expand(self, pub: Pub, *, wanted: BoolArray | None, stream: PubStream) -> tuple[Pub, Recombination]:
        """See GradientMethod; nothing is random."""
        del stream
        batch, recombination = expand(pub, wanted=wanted)
        return batch.pubs[0], recombination


def expand(pub: Pub, *, wanted: BoolArray | None = None) -> tuple[Batch, Recombination]:
    """The rows that the gradient of a pub needs, and how to put their values together.

    ``wanted (P,)`` chooses parameters; None is all. The batch holds one pub whose parameters are the D angles
    of the circuit, with N × (1 + T) rows: for every original row the row itself, then each of T shifts of one
    angle. Angles that no wanted parameter drives are not shifted. Raises ObservableError if the pub has no
    observable, ParameterError if ``wanted`` has another shape or a non-linear angle has no derivative at a
    row.
    """
    check_observables(pub)
    terms = terms_of(pub.circuit, as_wanted(wanted, pub).tobytes())
    row_weights = weigh_rows(pub, terms)
    return Batch((shift_angles(pub, terms),)), Recombination(pub, terms, row_weights)


@functools.lru_cache(maxsize=KEPT_RULES)
def terms_of(circuit: Circuit, wanted: bytes) -> ShiftTerms:
    """The terms of the derivatives by these parameters: ``wanted`` are the bytes of one bool for each."""
    chosen = np.frombuffer(wanted, dtype=np.bool_)
    driven = circuit.angle_map.driven_columns(chosen)
    frequencies = circuit.gates.column_frequencies
    rules = [shift_rule(*frequencies[column]) for column in driven]
    columns = np.repeat(driven, [len(shifts) for shifts, _ in rules]).astype(np.int64)
    none = np.zeros(0)
    coefficients = np.concatenate([none, *(coefficients for _, coefficients in rules)])
    nonlinear = [angle.column for angle in circuit.angle_map.nonlinear]
    return ShiftTerms(
        parameters=tuple(name for name, is_chosen in zip(circuit.parameters, chosen, strict=True) if is_chosen),
        wanted=chosen,
        columns=columns,
        shifts=np.concatenate([none, *(shifts for shifts, _ in rules)]),
        coefficients=coefficients,
        weights=coefficients[:, np.newaxis] * circuit.angle_map.matrix[columns][:, chosen],
        row_terms=np.flatnonzero(np.isin(columns, nonlinear)),
    )


def shift_angles(pub: Pub, terms: ShiftTerms) -> Pub:
    """The N × (1 + T) rows: every row of the pub, and then its shifted ones. Their parameters are the D angles."""
    angles = pub.circuit.angle_map.angles(pub.parameter_values)
    n_rows, width = angles.shape
    n_terms = len(terms.columns)
    rows = np.repeat(angles[:, np.newaxis, :], 1 + n_terms, axis=1)
    rows[:, 1 + np.arange(n_terms), terms.columns] += terms.shifts
    rows = rows.reshape(n_rows * (1 + n_terms), width)
    return Pub(pub.circuit.free, rows, observables=pub.observables, shots=pub.shots)


def weigh_rows(pub: Pub, terms: ShiftTerms) -> FloatArray:
    """The weights ``(N, L, P)`` of the L terms of non-linear angles. Raises ParameterError if one has no derivative."""
    weights = np.zeros((pub.n_rows, len(terms.row_terms), len(terms.parameters)))
    places = np.cumsum(terms.wanted) - 1
    for angle in pub.circuit.angle_map.nonlinear:
        own = np.flatnonzero(terms.columns[terms.row_terms] == angle.column)
        for parameter, program in zip(angle.parameters, angle.derivatives, strict=True):
            if terms.wanted[parameter]:
                slopes = program.evaluate(pub.parameter_values)
                _check_slopes(slopes, pub.circuit.parameters[parameter])
                coefficients = terms.coefficients[terms.row_terms[own]]
                weights[:, own, places[parameter]] = slopes[:, np.newaxis] * coefficients
    return weights


def _check_slopes(slopes: FloatArray, name: str) -> None:
    if not np.isfinite(slopes).all():
        row = int(np.flatnonzero(~np.isfinite(slopes))[0])
        raise ParameterError(
            f"an angle expression of the circuit has no finite derivative by '{name}' at row {row};"
            " move the parameter away from that point"
        )
