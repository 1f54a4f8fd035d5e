"""What a result tells that its task is charged for: of a simulator the time that it ran."""

import msgspec

from qorch.model.usage import ReportedUsage, report_usage
from qorch_providers.braket.circuits.durations import LEAST_SECONDS


class _SimulatorWire(msgspec.Struct, rename="camel"):
    """What a simulator says of itself; the duration is in milliseconds."""

    execution_duration: float


def read_simulation(metadata: msgspec.Raw) -> ReportedUsage | None:
    """The time that Amazon charges of a simulator's metadata, JSON; None if they tell no time that can be believed."""
    try:
        milliseconds = msgspec.json.decode(metadata, type=_SimulatorWire).execution_duration
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    if milliseconds < 0:
        return None
    usage = report_usage(simulator_seconds=max(LEAST_SECONDS, milliseconds / 1000))
    return usage if usage.is_final else None
