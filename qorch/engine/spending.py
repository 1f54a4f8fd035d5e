"""The warning before the first paid job of a run: how much it buys, and that its price is not known yet."""

import logging
from collections.abc import Sequence

from qorch.limits import where_to_limit
from qorch.planning.packing import PlannedJob
from qorch.ports.backend import Backend

_log = logging.getLogger("qorch.runs")


class SpendingNotice:
    """Logs one line before the first job of an engine whose backend charges."""

    def __init__(self, backend: Backend) -> None:
        """Nothing is logged before ``say_once``."""
        self._backend = backend
        self._is_due = backend.capabilities.charges

    def say_once(self, jobs: Sequence[PlannedJob]) -> None:
        """Log what these jobs buy, at the first call with any jobs."""
        if self._is_due and jobs:
            self._is_due = False
            _log.warning("%s", describe_purchase(self._backend, jobs))


def describe_purchase(backend: Backend, jobs: Sequence[PlannedJob]) -> str:
    """The line about the first jobs of a run on a backend that charges."""
    blocks = [selection.block for job in jobs for selection in job.selections]
    executions = sum(block.n_rows for block in blocks)
    shots = sum(block.n_rows * (block.shots or 0) for block in blocks)
    return (
        f"{backend.name} charges, and qorch does not know its prices yet: what this run costs is unknown, and no budget"
        f" limits it. The first call buys {_count(executions, 'execution')} ({_count(shots, 'shot')}) in"
        f" {_count(len(jobs), 'job')}; {where_to_limit(backend)}"
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
