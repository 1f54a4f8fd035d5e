"""What jobs use and cost: QPU seconds, and dollars per second.

How many seconds a job takes on the real service depends on its circuits; here it is so many for each job, and so many
for each execution. The prices of the plans are those that were published in 2026.
"""

import math
import re
from dataclasses import dataclass
from decimal import Decimal

from qorch.errors import UsageError

MICROS = 1_000_000
_USAGE = re.compile(r"(base|execution)=([0-9]+(?:\.[0-9]{1,9})?)")
_PRICE = re.compile(r"[0-9]+(?:\.[0-9]{1,6})?")


@dataclass(frozen=True)
class UsageModel:
    """QPU seconds of a job: ``base_seconds``, and ``execution_seconds`` for each circuit and shot."""

    base_seconds: float = 2.0
    execution_seconds: float = 0.00028

    def seconds(self, executions: int) -> float:
        """What a job takes."""
        return self.base_seconds + executions * self.execution_seconds

    def circuits_ns(self, executions: int) -> int:
        """How long its circuits ran, in nanoseconds."""
        return round(executions * self.execution_seconds * 1e9)


def parse_usage(text: str) -> UsageModel:
    """A model such as ``base=2,execution=0.00028``, in seconds. Raises UsageError."""
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _USAGE.fullmatch(part)
        if match is None:
            raise UsageError(f"'{part}' is not a usage; write seconds such as base=2 or execution=0.00028")
        found[f"{match[1]}_seconds"] = float(match[2])
    return UsageModel(**found)


def parse_second_price(text: str) -> int | None:
    """Micro-dollars per QPU second from dollars such as ``1.6``; None if nothing is said. Raises UsageError."""
    if not text:
        return None
    if not _PRICE.fullmatch(text):
        raise UsageError(f"'{text}' is not a price; write dollars per QPU second, such as 1.6")
    return int(Decimal(text) * MICROS)


def whole_seconds(seconds: float) -> int:
    """What is charged: begun seconds."""
    # A rounding error is not a second.
    return math.ceil(seconds - 1e-6)
