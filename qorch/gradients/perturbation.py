"""SPSA: all wanted parameters are moved at once along random directions, two rows for each direction."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from qorch.gradients.method import GradientMethod, check_number, check_positive
from qorch.gradients.recombination import LinearTerms, Recombination
from qorch.gradients.streams import PubStream, draw_signs
from qorch.gradients.wanted import BoolArray, as_wanted, check_observables, names_of
from qorch.model.arrays import FloatArray
from qorch.model.kinds import as_whole
from qorch.model.pub import Pub

GAMMA = 0.101
"""By which the size of the perturbations decays: the least for which SPSA is known to converge (Spall 1998)."""

PERTURBATION = 0.2
"""Radians, in the first step. The derivative by the angle of one rotation is then 0.7% too small (1 - sin(c)/c), and up
to 2% more (1 - cos(c)) for every other rotation on which the value depends, as these are moved, too: half is left where
34 act together. The noise of two values with errors σ counts σ / (0.2 √2), and more with a smaller c."""

MOST_DIRECTIONS = 10_000


@dataclass(frozen=True)
class SimultaneousPerturbation(GradientMethod):
    """Simultaneous perturbation: 1 + 2 ``directions`` rows per point, whatever the number of parameters.

    At step k of the run a point is moved by ``±c_k Δ``, with ``c_k = c / (k + 1)^gamma`` and every entry of Δ +1 or -1
    with equal probability; the derivative by parameter p is ``(f(+) - f(-)) / (2 c_k Δ_p)``, averaged over the
    directions. A parameter with one value in all rows of a pub, as the weights of a layer have, is moved in the same
    direction in all of them; others, as its inputs, in one of their own in every row.

    The mean over directions is the derivative up to O(P c²), as all P parameters are moved: of
    ``f(+) - f(-) = 2 c Σ_q Δ_q ∂_q f + O(c³)`` the terms of q ≠ p have the factor ``Δ_q / Δ_p``, whose mean is 0, as
    two entries of a row are independent whether or not rows share them. A layer's backward pass sums the Jacobian of
    each row with weights (the cotangents) that were computed from the forward rows, which are not moved: the sum is
    unbiased as well. Errors (``stderr``) are those of the shots along these directions; how much directions differ is
    not in them.

    Source: J. C. Spall, "Implementation of the simultaneous perturbation algorithm for stochastic optimization",
    IEEE Trans. Aerosp. Electron. Syst. 34, 817 (1998).
    """

    kind: ClassVar[str] = "spsa"
    why_not_exact: ClassVar[str] = (
        "gradient 'spsa' makes no sense with exact values (shots=None): it saves shots at the price of noise, and exact"
        " values cost none; use gradient='exact' or 'parameter-shift', or give a number of shots"
    )
    directions: int = 1
    c: float = PERTURBATION
    gamma: float = GAMMA

    def __post_init__(self) -> None:
        """Raise UsageError for options that cannot be."""
        as_whole(self.directions, "directions", least=1, most=MOST_DIRECTIONS)
        check_positive(self.c, "c")
        check_number(self.gamma, "gamma")

    def expand(self, pub: Pub, *, wanted: BoolArray | None, stream: PubStream) -> tuple[Pub, Recombination]:
        """See GradientMethod."""
        check_observables(pub)
        chosen = as_wanted(wanted, pub)
        signs = self._draw_directions(pub.parameter_values[:, chosen], stream)
        size = perturbation_size(self.c, self.gamma, step=stream.step)
        n_points, n_directions, n_wanted = signs.shape
        rows = np.repeat(pub.parameter_values[:, np.newaxis, :], 1 + 2 * n_directions, axis=1)
        rows[:, 1::2, chosen] += size * signs
        rows[:, 2::2, chosen] -= size * signs
        weights = np.stack([signs, -signs], axis=2) / (2.0 * size * max(n_directions, 1))
        n_terms = 2 * n_directions
        terms = LinearTerms(names_of(pub, chosen), np.zeros((n_terms, n_wanted)), np.arange(n_terms))
        moved = rows.reshape(n_points * (1 + n_terms), -1)
        return (
            Pub(pub.circuit, moved, observables=pub.observables, shots=pub.shots),
            Recombination(pub, terms, weights.reshape(n_points, n_terms, n_wanted)),
        )

    def _draw_directions(self, values: FloatArray, stream: PubStream) -> FloatArray:
        """For wanted parameters ``(N, P)`` the entries of Δ, ``(N, directions, P)``; no direction if P is 0."""
        n_points, n_wanted = values.shape
        n_directions = self.directions if n_wanted else 0
        signs = draw_signs(stream.generator(), (n_points, n_directions, n_wanted))
        is_shared = (values == values[0]).all(axis=0)
        signs[:, :, is_shared] = signs[:1, :, is_shared]
        return signs


def perturbation_size(c: float, gamma: float, *, step: int) -> float:
    """Spall's gain sequence ``c_k = c / (k + 1)^gamma`` at step k, from 0 on."""
    return float(c / (step + 1) ** gamma)
