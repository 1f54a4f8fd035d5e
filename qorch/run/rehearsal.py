"""What layers would execute, noted without executing anything: the rows of a training step, for a quote."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from qorch.gradients.parameter_shift import Gradient, expand_all, recombine
from qorch.model.arrays import FloatArray
from qorch.model.money import NOTHING
from qorch.model.observable import Distribution
from qorch.model.pub import Batch, Pub, as_batch
from qorch.model.result import PubResult
from qorch.ports.backend import Backend, Capabilities
from qorch.run.active import activate, deactivate


@dataclass(frozen=True, eq=False)
class Rehearsed:
    """One call that would have been made: its ``batch``, and the ``points`` whose gradients it is for.

    ``points`` is None for a call without gradients, whose batch are the points themselves. ``n_wanted``: of each pub of
    the points, the number of parameters by which derivatives are wanted.
    """

    batch: Batch
    points: Batch | None = None
    n_wanted: tuple[int, ...] = ()


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

    def gradients(self, pubs: Sequence[Pub], wanted: Sequence[npt.NDArray[np.bool_] | None]) -> list[Gradient]:
        """Gradients of zeros; the forward and shifted rows of all pubs are one call."""
        batch, recombinations = expand_all(pubs, wanted)
        n_wanted = tuple(map(_count_wanted, pubs, wanted))
        self.calls.append(Rehearsed(batch, Batch(tuple(pubs)), n_wanted))
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


def _count_wanted(pub: Pub, wanted: npt.NDArray[np.bool_] | None) -> int:
    return len(pub.circuit.parameters) if wanted is None else int(wanted.sum())


def _zeros(pub: Pub) -> PubResult:
    n_values = 1 << pub.circuit.n_qubits if isinstance(pub.observables, Distribution) else len(pub.observables)
    values, whole = np.zeros((pub.n_rows, n_values)), np.zeros(pub.n_rows, dtype=np.int64)
    sources = np.zeros(pub.n_rows, dtype=np.uint8)
    return PubResult(pub=pub, values=values, stderr=values, shots=whole, sources=sources, charge=NOTHING)
