"""What running a program gives: how much was executed, and the result as it is sent."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from qorch.errors import CircuitError

MAX_EXECUTIONS = 10_000_000


@dataclass(frozen=True)
class JobOutcome:
    """``rows``: circuits after broadcasting; ``executions``: times their shots.

    ``document`` maps the times in seconds since 1970 when the device began and ended to the result.
    """

    rows: int
    executions: int
    document: Callable[[float, float], object]

    def encode(self, start_unix: float, end_unix: float) -> bytes:
        """The result as JSON."""
        return msgspec.json.encode(self.document(start_unix, end_unix))


def check_executions(executions: int) -> None:
    """Raises CircuitError if a job has too many of them."""
    if executions > MAX_EXECUTIONS:
        raise CircuitError(f"a job has at most {MAX_EXECUTIONS:,} executions, not {executions:,}")
