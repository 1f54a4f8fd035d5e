"""What is said before a run buys anything: how much it is about to buy, and that nobody knows yet what it will cost."""

import logging
from collections.abc import Sequence

from qorch.limits import where_to_limit
from qorch.planning.packing import PlannedJob
from qorch.ports import Backend

_logger = logging.getLogger("qorch.runs")


class SpendingNotice:
    """Says one line per engine, before its first job, if the backend charges."""

    def __init__(self, backend: Backend) -> None:
        """Nothing is said before ``say_once``."""
        self._backend = backend
        self._is_due = backend.capabilities.charges

    def say_once(self, jobs: Sequence[PlannedJob]) -> None:
        """Say what these jobs buy; the first time only, and not of no jobs."""
        if self._is_due and jobs:
            self._is_due = False
            _logger.warning("%s", describe_purchase(self._backend, jobs))


def describe_purchase(backend: Backend, jobs: Sequence[PlannedJob]) -> str:
    """The line that is said before these jobs, the first of a run, are sent to a backend that charges."""
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
