"""The ledger of the store in memory: its entries, its anchor and its balances."""

import datetime as dt
from collections.abc import Mapping, Sequence

from qorch.model.ledger import LedgerAnchor, LedgerBalance, LedgerEntry, LedgerRecord, balance_job
from qorch.model.ledger_chain import digest_entry, empty_head
from qorch.ports.records import RunRecord

_Key = tuple[dt.date, str, str, str]


class MemoryBooks:
    """Entries in order. Tests of damage change ``entries``, ``anchor`` and ``sums`` directly."""

    def __init__(self, store_id: str) -> None:
        """An empty ledger of a store."""
        self.entries: list[LedgerEntry] = []
        self.anchor = LedgerAnchor(0, empty_head(store_id))
        self.sums: dict[_Key, tuple[int, int]] = {}

    def append(self, record: LedgerRecord) -> None:
        """Add an entry, and move the anchor and its balance along."""
        number, head = self.anchor.count + 1, self.anchor.head
        self.anchor = LedgerAnchor(number, digest_entry(number, record, previous=head))
        self.entries.append(LedgerEntry(number, record, head, self.anchor.head))
        key = (record.day, record.run_id, record.account, record.currency)
        moved = balance_job([record])
        reserved, spent = self.sums.get(key, (0, 0))
        self.sums[key] = reserved + moved.reserved_micros, spent + moved.spent_micros

    def records(self, *, run_id: str | None = None, job_id: str | None = None) -> list[LedgerRecord]:
        """The records of a run, of a job, or all."""
        records = [entry.record for entry in self.entries]
        return [item for item in records if run_id in {None, item.run_id} and job_id in {None, item.job_id}]

    def after(self, number: int | None, limit: int) -> Sequence[LedgerEntry]:
        """The next entries with a number above this one; None: from the lowest."""
        found = [entry for entry in self.entries if number is None or entry.number > number]
        return sorted(found, key=lambda entry: entry.number)[:limit]

    def balances(self, runs: Mapping[str, RunRecord], since: dt.date) -> list[LedgerBalance]:
        """The balances since a day, by day, run, account and currency."""
        return [
            LedgerBalance(run_id, runs[run_id].name, runs[run_id].backend, account, day, currency, *sums)
            for (day, run_id, account, currency), sums in sorted(self.sums.items())
            if day >= since
        ]
