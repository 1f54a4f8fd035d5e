"""What only looks at a database, while other processes work on it."""

from typing import Protocol

from qorch.ports.books import BookHistory
from qorch.ports.records import MetricRecord, StepRecord
from qorch.ports.store import Holders, RunHistory, StoredStatistics


class Reader(RunHistory, BookHistory, StoredStatistics, Holders, Protocol):
    """Reads a database without making, upgrading or writing it, and without a lock that a writer waits for."""

    def version(self) -> int:
        """A number that changes with everything that is committed; asking is cheap. Called from one thread."""
        ...

    def steps_after(self, run_id: str, step: int) -> list[StepRecord]:
        """The finished steps of a run with a larger number, in order."""
        ...

    def metrics_after(self, run_id: str, step: int) -> list[MetricRecord]:
        """What a run logged in steps with a larger number, in order."""
        ...

    def close(self) -> None:
        """Let go."""
        ...
