"""What a gradient method is: it makes a pub rows to be executed, and says how their values become derivatives."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import ClassVar

from qorch.errors import ShotsError, UsageError
from qorch.gradients.recombination import Recombination
from qorch.gradients.streams import PubStream
from qorch.gradients.wanted import BoolArray
from qorch.model.pub import Pub


@dataclass(frozen=True)
class GradientMethod(ABC):
    """A method with its options, which are its fields. ``kind``: what users call it.

    ``is_computed``: by the backend itself, so that nothing beside the points is executed. ``why_not_exact``: what users
    are told if the method makes no sense with exact values; else empty. Every method is linear: derivatives are
    weighted sums of the values of its rows, and a Recombination has the weights.
    """

    kind: ClassVar[str]
    is_computed: ClassVar[bool] = False
    why_not_exact: ClassVar[str] = ""

    @property
    def name(self) -> str:
        """Its kind, with the options that are not at their defaults: ``spsa:directions=4,c=0.1``."""
        changed = [field.name for field in fields(self) if getattr(self, field.name) != field.default]
        options = ",".join(f"{name}={getattr(self, name)}" for name in changed)
        return f"{self.kind}:{options}" if options else self.kind

    def check_shots(self, shots: int | None) -> None:
        """Raise ShotsError if the method makes no sense with so many shots; None is exact."""
        if shots is None and self.why_not_exact:
            raise ShotsError(self.why_not_exact)

    @abstractmethod
    def expand(self, pub: Pub, *, wanted: BoolArray | None, stream: PubStream) -> tuple[Pub, Recombination]:
        """The rows that the gradient of a pub of N rows needs, and how to put their values together; pure.

        ``wanted (P,)`` chooses parameters; None is all. The first of the rows of each point is the point itself.
        Random numbers come from the stream alone. Raises ObservableError if the pub has no observable, ParameterError
        if ``wanted`` has another shape or an angle has no value or derivative where it is needed.
        """


def check_positive(value: float, option: str) -> None:
    """Raise UsageError unless the option of a method is a finite number above 0."""
    if not _is_number(value) or not 0.0 < value < math.inf:
        raise UsageError(f"{option} is {value!r}; it must be a finite number above 0")


def check_number(value: float, option: str) -> None:
    """Raise UsageError unless the option is a finite number, 0 or above."""
    if not _is_number(value) or not 0.0 <= value < math.inf:
        raise UsageError(f"{option} is {value!r}; it must be a finite number, 0 or above")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
