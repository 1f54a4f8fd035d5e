"""Sampled shift: the shift rule for a random share of the parameters, scaled so that the mean is the gradient."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from qorch.errors import UsageError
from qorch.gradients.method import GradientMethod, check_positive
from qorch.gradients.parameter_shift import ShiftTerms, shift_angles, terms_of, weigh_rows
from qorch.gradients.recombination import Recombination
from qorch.gradients.streams import PubStream, draw_subset
from qorch.gradients.wanted import BoolArray, as_wanted, check_observables
from qorch.model.arrays import FloatArray
from qorch.model.pub import Pub


@dataclass(frozen=True)
class SampledShift(GradientMethod):
    """The shift rule for m of the P wanted parameters, drawn anew for each pub of a call and the same in all its rows.

    m is ``share`` of P, rounded, and at least 1. Derivatives by the drawn parameters count P / m times, as each is
    drawn with probability m / P, and those by the others are 0: the mean over draws is the gradient, without bias.
    Errors (``stderr``) are those of the shots; how much draws differ is not in them. Not the "stochastic parameter
    shift rule" of Banchi and Crooks (2021), which is for gates without a rule of their own. Source of sampling some
    coordinates: Harrow and Napp, Phys. Rev. Lett. 126, 140502 (2021).
    """

    kind: ClassVar[str] = "sampled-shift"
    share: float = 0.25

    def __post_init__(self) -> None:
        """Raise UsageError for a share that cannot be."""
        check_positive(self.share, "share")
        if self.share > 1.0:
            raise UsageError(f"share is {self.share}; it must be at most 1, which measures every parameter")

    def expand(self, pub: Pub, *, wanted: BoolArray | None, stream: PubStream) -> tuple[Pub, Recombination]:
        """See GradientMethod."""
        check_observables(pub)
        chosen = as_wanted(wanted, pub)
        factors = self._draw_factors(int(chosen.sum()), stream)
        terms = _keep_terms(pub, chosen, factors)
        return shift_angles(pub, terms), Recombination(pub, terms, weigh_rows(pub, terms) * factors)

    def _draw_factors(self, n_wanted: int, stream: PubStream) -> FloatArray:
        """How many times the derivative by each of P parameters counts, ``(P,)``: P / m, or 0."""
        if not n_wanted:
            return np.zeros(0)
        count = max(1, round(self.share * n_wanted))
        drawn = draw_subset(stream.generator(), count=count, among=n_wanted)
        return np.where(drawn, n_wanted / count, 0.0)


def _keep_terms(pub: Pub, wanted: BoolArray, factors: FloatArray) -> ShiftTerms:
    """The terms of the angles that the parameters with a factor drive, with their weights."""
    every = terms_of(pub.circuit, wanted.tobytes())
    drawn = wanted.copy()
    drawn[wanted] = factors > 0.0
    is_kept = np.isin(every.columns, pub.circuit.angle_map.driven_columns(drawn))
    is_row_term = np.isin(np.flatnonzero(is_kept), every.row_terms)
    return replace(
        every,
        weights=every.weights[is_kept] * factors,
        row_terms=np.flatnonzero(is_row_term),
        columns=every.columns[is_kept],
        shifts=every.shifts[is_kept],
        coefficients=every.coefficients[is_kept],
    )
