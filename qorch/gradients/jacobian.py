"""Exact derivatives, which a simulator computes itself: nothing is shifted."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from qorch.gradients.method import GradientMethod
from qorch.gradients.recombination import LinearTerms, Recombination
from qorch.gradients.streams import PubStream
from qorch.gradients.wanted import BoolArray, as_wanted, check_observables, names_of
from qorch.model.pub import Pub


@dataclass(frozen=True)
class ExactJacobian(GradientMethod):
    """Derivatives of the exact values, by a backend that is an ExactGradients (see ``qorch.ports.backend``).

    Only the points themselves are rows; the backend computes the products of the Jacobian with cotangents.
    """

    kind: ClassVar[str] = "exact"
    is_computed: ClassVar[bool] = True

    def expand(self, pub: Pub, *, wanted: BoolArray | None, stream: PubStream) -> tuple[Pub, Recombination]:
        """The pub itself; what its recombination gives is 0, in place of which stands what the backend computes."""
        del stream
        check_observables(pub)
        chosen = as_wanted(wanted, pub)
        n_wanted = int(chosen.sum())
        terms = LinearTerms(names_of(pub, chosen), np.zeros((0, n_wanted)), np.zeros(0, dtype=np.int64))
        return pub, Recombination(pub, terms, np.zeros((pub.n_rows, 0, n_wanted)))
