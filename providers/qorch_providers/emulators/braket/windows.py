"""When devices take no tasks: for ever, or in a window of time."""

import math
import re
from dataclasses import dataclass

from qorch.errors import UsageError
from qorch_providers.emulators.braket.devices import read_names

_PATTERN = re.compile(r"([a-z0-9-]+)(?:@([0-9.]+)\.\.([0-9.]+))?")


@dataclass(frozen=True)
class OfflineWindow:
    """One device is offline from ``start_seconds`` to ``end_seconds`` after the start of the server."""

    name: str
    start_seconds: float = 0.0
    end_seconds: float = math.inf

    def covers(self, name: str, now_seconds: float) -> bool:
        """Whether the device of that name is offline at that time."""
        return name == self.name and self.start_seconds <= now_seconds < self.end_seconds


def parse_windows(text: str) -> tuple[OfflineWindow, ...]:
    """Devices with or without a window, such as ``garnet@10..60,sv1``. Raises UsageError."""
    return tuple(_parse_one(part) for part in filter(None, (part.strip().lower() for part in text.split(","))))


def _parse_one(part: str) -> OfflineWindow:
    found = _PATTERN.fullmatch(part)
    if found is None:
        raise UsageError(f"'{part}' is not a time offline; write DEVICE or DEVICE@SECONDS..SECONDS")
    (name,) = read_names(found[1])
    if found[2] is None:
        return OfflineWindow(name)
    try:
        return OfflineWindow(name, float(found[2]), float(found[3]))
    except ValueError:
        raise UsageError(f"'{part}': a window is two numbers of seconds") from None
