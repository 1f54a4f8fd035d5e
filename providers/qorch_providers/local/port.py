"""What the backend asks of an engine."""

from typing import Protocol

import numpy.typing as npt

from qorch.model.arrays import FloatArray, UIntArray
from qorch.model.counts import Counts
from qorch.model.samples import Samples
from qorch_providers.local.observables import WeightedStrings
from qorch_providers.local.program.program import Program


class Engine(Protocol):
    """Runs programs at rows of angles. A row's result does not depend on the rows beside it."""

    def sample(self, program: Program, angles: FloatArray, samples: Samples, *, scalar: npt.DTypeLike) -> Counts:
        """Histograms of all rows; ``scalar`` is the precision of the states, here and below."""
        ...

    def evaluate(
        self, program: Program, angles: FloatArray, masks: UIntArray | None, *, scalar: npt.DTypeLike
    ) -> FloatArray:
        """Exact parities of the masks ``(R, M)``, or all probabilities ``(R, 2^n)`` if masks is None."""
        ...

    def differentiate(
        self, program: Program, angles: FloatArray, strings: WeightedStrings, *, scalar: npt.DTypeLike
    ) -> FloatArray:
        """Derivatives ``(R, D)`` by the angles, of each row's own weighted sum."""
        ...

    def take_compile_intervals(self) -> list[tuple[int, int]]:
        """Begins and ends of compilations since the last call, in nanoseconds; they may overlap."""
        ...

    def close(self) -> None:
        """Release threads."""
        ...
