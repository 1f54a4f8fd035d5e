"""Finite differences: every wanted parameter is moved a step forth and back."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from qorch.gradients.method import GradientMethod, check_positive
from qorch.gradients.recombination import LinearTerms, Recombination
from qorch.gradients.streams import PubStream
from qorch.gradients.wanted import BoolArray, as_wanted, check_observables, names_of
from qorch.model.pub import Pub

STEP = 0.5
"""Radians. For the sinusoid of a rotation at 1,024 shots the squared error is least here: a shorter step divides the
noise of the shots by less (σ / (h √2)), a longer one cuts off more of the slope (by 1 - sin(h)/h, 4% here)."""


@dataclass(frozen=True)
class FiniteDifference(GradientMethod):
    """Central differences ``(f(x + step) - f(x - step)) / (2 step)``: 1 + 2P rows per point.

    Unlike shift rules it moves parameters, not angles: one that drives many angles costs two rows all the same. The
    bias is O(step²). With exact values take ``step=0.001``. Source: any textbook, such as Abramowitz and Stegun, 25.3.
    """

    kind: ClassVar[str] = "finite-difference"
    step: float = STEP

    def __post_init__(self) -> None:
        """Raise UsageError for a step that cannot be."""
        check_positive(self.step, "step")

    def expand(self, pub: Pub, *, wanted: BoolArray | None, stream: PubStream) -> tuple[Pub, Recombination]:
        """See GradientMethod; nothing is random."""
        del stream
        check_observables(pub)
        chosen = as_wanted(wanted, pub)
        columns = np.flatnonzero(chosen)
        n_terms, parameters = 2 * len(columns), np.arange(len(columns))
        rows = np.repeat(pub.parameter_values[:, np.newaxis, :], 1 + n_terms, axis=1)
        rows[:, 1 + 2 * parameters, columns] += self.step
        rows[:, 2 + 2 * parameters, columns] -= self.step
        weights = np.zeros((n_terms, len(columns)))
        weights[2 * parameters, parameters] = 0.5 / self.step
        weights[2 * parameters + 1, parameters] = -0.5 / self.step
        terms = LinearTerms(names_of(pub, chosen), weights, np.zeros(0, dtype=np.int64))
        moved = rows.reshape(pub.n_rows * (1 + n_terms), -1)
        return (
            Pub(pub.circuit, moved, observables=pub.observables, shots=pub.shots),
            Recombination(pub, terms, np.zeros((pub.n_rows, 0, len(columns)))),
        )
