"""The money of an engine's jobs: what is reserved for each, and the ledger entries by which it is spent or released."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from qorch.model.ledger import EntryKind, JobBalance, LedgerRecord, balance_job
from qorch.model.prices.card import PriceCard
from qorch.planning.pricing import Cost
from qorch.ports.clock import Clock
from qorch.ports.records import JobRecord


@dataclass(eq=False)
class Accounts:
    """Makes the ledger entries of an engine's jobs; they are written with whatever happens to the job.

    ``card``: the prices. ``account``: who pays, as the backend's terms name it. ``find_entries``: the stored entries of
    a job by its id, for jobs of earlier sessions. Nothing is kept where nothing costs, or no price is known.
    """

    card: PriceCard
    account: str
    find_entries: Callable[[str], Sequence[LedgerRecord]]
    clock: Clock
    _balances: dict[str, JobBalance] = field(default_factory=dict)

    @property
    def is_kept(self) -> bool:
        """Whether jobs have entries at all."""
        return self.card.is_known and not self.card.is_free

    def reserve(self, job: JobRecord, cost: Cost) -> LedgerRecord:
        """The entry that reserves the most that a job can cost; it must be written before the job is sent."""
        now = self.clock.now()
        return LedgerRecord(
            job.run_id,
            job.job_id,
            EntryKind.RESERVED,
            cost.currency,
            cost.high_micros,
            now,
            account=self.account,
            day=now.date(),
            step=job.position.step,
            executions=job.n_executions,
            reason="the most that it can cost, by the price card",
        )

    def note(self, entries: Sequence[LedgerRecord]) -> None:
        """Remember the balances of jobs whose reservation was written."""
        for entry in entries:
            if entry.job_id is not None:
                self._balances[entry.job_id] = balance_job([entry])

    def release(self, job: JobRecord, reason: str) -> list[LedgerRecord]:
        """The entries after which nothing is reserved for a job that the provider does not have. Reads the store."""
        balance = self._balance(job.job_id)
        if not balance.reserved_micros:
            return []
        self._balances.pop(job.job_id, None)
        return [self._entry(job, balance, EntryKind.RELEASED, balance.reserved_micros, reason)]

    def _balance(self, job_id: str) -> JobBalance:
        if not self.is_kept:
            return JobBalance()
        return self._balances.get(job_id) or balance_job(self.find_entries(job_id))

    def _entry(self, job: JobRecord, balance: JobBalance, kind: EntryKind, micros: int, reason: str) -> LedgerRecord:
        now = self.clock.now()
        return LedgerRecord(
            job.run_id,
            job.job_id,
            kind,
            self.card.currency,
            micros,
            now,
            account=balance.account or self.account,
            day=balance.day or now.date(),
            step=job.position.step,
            executions=job.n_executions,
            reason=reason,
        )
