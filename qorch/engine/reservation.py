"""Reserves the jobs of a call before the first is sent: all of them in one transaction, which budgets can refuse."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from qorch.engine.accounts import Accounts
from qorch.engine.journal import Journal
from qorch.engine.submission import Submission
from qorch.engine.worker import Compute
from qorch.errors import UnknownPriceError
from qorch.model.job import JobRequest, JobState, Usage
from qorch.model.ledger import LedgerBalance, LedgerRecord
from qorch.model.money import Money
from qorch.planning.budgets import BudgetBalance, RunBudgets
from qorch.planning.pricing import Cost, price
from qorch.ports.books import Granted
from qorch.ports.clock import Clock
from qorch.ports.records import JobRecord


@dataclass(frozen=True)
class Purchasing:
    """What is needed to reserve money: ``measure``, the usage of a job; ``budgets``, all of which must cover it.

    ``note_use`` is told what is used of each budget after every reservation.
    """

    accounts: Accounts
    measure: Callable[[JobRequest], Usage | None]
    budgets: RunBudgets
    note_use: Callable[[Sequence[BudgetBalance]], None]


class Reservation:
    """The jobs of one engine that are RESERVED and were not tried yet."""

    def __init__(self, journal: Journal, *, clock: Clock, purchasing: Purchasing | None = None) -> None:
        """``purchasing``: without it, and where nothing costs or no price is known, jobs are reserved without money."""
        self._journal = journal
        self._clock = clock
        self._purchasing = purchasing if purchasing is not None and purchasing.accounts.is_kept else None
        self._untried: dict[str, JobRecord] = {}

    @asynccontextmanager
    async def hold(self, submissions: Sequence[Submission], *, compute: Compute) -> AsyncIterator[None]:
        """Reserve all these jobs at the most that they can cost, or none; what is untried at the end is cancelled.

        Raises BudgetError if a budget does not cover them, UnknownPriceError if one applies and the price of a job is
        not known, UsageError for a job that the backend would refuse, and StoreError; then nothing is left behind.
        """
        now = self._clock.now()
        planned = [submission.record(JobState.PLANNED, changed_at=now) for submission in submissions]
        jobs = [job.moved(JobState.RESERVED, at=now) for job in planned]
        entries = await self._price(jobs, submissions, compute)
        await self._reserve(jobs, entries)
        try:
            yield
        finally:
            self._cancel(jobs)

    def take(self, job_id: str) -> JobRecord:
        """The job, RESERVED, of which a try begins now."""
        return self._untried.pop(job_id)

    async def _price(
        self, jobs: Sequence[JobRecord], submissions: Sequence[Submission], compute: Compute
    ) -> list[LedgerRecord]:
        """The entry of each job whose price is known; of one day, in whose budgets they count."""
        purchasing = self._purchasing
        if purchasing is None:
            return []
        costs = await compute(_measure, purchasing, submissions)
        if purchasing.budgets.budgets and None in costs:
            raise UnknownPriceError(
                f"the budget {purchasing.budgets.budgets[0]} cannot be kept, as the price of job"
                f" {jobs[costs.index(None)].job_id} is not known: its time is billed, and its backend does not say how"
                " long it can be. Put another card into the configuration file (`qorch prices` shows where it is), or"
                " go on without the budget"
            )
        known = ((job, cost) for job, cost in zip(jobs, costs, strict=True) if cost is not None)
        entries = [purchasing.accounts.reserve(job, cost) for job, cost in known]
        return [entry if entry.day == entries[-1].day else replace(entry, day=entries[-1].day) for entry in entries]

    async def _reserve(self, jobs: Sequence[JobRecord], entries: Sequence[LedgerRecord]) -> None:
        writing = asyncio.ensure_future(self._write(jobs, entries))
        try:
            uses = await asyncio.shield(writing)
        except asyncio.CancelledError:
            # It is decided within one transaction all the same. A caller that is cancelled once more leaves the jobs
            # RESERVED, which the next session of the run cancels.
            await asyncio.wait([writing])
            if writing.exception() is None:
                self._note(jobs, entries)
                self._cancel(jobs)
            raise
        self._note(jobs, entries)
        if self._purchasing is not None:
            self._purchasing.note_use(uses)

    def _note(self, jobs: Sequence[JobRecord], entries: Sequence[LedgerRecord]) -> None:
        self._untried |= {job.job_id: job for job in jobs}
        if self._purchasing is not None:
            self._purchasing.accounts.note(entries)

    async def _write(self, jobs: Sequence[JobRecord], entries: Sequence[LedgerRecord]) -> Sequence[BudgetBalance]:
        if self._purchasing is None or not self._purchasing.budgets.budgets or not entries:
            await self._journal.write_ahead([*jobs, *entries])
            return ()
        budgets, today = self._purchasing.budgets, entries[0].day
        needed = Money(entries[0].currency, sum(entry.micros for entry in entries))

        def check(balances: Sequence[LedgerBalance]) -> Granted[Sequence[BudgetBalance]]:
            uses = budgets.grant(balances, needed, today=today, n_jobs=len(entries))
            return Granted(uses, [*jobs, *entries])

        return await self._journal.reserve(check, since=budgets.since(today))

    def _cancel(self, jobs: Sequence[JobRecord]) -> None:
        """Cancel those of which no try has begun; the journal releases what is reserved for them."""
        now = self._clock.now()
        untried = [self._untried.pop(job.job_id) for job in jobs if job.job_id in self._untried]
        self._journal.record_soon([job.moved(JobState.CANCELLED, at=now) for job in untried])


def _measure(purchasing: Purchasing, submissions: Sequence[Submission]) -> list[Cost | None]:
    """The cost of each job; None if it is not known."""
    return [price(purchasing.measure(submission.request), purchasing.accounts.card) for submission in submissions]
