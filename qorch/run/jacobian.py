"""Exact gradients: the forward values are executed, and the backend computes the derivatives."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from qorch.gradients.jacobian import ExactJacobian
from qorch.gradients.methods import CallStreams, expand_all
from qorch.gradients.recombination import Gradient, Recombination, recombine
from qorch.gradients.wanted import BoolArray, Wanted, as_wanted
from qorch.limits import check_exact_gradients
from qorch.model.arrays import FloatArray
from qorch.model.identity import Position
from qorch.model.pub import Pub
from qorch.model.result import PubResult
from qorch.run.active import PubExecutor


def compute_gradients(executor: PubExecutor, pubs: Sequence[Pub], wanted: Wanted) -> list[Gradient]:
    """The gradients of several pubs, whose points are executed as one batch; their standard errors are 0.

    The backend computes one product of the Jacobian for each of the K values of a pub. Raises UsageError, before
    anything is executed, if it has no exact gradients.
    """
    check_exact_gradients(executor.backend)
    streams = CallStreams(0, Position(0, 0))
    batch, recombinations = expand_all(pubs, wanted, method=ExactJacobian(), streams=streams, default_shots="run")
    results = executor.execute(batch)
    return [
        _compute(executor, after, result, mask)
        for after, result, mask in zip(recombinations, results, wanted, strict=True)
    ]


def _compute(
    executor: PubExecutor, recombination: Recombination, result: PubResult, wanted: BoolArray | None
) -> Gradient:
    pub = recombination.pub
    chosen, jacobian = as_wanted(wanted, pub), _jacobian(executor, pub, result.n_values)
    return replace(recombine(recombination, result), values=jacobian[:, :, chosen])


def _jacobian(executor: PubExecutor, pub: Pub, n_values: int) -> FloatArray:
    """Of all parameters, ``(N, K, P)``."""
    basis = np.eye(n_values)
    return np.stack([executor.exact_vjp(pub, np.tile(cotangents, (pub.n_rows, 1))) for cotangents in basis], axis=1)
