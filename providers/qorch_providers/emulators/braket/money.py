"""What tasks cost here, in millionths of a dollar: per task and shot on QPUs, per minute on simulators.

The defaults are the list prices as mirrored in 2026; the price list of the real service is what counts there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from types import MappingProxyType

from qorch.errors import UsageError

MICROS = 1_000_000
LEAST_MS = 3000
"""A task on a simulator is charged for at least so many milliseconds."""
_MINUTE_MS = 60_000
_PRICE = re.compile(r"(task|shot|minute)=([0-9]+(?:\.[0-9]{1,6})?)")


@dataclass(frozen=True)
class DevicePrice:
    """Of one device: per task, per shot, and per minute of simulation."""

    task_micros: int = 0
    shot_micros: int = 0
    minute_micros: int = 0

    def charge_micros(self, *, shots: int, billed_ms: int) -> int:
        """What a task costs that completed; a millionth begun is charged. ``billed_ms``: of a simulator, 0 on a QPU."""
        return self.task_micros + shots * self.shot_micros - (-billed_ms * self.minute_micros // _MINUTE_MS)


def billed_ms(execution_ms: int) -> int:
    """The time that a simulation is charged for."""
    return max(LEAST_MS, execution_ms)


def parse_price(text: str) -> Mapping[str, int]:
    """Prices such as ``task=0.3,shot=0.01,minute=0.075`` (dollars), by field of `DevicePrice`. Raises UsageError."""
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _PRICE.fullmatch(part)
        if match is None:
            raise UsageError(f"'{part}' is not a price; write dollars such as task=0.3, shot=0.01 or minute=0.075")
        found[f"{match[1]}_micros"] = int(Decimal(match[2]) * MICROS)
    return MappingProxyType(found)


def set_price(price: DevicePrice, wanted: Mapping[str, int], *, is_simulator: bool) -> DevicePrice:
    """A device's price with what was asked for put in; simulators have none per task and shot, QPUs none per minute."""
    fields = ("minute_micros",) if is_simulator else ("task_micros", "shot_micros")
    return replace(price, **{name: micros for name, micros in wanted.items() if name in fields})
