"""When devices run no jobs: windows of maintenance."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from qorch.errors import UsageError

_PATTERN = re.compile(r"(ibm_[a-z0-9]+)@([0-9.]+)\.\.([0-9.]+)")


@dataclass(frozen=True)
class MaintenanceWindow:
    """One device runs no job from ``start_seconds`` to ``end_seconds`` after the start of the server."""

    name: str
    start_seconds: float
    end_seconds: float

    def covers(self, name: str, now_seconds: float) -> bool:
        """Whether the device of that name is under maintenance at that time."""
        return name == self.name and self.start_seconds <= now_seconds < self.end_seconds


def parse_maintenance(text: str, *, devices: Collection[str]) -> tuple[MaintenanceWindow, ...]:
    """Windows such as ``ibm_fez@10..60,ibm_torino@0..5``. Raises UsageError."""
    return tuple(_parse_one(part, devices) for part in filter(None, (part.strip() for part in text.split(","))))


def _parse_one(part: str, devices: Collection[str]) -> MaintenanceWindow:
    found = _PATTERN.fullmatch(part)
    if found is None or found[1] not in devices:
        raise UsageError(
            f"'{part}' is not a maintenance; write DEVICE@SECONDS..SECONDS with one of {', '.join(devices)}"
        )
    try:
        return MaintenanceWindow(found[1], float(found[2]), float(found[3]))
    except ValueError:
        raise UsageError(f"'{part}': a window is two numbers of seconds") from None
