"""A small language for how long something takes: ``0.5``, ``2.7..4.2``, ``normal(3,0.5)`` and others."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from qorch.errors import UsageError

_NUMBER = r"[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?"
_CONSTANT = re.compile(rf"({_NUMBER})")
_UNIFORM = re.compile(rf"({_NUMBER})\.\.({_NUMBER})")
_CALL = re.compile(rf"(normal|lognormal|exponential)\(({_NUMBER})(?:,({_NUMBER}))?\)")

_Sampler = Callable[[np.random.Generator, float, float], float]
_SAMPLERS: MappingProxyType[str, _Sampler] = MappingProxyType(
    {
        "constant": lambda _rng, seconds, _unused: seconds,
        "uniform": lambda rng, least, most: float(rng.uniform(least, most)),
        "normal": lambda rng, mean, sigma: float(rng.normal(mean, sigma)),
        "lognormal": lambda rng, median, sigma: float(median * math.exp(rng.normal(0.0, sigma))),
        "exponential": lambda rng, mean, _unused: float(rng.exponential(mean)),
    }
)


@dataclass(frozen=True)
class Latency:
    """A distribution of seconds; negative values count as 0."""

    kind: str = "constant"
    first: float = 0.0
    second: float = 0.0

    def draw_seconds(self, rng: np.random.Generator) -> float:
        """One value, 0 or more."""
        return max(0.0, _SAMPLERS[self.kind](rng, self.first, self.second))

    @property
    def mean_seconds(self) -> float:
        """The approximate mean: the middle of a range, the median of a lognormal."""
        return (self.first + self.second) / 2 if self.kind == "uniform" else self.first

    def __str__(self) -> str:
        """As it is written: parsing it gives an equal distribution."""
        first, second = (f"{number!r}".removesuffix(".0") for number in (self.first, self.second))
        if self.kind in ("constant", "exponential"):
            return first if self.kind == "constant" else f"{self.kind}({first})"
        return f"{first}..{second}" if self.kind == "uniform" else f"{self.kind}({first},{second})"


def parse_latency(text: str) -> Latency:
    """The distribution that a text stands for, all numbers in seconds.

    ``S`` constant, ``A..B`` uniform, ``normal(MEAN,SIGMA)``, ``lognormal(MEDIAN,SIGMA)`` (sigma of the logarithm),
    ``exponential(MEAN)``. Raises UsageError for anything else.
    """
    packed = "".join(text.split())
    latency = _match(packed)
    if latency is None or not all(map(math.isfinite, (latency.first, latency.second))):
        raise UsageError(
            f"'{text}' is not a latency; write seconds (0.5), a range (2.7..4.2), normal(3,0.5), "
            "lognormal(3,0.4) or exponential(2)"
        )
    return latency


def _match(packed: str) -> Latency | None:
    if found := _CONSTANT.fullmatch(packed):
        return Latency("constant", float(found[1]))
    if found := _UNIFORM.fullmatch(packed):
        least, most = float(found[1]), float(found[2])
        return Latency("uniform", least, most) if least <= most else None
    found = _CALL.fullmatch(packed)
    if found is None or (found[3] is None) is not (found[1] == "exponential"):
        return None
    return Latency(found[1], float(found[2]), float(found[3] or 0.0))
