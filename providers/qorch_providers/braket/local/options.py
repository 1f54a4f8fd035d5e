"""What stands behind `braket:local`: which of the SDK's simulators."""

from dataclasses import dataclass
from typing import Annotated, Literal, TypedDict

import msgspec

from qorch_providers.options import read_options

STATE_VECTOR = "braket_sv"
DENSITY_MATRIX = "braket_dm"

Simulator = Annotated[
    Literal["braket_sv", "braket_dm"], msgspec.Meta(description=f"one of {STATE_VECTOR}, {DENSITY_MATRIX}")
]


class _Given(TypedDict, total=False):
    simulator: Simulator


@dataclass(frozen=True)
class LocalOptions:
    """Parsed options. ``simulator``: the name under which the SDK's LocalSimulator knows it."""

    simulator: str = STATE_VECTOR


def parse_local_options(text: str) -> LocalOptions:
    """Read what stands behind ``local,``: ``""`` or ``"simulator=braket_dm"``.

    Raises UnknownNameError for another option, UsageError for another simulator.
    """
    choices = f"simulator={STATE_VECTOR}|{DENSITY_MATRIX}, or leave it out"
    given = read_options(text, _Given, backend="braket:local", choices=choices)
    return LocalOptions(**given)
