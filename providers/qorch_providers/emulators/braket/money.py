"""What tasks cost here, in millionths of a dollar: per task and shot on QPUs, per second on simulators.

The defaults are the list prices as mirrored in 2026; the price list of the real service is what counts there.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from qorch.errors import UsageError

MICROS = 1_000_000
MIN_SECONDS = 3.0
"""A task on a simulator is charged for at least so long."""
_PRICE = re.compile(r"(task|shot|minute)=([0-9]+(?:\.[0-9]{1,6})?)")


@dataclass(frozen=True)
class DevicePrice:
    """Of one device: per task, per shot, and per second of simulation."""

    task_micros: int = 0
    shot_micros: int = 0
    second_micros: int = 0

    def charge_micros(self, *, shots: int, seconds: float | None) -> int:
        """What a task costs that completed; ``seconds`` are those of a simulator, None on a QPU."""
        duration = 0.0 if seconds is None else max(MIN_SECONDS, seconds)
        return self.task_micros + shots * self.shot_micros + math.ceil(duration * self.second_micros)


def parse_price(text: str) -> Mapping[str, int]:
    """Prices such as ``task=0.3,shot=0.01,minute=0.075`` (dollars), by field of `DevicePrice`. Raises UsageError."""
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _PRICE.fullmatch(part)
        if match is None:
            raise UsageError(f"'{part}' is not a price; write dollars such as task=0.3, shot=0.01 or minute=0.075")
        micros = float(match[2]) * MICROS
        field = "second" if match[1] == "minute" else match[1]
        found[f"{field}_micros"] = round(micros / 60.0) if match[1] == "minute" else round(micros)
    return MappingProxyType(found)


def set_price(price: DevicePrice, wanted: Mapping[str, int], *, is_simulator: bool) -> DevicePrice:
    """A device's price with what was asked for put in; simulators have none per task and shot, QPUs none per second."""
    fields = ("second_micros",) if is_simulator else ("task_micros", "shot_micros")
    return replace(price, **{name: micros for name, micros in wanted.items() if name in fields})
