"""What layers would execute, noted without executing anything: the rows of a training step, for a quote."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import numpy as np

from qorch.gradients.methods import GRADIENTS, CallStreams, as_method, expand_all
from qorch.gradients.recombination import Gradient, recombine
from qorch.gradients.wanted import Wanted
from qorch.model.arrays import FloatArray
from qorch.model.identity import Position
from qorch.model.money import NOTHING
from qorch.model.observable import Distribution
from qorch.model.pub import Batch, Pub, as_batch
from qorch.model.result import PubResult
from qorch.ports.backend import Backend, Capabilities
from qorch.run.active import activate, deactivate
from qorch.run.jacobian import compute_gradients


@dataclass(frozen=True, eq=False)
class Rehearsed:
    """One call that would have been made: its ``batch``, and the ``points`` whose gradients it is for.

    ``points`` is None for a call without gradients, whose batch are the points themselves. ``wanted``: for each pub of
    the points, by which parameters derivatives are wanted. ``method``: the name of the gradient method.
    """

    batch: Batch
    points: Batch | None = None
    wanted: Wanted = ()
    method: str = ""


class _AnyBackend:
    """What a layer asks for its backend's name and capabilities, and is refused nothing."""

    name = "rehearsal"
    capabilities = Capabilities(
        max_qubits=63, max_shots=2**31, max_rows_per_job=2**31, slots=1, charges=False, exact=True, exact_gradients=True
    )


class Rehearsal:
    """Notes the calls of layers, and answers each with zeros of the right shape. Made by ``rehearse``."""

    backend = cast("Backend", _AnyBackend())

    def __init__(self) -> None:
        """Nothing was called."""
        self.calls: list[Rehearsed] = []
        self.wants_exact_gradients = False

    def execute(self, pubs: Batch | Pub | Iterable[Pub]) -> list[PubResult]:
        """Zeros for every pub, in order."""
        batch = as_batch(pubs)
        self.calls.append(Rehearsed(batch))
        return [_zeros(pub) for pub in batch.pubs]

    def gradients(self, pubs: Sequence[Pub], wanted: Wanted, *, method: str = GRADIENTS[0]) -> list[Gradient]:
        """Gradients of zeros; the rows of all pubs are one call."""
        chosen = as_method(method)
        if chosen.is_computed:
            return compute_gradients(self, pubs, wanted)
        streams = CallStreams(0, Position(0, len(self.calls)))
        batch, recombinations = expand_all(pubs, wanted, method=chosen, streams=streams, default_shots="run")
        self.calls.append(Rehearsed(batch, Batch(tuple(pubs)), tuple(wanted), chosen.name))
        return [recombine(after, _zeros(pub)) for after, pub in zip(recombinations, batch.pubs, strict=True)]

    def exact_vjp(self, pub: Pub, cotangents: FloatArray) -> FloatArray:
        """``(N, P)`` zeros; it is noted that exact gradients are wanted."""
        del cotangents
        self.wants_exact_gradients = True
        return np.zeros(pub.parameter_values.shape)


@contextmanager
def rehearse() -> Iterator[Rehearsal]:
    """Inside of this block every layer without a run of its own notes what it would execute, and gets zeros."""
    rehearsal = Rehearsal()
    token = activate(rehearsal)
    try:
        yield rehearsal
    finally:
        deactivate(token)


def _zeros(pub: Pub) -> PubResult:
    n_values = 1 << pub.circuit.n_qubits if isinstance(pub.observables, Distribution) else len(pub.observables)
    values, whole = np.zeros((pub.n_rows, n_values)), np.zeros(pub.n_rows, dtype=np.int64)
    sources = np.zeros(pub.n_rows, dtype=np.uint8)
    return PubResult(pub=pub, values=values, stderr=values, shots=whole, sources=sources, charge=NOTHING)
