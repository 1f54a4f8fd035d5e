"""The ledger as a table: one row an entry, with its job, its attempt, its run and its backend."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from qorch.audit.exports.tables import Cell, CellKind, Table
from qorch.audit.money.sums import day_of
from qorch.model.ledger import LedgerEntry
from qorch.ports.books import Books
from qorch.ports.records import JobRecord
from qorch.ports.store import Jobs

_PAGE = 10_000
COLUMNS: Mapping[str, CellKind] = {
    "entry": CellKind.INTEGER,
    "recorded_at": CellKind.TIME,
    "day": CellKind.TEXT,
    "run": CellKind.TEXT,
    "run_name": CellKind.TEXT,
    "backend": CellKind.TEXT,
    "account": CellKind.TEXT,
    "job": CellKind.TEXT,
    "provider_id": CellKind.TEXT,
    "job_state": CellKind.TEXT,
    "step": CellKind.INTEGER,
    "attempt": CellKind.INTEGER,
    "executions": CellKind.INTEGER,
    "kind": CellKind.TEXT,
    "debit": CellKind.TEXT,
    "credit": CellKind.TEXT,
    "currency": CellKind.TEXT,
    "amount": CellKind.AMOUNT,
    "reason": CellKind.TEXT,
    "previous": CellKind.TEXT,
    "digest": CellKind.TEXT,
}
"""``day``: in UTC, in whose budgets it counts. ``debit`` and ``credit``: where the amount goes, and comes from."""


class LedgerSource(Books, Jobs, Protocol):
    """What entries are exported from."""


@dataclass(frozen=True)
class LedgerLine:
    """An entry with what is known of its job and its run, which may be deleted."""

    entry: LedgerEntry
    run_name: str
    backend: str
    job: JobRecord | None


def read_lines(store: LedgerSource, run_id: str | None = None) -> list[LedgerLine]:
    """All entries, or those of a run, in order. Raises StoreCorruptError for values that no entry can have."""
    runs = {balance.run_id: (balance.run_name, balance.backend) for balance in store.ledger_balances()}
    jobs = {job.job_id: job for job in store.jobs(run_id)}
    return [
        LedgerLine(entry, *runs.get(entry.record.run_id, ("", "")), jobs.get(entry.record.job_id or ""))
        for entry in _entries(store)
        if run_id in {None, entry.record.run_id}
    ]


def make_ledger_table(lines: list[LedgerLine]) -> Table:
    """The entries as they stand in the ledger, amounts in units of their currency."""
    return Table(COLUMNS, [_as_row(line) for line in lines])


def as_amount(micros: int) -> Decimal:
    """An amount in units of its currency, exactly, with six places."""
    return Decimal(micros).scaleb(-6)


def _entries(store: Books) -> Iterator[LedgerEntry]:
    page = store.ledger_entries(limit=_PAGE)
    while page:
        yield from page
        page = store.ledger_entries(after=page[-1].number, limit=_PAGE)


def _as_row(line: LedgerLine) -> list[Cell]:
    record, job = line.entry.record, line.job
    return [
        line.entry.number,
        record.recorded_at,
        day_of(record).isoformat(),
        record.run_id,
        line.run_name,
        line.backend,
        record.account or None,
        record.job_id,
        None if job is None else job.provider_id,
        None if job is None else job.state.value,
        record.step,
        record.attempt,
        record.executions,
        record.kind.value,
        record.kind.debit,
        record.kind.credit,
        record.currency,
        as_amount(record.micros),
        record.reason or None,
        line.entry.previous,
        line.entry.digest,
    ]
