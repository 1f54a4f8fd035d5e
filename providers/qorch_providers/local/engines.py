"""What the backend asks of an engine, and the one place where engines are made."""

from typing import Protocol

import numpy.typing as npt

from qorch.model.arrays import FloatArray, UIntArray
from qorch.model.counts import Counts
from qorch_providers.local.observables import WeightedStrings
from qorch_providers.local.options import NUMBA, Options, choose_engine
from qorch_providers.local.program import Program


class Engine(Protocol):
    """Runs programs at rows of angles. A row's result does not depend on the rows beside it."""

    def sample(
        self,
        program: Program,
        angles: FloatArray,
        *,
        streams: UIntArray,
        ordinals: UIntArray,
        first_shot: int,
        shots: int,
        scalar: npt.DTypeLike,
    ) -> Counts:
        """Histograms of ``shots`` shots of every row, from shot ``first_shot`` of its stream on."""
        ...

    def evaluate(
        self, program: Program, angles: FloatArray, masks: UIntArray | None, *, scalar: npt.DTypeLike
    ) -> FloatArray:
        """Exact parities of the masks ``(R, M)``, or all probabilities ``(R, 2^n)`` where masks is None."""
        ...

    def differentiate(
        self, program: Program, angles: FloatArray, strings: WeightedStrings, *, scalar: npt.DTypeLike
    ) -> FloatArray:
        """Derivatives ``(R, D)`` by the angles, of each row's own weighted sum."""
        ...

    def close(self) -> None:
        """Release threads."""
        ...


def make_engine(options: Options, *, threads: int) -> tuple[str, Engine]:
    """The engine and its name. Raises MissingPackageError, or UsageError where there is no CUDA device."""
    name = choose_engine(options)
    if name == NUMBA:
        from qorch_providers.local.numba_engine import NumbaEngine

        return name, NumbaEngine(threads=threads)
    from qorch_providers.local.torch_engine import TorchEngine

    return name, TorchEngine(is_cuda=options.is_cuda)


