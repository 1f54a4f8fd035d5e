"""The chain of the ledger: what of an entry its digest covers, and how each entry continues the one before."""

import datetime
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from qorch.errors import MoneyError, StoreCorruptError, UsageError
from qorch.model.ledger import EntryKind, LedgerEntry, LedgerRecord

FieldValue = str | int | None

FIELDS = (
    "run_id",
    "job_id",
    "kind",
    "debit",
    "credit",
    "currency",
    "micros",
    "recorded_at",
    "account",
    "day",
    "step",
    "attempt",
    "executions",
    "reason",
)
"""What an entry records, in the order in which its digest covers it. Stores keep it by these names."""

_encode = json.JSONEncoder(separators=(",", ":"), default=repr).encode
_FORMAT = "qorch ledger 1"


@dataclass(frozen=True)
class LedgerRow:
    """An entry as it is stored, undecoded: ``fields`` are the values of FIELDS, or whatever stands in their place."""

    number: int
    fields: tuple[FieldValue, ...]
    previous: str
    digest: str

    @property
    def job_id(self) -> FieldValue:
        """The job, as it is stored."""
        return self.fields[1]

    def digest_as(self, number: int) -> str:
        """The digest that the entry would have if this were its number."""
        return digest_fields(number, self.fields, previous=self.previous)


def empty_head(store_id: str) -> str:
    """What the first entry of a store continues, so that the entries of another store do not fit."""
    return _digest([_FORMAT, store_id])


def digest_fields(number: int, fields: Sequence[FieldValue], *, previous: str) -> str:
    """SHA-256, in hexadecimal, of the JSON array of number, previous digest and FIELDS.

    The array is written without spaces, and all but ASCII escaped.
    """
    return _digest([number, previous, *fields])


def digest_entry(number: int, record: LedgerRecord, *, previous: str) -> str:
    """The digest of an entry that continues the entry with the digest ``previous``."""
    return digest_fields(number, entry_fields(record), previous=previous)


def entry_fields(record: LedgerRecord) -> tuple[FieldValue, ...]:
    """The FIELDS of a record. Raises UsageError for a time without its zone."""
    kind = record.kind
    return (
        record.run_id,
        record.job_id,
        kind.value,
        kind.debit,
        kind.credit,
        record.currency,
        int(record.micros),
        _time_text(record.recorded_at),
        record.account,
        record.day.isoformat(),
        int(record.step),
        int(record.attempt),
        int(record.executions),
        record.reason,
    )


def row_of(entry: LedgerEntry) -> LedgerRow:
    """The entry as stores keep it."""
    return LedgerRow(entry.number, entry_fields(entry.record), entry.previous, entry.digest)


def decode_row(row: LedgerRow) -> LedgerEntry:
    """The entry of a stored row. Raises StoreCorruptError if its values are none that were ever written."""
    try:
        return LedgerEntry(row.number, decode_fields(row.fields), row.previous, row.digest)
    except (MoneyError, TypeError, ValueError) as error:
        raise StoreCorruptError(
            f"entry {row.number} of the ledger cannot be read ({error}); see `qorch audit verify`"
        ) from error


def decode_fields(fields: Sequence[FieldValue]) -> LedgerRecord:
    """The record with these FIELDS. Raises TypeError, ValueError or MoneyError for values that no record has."""
    run_id, job_id, kind, _, _, currency, micros, recorded_at, account, day, step, attempt, executions, reason = fields
    return LedgerRecord(
        str(run_id), None if job_id is None else str(job_id), EntryKind(str(kind)), str(currency), int(micros or 0),
        datetime.datetime.fromisoformat(str(recorded_at)), account=str(account),
        day=datetime.date.fromisoformat(str(day)), step=int(step or 0), attempt=int(attempt or 0),
        executions=int(executions or 0), reason=str(reason),
    )  # fmt: skip


def _digest(values: Sequence[FieldValue]) -> str:
    return hashlib.sha256(_encode(values).encode()).hexdigest()


def _time_text(moment: datetime.datetime) -> str:
    if moment.tzinfo is None:
        raise UsageError(f"the time {moment} has no time zone; take it from Clock.now()")
    return moment.astimezone(datetime.UTC).isoformat(timespec="microseconds")[: -len("+00:00")] + "Z"
