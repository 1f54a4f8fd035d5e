"""The money of jobs: what is reserved for each, and the ledger entries by which it is spent or released."""

import datetime
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from qorch.model.identity import position_of, run_of
from qorch.model.job import OVER_STATES, JobState
from qorch.model.ledger import EntryKind, JobBalance, LedgerRecord, balance_job, settle_job
from qorch.model.prices.card import PriceCard
from qorch.model.usage import ReportedUsage
from qorch.planning.pricing import Cost, price_reported
from qorch.ports.clock import Clock
from qorch.ports.records import BlockRecord, JobRecord, UsageRecord, Write

_NOT_ACCEPTED = "the provider does not have it"
_GIVEN_UP = "given up by a person, though the provider accepted it and may bill it"
_REPORTED = "as the provider reports"
_BY_CARD = "by the price card"
_FAILED = "it failed, which is not charged"
_UNREPORTED = "what was expected, as the provider reports nothing"
_AS_RESERVED = "what was reserved, as the prices that apply now are not known, nothing, or in another currency"

_Move = tuple[EntryKind, int, str]


@dataclass(frozen=True)
class _News:
    """What one write says of a job: its state and its usage, if these are told, and the rows that came."""

    job: JobRecord | None
    usage: ReportedUsage | None
    n_rows: int

    @property
    def was_accepted(self) -> bool:
        """Whether the provider had the job, as far as this tells."""
        job = self.job
        return job is None or job.provider_id is not None or job.state not in (JobState.FAILED, JobState.CANCELLED)

    @property
    def is_open(self) -> bool:
        """Whether the job is not over, so that its price may be another one than its usage lets expect."""
        return self.job is not None and self.job.state not in OVER_STATES

    def is_in(self, state: JobState) -> bool:
        """Whether the job is in this state."""
        return self.job is not None and self.job.state is state


@dataclass(frozen=True)
class Closing:
    """The jobs that one write ends, or whose usage it tells, with what is known here of each.

    ``balances``: of the jobs of which nothing was booked but what this session has reserved. ``expected``: in
    micro-units, what jobs of this session were expected to cost.
    """

    news: Mapping[str, _News]
    balances: Mapping[str, JobBalance]
    expected: Mapping[str, int]

    @property
    def unread(self) -> list[str]:
        """The jobs whose entries must be read in the transaction, as another process may have booked for them."""
        return [job_id for job_id in self.news if job_id not in self.balances]


@dataclass(eq=False)
class Accounts:
    """Makes the ledger entries of jobs of one backend; they are written together with what happens to the jobs.

    ``card``: the prices. ``account``: who pays, as the backend's terms name it. Nothing is reserved where nothing
    costs, or no price is known; what was reserved by other prices is settled all the same. What is remembered of a job
    ends with the job: later entries are made from those in the store.
    """

    card: PriceCard
    account: str
    clock: Clock
    _reserved: dict[str, JobBalance] = field(default_factory=dict)
    _expected: dict[str, int] = field(default_factory=dict)

    @cached_property
    def is_kept(self) -> bool:
        """Whether jobs get entries by this card."""
        return self.card.is_known and not self.card.is_free

    def reserve(self, job: JobRecord, cost: Cost) -> LedgerRecord:
        """The entry that reserves the most that a job can cost, to be written before it is sent.

        ``note`` it once it is written.
        """
        self._expected[job.job_id] = cost.expected_micros
        return replace(
            self._template(job.job_id, job),
            micros=cost.high_micros,
            reason="the most that it can cost, by the price card",
        )

    def note(self, entries: Sequence[LedgerRecord]) -> None:
        """Remember the balances of jobs whose reservation was written."""
        for entry in entries:
            if entry.job_id is not None:
                self._reserved[entry.job_id] = JobBalance().after(entry)

    def begin_closing(self, writes: Sequence[Write]) -> Closing:
        """The jobs for which ``close`` has to make entries, to be written with these records; they are forgotten here.

        So nothing remembered is wrong if the write fails. May be called in any thread.
        """
        jobs = {record.job_id: record for record in writes if isinstance(record, JobRecord)}
        usages = {record.job_id: record.usage for record in writes if isinstance(record, UsageRecord)}
        rows = Counter[str]()
        for record in writes:
            if isinstance(record, BlockRecord):
                rows[record.job_id] += len(record.rows)
        over = (job_id for job_id, job in jobs.items() if job.state in OVER_STATES)
        news = {
            job_id: _News(jobs.get(job_id), usages.get(job_id), rows[job_id])
            for job_id in dict.fromkeys([*over, *usages])
        }
        # Any process may ask what a held job was charged for, and book it.
        held = [job_id for job_id, job in jobs.items() if job.state is JobState.UNKNOWN]
        found = {job_id: self._reserved.pop(job_id, None) for job_id in dict.fromkeys([*news, *held])}
        return Closing(
            news,
            {job_id: balance for job_id, balance in found.items() if balance is not None and job_id in news},
            {
                job_id: expected
                for job_id, told in news.items()
                if (expected := self._take_expected(job_id, told)) is not None
            },
        )

    def close(self, closing: Closing, stored: Mapping[str, Sequence[LedgerRecord]]) -> list[LedgerRecord]:
        """The entries of these jobs; ``stored``: the entries so far of those that are ``unread``.

        What is reserved for a job stays so while the provider may have it and its price is not known. Changes nothing
        here, so that a transaction may repeat it.
        """
        return [
            entry
            for job_id, news in closing.news.items()
            for entry in self._close(
                job_id,
                closing.balances.get(job_id) or balance_job(stored.get(job_id, ())),
                news,
                expected=closing.expected.get(job_id),
            )
        ]

    def _close(self, job_id: str, balance: JobBalance, news: _News, *, expected: int | None) -> list[LedgerRecord]:
        charge = None if news.usage is None else news.usage.charge
        if balance.first is None and not self.is_kept and charge is None:
            return []
        template = balance.first or self._template(job_id, news.job)
        if balance.first is None and charge is not None:
            template = replace(template, currency=charge.currency)
        if news.was_accepted:
            moves = [
                (kind, micros, reason)
                for charge, reason in self._charge(balance, news, expected=expected)
                for kind, micros in settle_job(balance, charge)
            ]
        else:
            moves = _give_back(balance)
        attempt = template.attempt if news.job is None else news.job.attempts
        return _make_entries(template, moves, attempt=attempt, at=self.clock.now())

    def _take_expected(self, job_id: str, news: _News) -> int | None:
        """What a job was expected to cost, which is kept as long as its usage may still be told."""
        is_last = news.usage is not None and news.usage.is_final and not news.is_open
        if is_last or not news.was_accepted:
            return self._expected.pop(job_id, None)
        return self._expected.get(job_id)

    def _charge(self, balance: JobBalance, news: _News, *, expected: int | None) -> list[tuple[int, str]]:
        """What the job costs, in micro-units, and why; empty if that is not known yet, or known already."""
        fits = self._fits(balance)
        told = self._price_told(balance, news, fits=fits)
        if told is not None:
            return [(told, _REPORTED)]
        if balance.is_settled or news.is_open:
            return []
        if news.is_in(JobState.CANCELLED):
            return [(balance.reserved_micros, _GIVEN_UP)]
        is_pending = news.usage is None or not news.usage.is_final
        is_timed = fits and self.is_timed
        if is_pending and is_timed:
            return []
        if news.is_in(JobState.FAILED):
            # Without a word on its usage, it is one that the run had no use for, and may be charged.
            return [] if news.usage is None else [(0, _FAILED)]
        if balance.first is None:
            return []
        if is_timed:
            return [(balance.reserved_micros if expected is None else expected, _UNREPORTED)]
        if not fits and (news.is_in(JobState.DONE) or not is_pending):
            return [(_share(balance.first.micros, news), _AS_RESERVED)]
        return [(_share(balance.first.micros, news), _BY_CARD)] if news.is_in(JobState.DONE) else []

    def _fits(self, balance: JobBalance) -> bool:
        """Whether the card prices the job: the user may have changed it since the job was reserved."""
        return self.is_kept and (balance.first is None or balance.first.currency == self.card.currency)

    def _price_told(self, balance: JobBalance, news: _News, *, fits: bool) -> int | None:
        """What the provider reports that the job costs, in micro-units of the currency of its entries."""
        if news.usage is None:
            return None
        if fits:
            return price_reported(news.usage, self.card)
        charge, first = news.usage.charge, balance.first
        return charge.micros if charge and (first is None or charge.currency == first.currency) else None

    @cached_property
    def is_timed(self) -> bool:
        """Whether time is billed, so that a job's price is not known before the provider has counted."""
        return self.card.prices is not None and self.card.prices.has_time

    def _template(self, job_id: str, job: JobRecord | None) -> LedgerRecord:
        """A reservation of nothing."""
        now = self.clock.now()
        return LedgerRecord(
            run_of(job_id),
            job_id,
            EntryKind.RESERVED,
            self.card.currency,
            0,
            now,
            account=self.account,
            day=now.date(),
            step=position_of(job_id).step,
            executions=0 if job is None else job.n_executions,
        )


def give_up(entries: Sequence[LedgerRecord], job: JobRecord) -> list[LedgerRecord]:
    """The entries to be written with a job that a person gave up, or that ended with its process; of all it has.

    If the provider accepted it, what was reserved counts as spent, until it reports what it charged.
    """
    balance = balance_job(entries)
    if balance.first is None or not balance.reserved_micros:
        return []
    moves = [(EntryKind.SPENT, balance.reserved_micros, _GIVEN_UP)] if job.provider_id else _give_back(balance)
    return _make_entries(balance.first, moves, attempt=job.attempts, at=job.changed_at)


def _give_back(balance: JobBalance) -> list[_Move]:
    return [(EntryKind.RELEASED, balance.reserved_micros, _NOT_ACCEPTED)] if balance.reserved_micros else []


def _make_entries(
    template: LedgerRecord, moves: Sequence[_Move], *, attempt: int, at: datetime.datetime
) -> list[LedgerRecord]:
    return [
        replace(template, kind=kind, micros=micros, reason=reason, attempt=attempt, recorded_at=at)
        for kind, micros, reason in moves
    ]


def _share(micros: int, news: _News) -> int:
    """What of a job's price its rows cost that came; each of its executions is taken to cost the same."""
    job = news.job
    if job is None or news.n_rows >= job.n_executions:
        return micros
    return -(-micros * news.n_rows // job.n_executions)
