"""`SPSA`: an optimiser for whole models that evaluates the loss twice a step, and needs no gradients."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, SupportsFloat

import numpy as np
import torch

from qorch.errors import UsageError
from qorch.gradients.method import check_number, check_positive
from qorch.gradients.perturbation import GAMMA, MOST_DIRECTIONS, PERTURBATION, perturbation_size
from qorch.gradients.streams import draw_signs
from qorch.model.arrays import FloatArray
from qorch.model.kinds import as_whole

Closure = Callable[[], SupportsFloat]
"""Evaluates the loss of the model as it is, without `backward`; the same data as long as a step lasts."""

ALPHA = 0.602
"""By which the learning rate decays: the least for which SPSA is known to converge (Spall 1998)."""


class SPSA(torch.optim.Optimizer):
    """Simultaneous perturbation stochastic approximation: ``2 * directions`` evaluations of the loss a step.

    At step k, from 0 on, all entries of all parameters that require gradients, quantum and classical, are moved at once
    by ``±c_k Δ``, with every entry of Δ +1 or -1 with equal probability, and then go by
    ``-a_k (L(+) - L(-)) / (2 c_k) Δ``, averaged over the directions, with the gains ``c_k = c / (k + 1)^gamma`` and
    ``a_k = lr / (k + 1 + stability)^alpha``. ``stability`` (Spall's A) allows a larger ``lr`` (his a) without too long
    steps at the beginning: about a tenth of the steps that are planned. ``c``: so large that the loss moves by more
    than its own noise. Each group of parameters may have its own ``lr``, ``c``, ``stability``, ``alpha``, ``gamma``.

    ``blocking``: a step after which the loss is larger by more than this is taken back; None takes every step. That
    costs two more evaluations a step, before and after it, on the same data.

    Random numbers come from ``seed`` and the number of the step, which ``state_dict`` has: a resumed training goes on
    to the bit. Raises UsageError for options that cannot be.

    Source: J. C. Spall, "Implementation of the simultaneous perturbation algorithm for stochastic optimization",
    IEEE Trans. Aerosp. Electron. Syst. 34, 817 (1998).
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1.0,
        c: float = PERTURBATION,
        stability: float = 10.0,
        alpha: float = ALPHA,
        gamma: float = GAMMA,
        directions: int = 1,
        blocking: float | None = None,
        seed: int = 0,
    ) -> None:
        """Check the options; ``params`` are those of a model, or groups of them, as torch's optimisers take them."""
        if blocking is not None:
            check_number(blocking, "blocking")
        gains = {"lr": lr, "c": c, "stability": stability, "alpha": alpha, "gamma": gamma}
        held = {
            "directions": as_whole(directions, "directions", least=1, most=MOST_DIRECTIONS),
            "blocking": blocking,
            "seed": as_whole(seed, "seed"),
            "k": 0,
        }
        super().__init__(params, gains | held)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """See torch.optim.Optimizer. Raises UsageError for gains that cannot be."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        group["k"] = self.param_groups[0]["k"]
        for name in ("lr", "c"):
            check_positive(group[name], name)
        for name in ("stability", "alpha", "gamma"):
            check_number(group[name], name)

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> float:  # type: ignore[override]
        """Move the parameters; returns the loss: the mean of what was evaluated, with ``blocking`` that at the end.

        After an error the parameters are what they were. Raises UsageError without a closure, and for a loss that is
        not a finite number.
        """
        if closure is None:
            raise UsageError(
                "SPSA evaluates the loss itself: optimizer.step(closure), where closure() returns the loss"
            )
        parts = [(group, each) for group in self.param_groups for each in group["params"] if each.requires_grad]
        point = _Point([each for _, each in parts])
        try:
            loss = self._move(point, _Gains.of(parts), closure)
        except BaseException:
            point.go_back()
            raise
        for group in self.param_groups:
            group["k"] += 1
        return loss

    def _move(self, point: "_Point", gains: "_Gains", closure: Closure) -> float:
        held = self.param_groups[0]
        signs = draw_signs(
            np.random.Generator(np.random.PCG64([held["seed"], held["k"]])), (held["directions"], len(gains.sizes))
        )
        losses = np.array([_evaluate_both(point, gains.sizes * each, closure) for each in signs])
        differences = (losses[:, 0] - losses[:, 1]) / 2.0
        move = -gains.rates / gains.sizes * (differences[:, np.newaxis] * signs).mean(axis=0)
        point.go_back()
        if held["blocking"] is None:
            point.move(move)
            return float(losses.mean())
        before = _evaluate(closure)
        point.move(move)
        after = float(closure())
        if after <= before + held["blocking"]:
            return after
        point.go_back()
        return before


@dataclass(frozen=True, eq=False)
class _Gains:
    """``a_k`` and ``c_k`` of every entry of all parameters, ``(D,)`` each."""

    rates: FloatArray
    sizes: FloatArray

    @classmethod
    def of(cls, parts: Sequence[tuple[Mapping[str, Any], torch.Tensor]]) -> Self:
        """Of the parameters and their groups."""
        counts = [each.numel() for _, each in parts]
        groups = [group for group, _ in parts]
        rates = [group["lr"] / (group["k"] + 1 + group["stability"]) ** group["alpha"] for group in groups]
        sizes = [perturbation_size(group["c"], group["gamma"], step=group["k"]) for group in groups]
        return cls(np.repeat(rates, counts), np.repeat(sizes, counts))


class _Point:
    """Parameters, and the point at which they are."""

    def __init__(self, parameters: Sequence[torch.Tensor]) -> None:
        """Remember their entries."""
        self._parameters = parameters
        self._start = [each.clone() for each in parameters]

    def go_back(self) -> None:
        """Put the parameters back, to the bit."""
        for parameter, value in zip(self._parameters, self._start, strict=True):
            parameter.copy_(value)

    def move(self, moves: FloatArray) -> None:
        """Put them where this leads from the point: ``(D,)``, entry by entry."""
        first = 0
        for parameter, value in zip(self._parameters, self._start, strict=True):
            own = torch.from_numpy(moves[first : first + value.numel()]).view(value.shape)
            parameter.copy_(value + own.to(device=value.device, dtype=value.dtype))
            first += value.numel()


def _evaluate_both(point: _Point, moves: FloatArray, closure: Closure) -> tuple[float, float]:
    point.move(moves)
    above = _evaluate(closure)
    point.move(-moves)
    return above, _evaluate(closure)


def _evaluate(closure: Closure) -> float:
    loss = float(closure())
    if not math.isfinite(loss):
        raise UsageError(
            f"the loss is {loss}, and SPSA cannot go on from it: take a smaller lr or c, or look at the data"
        )
    return loss
