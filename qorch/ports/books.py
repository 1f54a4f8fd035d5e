"""Where money is recorded: the ledger, its anchor and its balances, and reservations that all processes count."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from qorch.errors import StoreError
from qorch.model.ledger import LedgerAnchor, LedgerBalance, LedgerEntry, LedgerRecord
from qorch.model.ledger_chain import LedgerRow
from qorch.ports.records import Write

T = TypeVar("T")


def has_entries(run_id: str, n_entries: int) -> StoreError:
    """The error of deleting a run without keeping its books."""
    return StoreError(f"run '{run_id}' has {n_entries} ledger entries, which are never deleted; keep its books")


@dataclass(frozen=True)
class Granted(Generic[T]):
    """What a reservation writes, if it is granted, and a ``value`` for its caller."""

    value: T
    writes: Sequence[Write]


class BookHistory(Protocol):
    """Reads the ledger of a store. Entries are written as any other record (LedgerRecord), and never changed.

    Each entry gets the next number and a digest that covers it and the digest of the entry before; count and last
    digest, the anchor, are kept apart, and written in the same transaction, as are the balances.
    """

    def ledger(self, run_id: str | None = None) -> list[LedgerRecord]:
        """Ledger entries, oldest first."""
        ...

    def job_ledger(self, job_id: str) -> list[LedgerRecord]:
        """The entries of one job, oldest first."""
        ...

    def ledger_entries(self, *, after: int = 0, limit: int = 10_000) -> list[LedgerEntry]:
        """The next ``limit`` entries with a number above ``after``, in order, as they are stored, unchecked.

        Raises StoreCorruptError for values that no entry can have.
        """
        ...

    def ledger_rows(self, *, after: int | None = None, limit: int = 10_000) -> list[LedgerRow]:
        """The same, undecoded: whatever stands there, also if it was damaged.

        ``after`` None: from the lowest number, which is 1 in a sound ledger.
        """
        ...

    def ledger_anchor(self) -> LedgerAnchor:
        """The count of entries, and the digest of the last, as they were anchored.

        Raises StoreCorruptError if there is no anchor.
        """
        ...

    def ledger_balances(self, *, since: datetime.date = datetime.date.min) -> list[LedgerBalance]:
        """The balances of all runs, deleted ones too, of jobs that were reserved on ``since`` or later."""
        ...


class Books(BookHistory, Protocol):
    """The ledger of a store, and reservations."""

    def reserve(
        self, check: Callable[[Sequence[LedgerBalance]], Granted[T]], *, since: datetime.date = datetime.date.min
    ) -> "Future[T]":
        """Write what ``check`` grants, in one transaction with the reading of the balances that it is given.

        The balances are those of ``ledger_balances(since=since)``, of all processes: no other process reserves in
        between. ``check`` is pure, and may be called again if a transaction has to be repeated. If it raises, or a
        record cannot be stored, the future gets that error, and nothing is written.
        """
        ...

    def settle(
        self, job_ids: Sequence[str], close: Callable[[Mapping[str, Sequence[LedgerRecord]]], Sequence[Write]]
    ) -> "Future[None]":
        """Write what ``close`` makes of the entries of these jobs, oldest first, in one transaction with reading them.

        Of two processes that learn what a job was charged for, the second so sees what the first has booked. ``close``
        is pure, and may be called again; if it raises, or a record cannot be stored, the future gets that error, and
        nothing is written.
        """
        ...
