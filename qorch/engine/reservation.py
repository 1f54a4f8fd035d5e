"""Reserves the jobs of a call before the first is sent: all of them in one transaction, which can also refuse."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from qorch.engine.journal import Journal
from qorch.model.job import JobState
from qorch.ports.clock import Clock
from qorch.ports.records import Change, JobRecord

BUDGETS = "budgets"
"""The name of the shared state in which reservations will count money."""

CheckBudgets = Callable[[bytes | None, int], bytes | None]
"""``check(state, now_ns)``: the shared state with the reservation, at the store's time. BudgetError refuses it."""


def allow_all(state: bytes | None, _now_ns: int) -> bytes | None:
    """Refuse nothing."""
    return state


class Reservation:
    """The jobs of one engine that are RESERVED and were not tried yet."""

    def __init__(self, journal: Journal, *, clock: Clock, check: CheckBudgets = allow_all) -> None:
        """``check``: what may refuse jobs; without it nothing does."""
        self._journal = journal
        self._clock = clock
        self._check = check
        self._untried: dict[str, JobRecord] = {}

    @asynccontextmanager
    async def hold(self, planned: Sequence[JobRecord]) -> AsyncIterator[None]:
        """Reserve all these jobs, or none; those that were not tried when the block ends are cancelled.

        Raises what the check raises, if it refuses them, and StoreError; then nothing is left behind.
        """
        now = self._clock.now()
        reserved = {job.job_id: job.moved(JobState.RESERVED, at=now) for job in planned}
        self._untried |= reserved
        try:
            await self._write(list(reserved.values()))
            yield
        finally:
            self._cancel(reserved)

    async def _write(self, jobs: Sequence[JobRecord]) -> None:
        def change(state: bytes | None, now_ns: int) -> Change[None]:
            return Change(self._check(state, now_ns), None, jobs)

        try:
            await self._journal.change_shared_state(BUDGETS, change)
        except Exception:
            for job in jobs:
                del self._untried[job.job_id]
            raise

    def take(self, job_id: str) -> JobRecord:
        """The job, RESERVED, of which a try begins now."""
        return self._untried.pop(job_id)

    def _cancel(self, reserved: dict[str, JobRecord]) -> None:
        now = self._clock.now()
        untried = [self._untried.pop(job_id) for job_id in reserved if job_id in self._untried]
        self._journal.record_soon([job.moved(JobState.CANCELLED, at=now) for job in untried])
