"""What IBM's estimator mitigates, and how: the options for it, and what they ask of the device.

The levels are IBM's own (``qiskit_ibm_runtime.options.EstimatorOptions.resilience_level``). All that a level stands for
is sent beside it, so that what was done does not depend on what the service makes of a level some day.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypedDict

import msgspec

from qorch.errors import UsageError

DEFAULT_FACTORS = (1.0, 3.0, 5.0)
DEFAULT_EXTRAPOLATORS = ("exponential", "linear")
_FEWEST_FACTORS: Mapping[str, int] = MappingProxyType(
    {
        "linear": 2,
        "exponential": 2,
        "double_exponential": 4,
        "fallback": 2,
        **{f"polynomial_degree_{degree}": degree + 1 for degree in range(1, 8)},
    }
)
"""How many noise factors each extrapolator needs, as IBM's client checks it."""
_MOST_FACTOR = 100.0
_LEVELS = (0, 1, 2)


class Amplifier(StrEnum):
    """Which of the gates on two qubits are folded to amplify the noise by a factor that is no odd number."""

    RANDOM = "gate_folding"
    FRONT = "gate_folding_front"
    BACK = "gate_folding_back"


@dataclass(frozen=True)
class Mitigation:
    """What the estimator does. ``level``: IBM's resilience level, which is what the rest is by default.

    ``measure``: misreadings are learned and corrected. ``factors``: by which noise is amplified to extrapolate to none,
    with the first of the ``extrapolators`` that fits; empty: it is not.
    """

    level: int = 1
    measure: bool = True
    factors: tuple[float, ...] = ()
    extrapolators: tuple[str, ...] = DEFAULT_EXTRAPOLATORS
    amplifier: Amplifier = Amplifier.RANDOM

    @property
    def circuits_per_basis(self) -> int:
        """How many circuits run in place of one, each with all shots."""
        return max(1, len(self.factors))

    @property
    def arrays_per_value(self) -> int:
        """How many numbers an answer has for each value, its errors and intermediate ones included."""
        if not self.factors:
            return 3
        return 2 + 3 * len(self.factors) + 2 * len(self.extrapolators) * (1 + len(self.factors))

    @property
    def identity(self) -> str:
        """Text that changes with anything that may change values."""
        return f"{self.level}/{self.measure}/{self.factors}/{self.extrapolators}/{self.amplifier.value}"

    @property
    def resilience(self) -> dict[str, Any]:
        """The options of the estimator, in full."""
        found: dict[str, Any] = {"measure_mitigation": self.measure, "zne_mitigation": bool(self.factors)}
        if self.factors:
            found["zne"] = {
                "amplifier": self.amplifier.value,
                "noise_factors": list(self.factors),
                "extrapolator": list(self.extrapolators),
            }
        return found


_Switch = Annotated[Literal["on", "off"], msgspec.Meta(description="one of on, off")]


class MitigationGiven(TypedDict, total=False):
    """The options as they are written behind a backend's name."""

    resilience: Annotated[int, msgspec.Meta(ge=_LEVELS[0], le=_LEVELS[-1], description="a whole number from 0 to 2")]
    measure_mitigation: _Switch
    zne: Annotated[
        str,
        msgspec.Meta(
            pattern=r"\A(on|off|[0-9]{1,3}(\.[0-9]{1,6})?(-[0-9]{1,3}(\.[0-9]{1,6})?)*)\Z",
            description="on, off, or noise factors such as 1-3-5",
        ),
    ]
    extrapolator: Annotated[
        str, msgspec.Meta(max_length=200, description="one or several of IBM's, in order, such as exponential-linear")
    ]
    amplifier: Annotated[Amplifier, msgspec.Meta(description=f"one of {', '.join(Amplifier)}")]


CHOICES = (
    "resilience=0..2, measure_mitigation=on|off, zne=on|off|F-F-…, extrapolator=NAME-NAME-…,"
    f" amplifier={'|'.join(Amplifier)}"
)
NAMES = frozenset(MitigationGiven.__annotations__)


def read_mitigation(given: Mapping[str, Any]) -> Mitigation:
    """What the given ones of these options ask for. Raises UsageError for what does not go together."""
    level = given.get("resilience", 1)
    factors = _read_factors(given.get("zne", "on" if level == _LEVELS[-1] else "off"))
    names = tuple(given["extrapolator"].split("-")) if "extrapolator" in given else DEFAULT_EXTRAPOLATORS
    unused = [name for name in ("extrapolator", "amplifier") if name in given]
    if unused and not factors:
        raise UsageError(f"{unused[0]}= is for the extrapolation to zero noise; write zne=on, or leave it out")
    if factors:
        _check_extrapolators(names, factors)
    return Mitigation(
        level=level,
        measure=given.get("measure_mitigation", "on" if level else "off") == "on",
        factors=factors,
        extrapolators=names if factors else DEFAULT_EXTRAPOLATORS,
        amplifier=given.get("amplifier", Amplifier.RANDOM),
    )


def _read_factors(text: str) -> tuple[float, ...]:
    if text in ("on", "off"):
        return DEFAULT_FACTORS if text == "on" else ()
    factors = tuple(map(float, text.split("-")))
    if min(factors) < 1.0 or max(factors) > _MOST_FACTOR or len(set(factors)) < len(factors):
        raise UsageError(f"zne={text} has noise factors below 1, above {_MOST_FACTOR:.0f}, or one twice; write 1-3-5")
    return factors


def _check_extrapolators(names: tuple[str, ...], factors: tuple[float, ...]) -> None:
    for name in names:
        fewest = _FEWEST_FACTORS.get(name)
        if fewest is None:
            raise UsageError(f"IBM has no extrapolator '{name}'; choose among {', '.join(_FEWEST_FACTORS)}")
        if len(factors) < fewest:
            raise UsageError(f"the extrapolator {name} needs {fewest} noise factors; zne= has {len(factors)}: add some")
