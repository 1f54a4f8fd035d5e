"""The ledger's entries: money that was reserved for a job, spent on it, released again, or adjusted later."""

import datetime
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from qorch.errors import MoneyError


class EntryKind(StrEnum):
    """What an entry moves, between three accounts: what is free, what is reserved, and what is spent.

    RESERVED: from free to reserved, before a job is sent. SPENT: from reserved to spent, once it is charged.
    RELEASED: from reserved back to free. ADJUSTED: from free to spent what a job cost more than was reserved or booked;
    negative, and so back to free, what it cost less than was booked.
    """

    RESERVED = "reserved"
    SPENT = "spent"
    RELEASED = "released"
    ADJUSTED = "adjusted"

    @property
    def debit(self) -> str:
        """The account that the money goes to."""
        return _SIDES[self][0]

    @property
    def credit(self) -> str:
        """The account that the money comes from."""
        return _SIDES[self][1]


_SIDES = {
    EntryKind.RESERVED: ("reserved", "free"),
    EntryKind.SPENT: ("spent", "reserved"),
    EntryKind.RELEASED: ("free", "reserved"),
    EntryKind.ADJUSTED: ("spent", "free"),
}


@dataclass(frozen=True)
class LedgerRecord:
    """One entry of the append-only ledger. ``micros``: negative only if it is ADJUSTED.

    ``account``: who pays, as the backend's terms name it. ``day``: in UTC, on which the job was reserved: all its
    entries count in the budgets of that day and month. ``step``, ``attempt`` and ``executions`` of the job; ``attempt``
    is 0 before the first. ``reason``: why the amount is what it is, for people.
    """

    run_id: str
    job_id: str | None
    kind: EntryKind
    currency: str
    micros: int
    recorded_at: datetime.datetime
    account: str = ""
    day: datetime.date = datetime.date.min
    step: int = -1
    attempt: int = 0
    executions: int = 0
    reason: str = ""

    def __post_init__(self) -> None:
        """Raise MoneyError for a negative amount that is no adjustment."""
        if self.micros < 0 and self.kind is not EntryKind.ADJUSTED:
            raise MoneyError(
                f"a ledger entry of kind '{self.kind}' cannot be {self.micros} micro-units; it must be ≥ 0"
            )


@dataclass(frozen=True)
class LedgerEntry:
    """A stored entry: ``number`` counts from 1 without a gap; ``digest`` covers it and, by ``previous``, all before."""

    number: int
    record: LedgerRecord
    previous: str
    digest: str


@dataclass(frozen=True)
class LedgerAnchor:
    """How many entries the ledger has, and the digest of the last one; of none, that of an empty ledger."""

    count: int
    head: str


@dataclass(frozen=True)
class LedgerBalance:
    """What is reserved for, and was spent on, jobs of one run that were reserved on one day for one account."""

    run_id: str
    run_name: str
    backend: str
    account: str
    day: datetime.date
    currency: str
    reserved_micros: int
    spent_micros: int


@dataclass(frozen=True)
class JobBalance:
    """What is reserved for one job, and was spent on it. ``is_settled``: it was charged, be it nothing.

    ``first``: its first entry; None if it has none.
    """

    reserved_micros: int = 0
    spent_micros: int = 0
    is_settled: bool = False
    first: LedgerRecord | None = None

    def after(self, entry: LedgerRecord) -> "JobBalance":
        """The balance after one more entry of the job."""
        reserved = (entry.kind.debit == "reserved") - (entry.kind.credit == "reserved")
        is_spent = entry.kind.debit == "spent"
        return JobBalance(
            self.reserved_micros + entry.micros * reserved,
            self.spent_micros + entry.micros * is_spent,
            self.is_settled or is_spent,
            self.first or entry,
        )


def balance_job(entries: Iterable[LedgerRecord]) -> JobBalance:
    """The balance of a job from all its entries, which have one currency."""
    return functools.reduce(JobBalance.after, entries, JobBalance())


def settle_job(balance: JobBalance, charge_micros: int) -> Sequence[tuple[EntryKind, int]]:
    """The entries after which a job has cost ``charge_micros``, and nothing is reserved for it.

    The first time one of them is SPENT, be it nothing; later none, if nothing has changed.
    """
    due = charge_micros - balance.spent_micros
    spent = min(max(due, 0), balance.reserved_micros)
    moves = (
        (EntryKind.SPENT, spent),
        (EntryKind.RELEASED, balance.reserved_micros - spent),
        (EntryKind.ADJUSTED, due - spent),
    )
    is_first = not balance.is_settled
    return tuple((kind, micros) for kind, micros in moves if micros or (is_first and kind is EntryKind.SPENT))
