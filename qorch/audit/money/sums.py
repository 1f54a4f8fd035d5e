"""What was spent and what is reserved, summed up by run, epoch, backend, account, day or month."""

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qorch.model.ledger import EntryKind, JobBalance, LedgerBalance, LedgerRecord, balance_job
from qorch.model.money import Money
from qorch.ports.records import StepRecord

OUTSIDE = "outside of epochs"
UNDATED = "not recorded"
GROUPINGS: Mapping[str, Callable[[LedgerBalance], str]] = {
    "run": lambda balance: balance.run_id,
    "backend": lambda balance: balance.backend,
    "account": lambda balance: balance.account or UNDATED,
    "day": lambda balance: name_day(balance.day),
    "month": lambda balance: name_day(balance.day)[:7] if balance.day > datetime.date.min else UNDATED,
}
"""By what the books of a database are summed up, and the name of a balance's group."""


@dataclass(frozen=True)
class SpendLine:
    """What was spent in one ``group``, such as a day, in one currency, and what is reserved besides."""

    group: str
    currency: str
    spent_micros: int
    reserved_micros: int

    @property
    def spent(self) -> Money:
        """What was charged, as far as that is known."""
        return Money(self.currency, self.spent_micros)

    @property
    def reserved(self) -> Money:
        """What is kept for jobs that were not charged yet."""
        return Money(self.currency, self.reserved_micros)

    def to_json(self, grouping: str) -> dict[str, Any]:
        """As it stands in JSON documents; the group stands under the name of its grouping, such as ``day``.

        Epochs are numbers, and null stands for what is outside of them.
        """
        group: str | int | None = self.group
        if grouping == "epoch":
            group = int(self.group) if self.group.isdecimal() else None
        return {grouping: group, "spent": self.spent.to_json(), "reserved": self.reserved.to_json()}


def sum_balances(balances: Iterable[LedgerBalance], *, by: str) -> tuple[SpendLine, ...]:
    """The books of a database by one of GROUPINGS, in the order of the groups' names; empty groups are left out."""
    name = GROUPINGS[by]
    return _sum((name(each), each.currency, each.reserved_micros, each.spent_micros) for each in balances)


def sum_entries(entries: Iterable[LedgerRecord], *, name: Callable[[LedgerRecord], str]) -> tuple[SpendLine, ...]:
    """The entries by the names that ``name`` gives to their groups, in the order of these; empty ones are left out."""
    return _sum((name(entry), entry.currency, *_effect(entry)) for entry in entries)


def sum_epochs(entries: Sequence[LedgerRecord], steps: Iterable[StepRecord]) -> tuple[SpendLine, ...]:
    """The entries of one run by epoch: those of finished steps that have one, the others together as OUTSIDE."""
    epochs = {step.step: step.epoch for step in steps}

    def name(entry: LedgerRecord) -> str:
        epoch = epochs.get(entry.step)
        return OUTSIDE if epoch is None else str(epoch)

    return sum_entries(entries, name=name)


def sum_days(entries: Iterable[LedgerRecord]) -> tuple[SpendLine, ...]:
    """The entries by the day (UTC) on which their jobs were reserved, in whose budgets they count."""
    return sum_entries(entries, name=lambda entry: name_day(day_of(entry)))


def balance_jobs(entries: Iterable[LedgerRecord]) -> dict[str, JobBalance]:
    """The balance of every job that has entries, by its id."""
    by_job: dict[str, list[LedgerRecord]] = {}
    for entry in entries:
        if entry.job_id is not None:
            by_job.setdefault(entry.job_id, []).append(entry)
    return {job_id: balance_job(own) for job_id, own in by_job.items()}


def day_of(entry: LedgerRecord) -> datetime.date:
    """The day of an entry's job; of entries of older versions, that of the entry itself."""
    return entry.day if entry.day > datetime.date.min else entry.recorded_at.astimezone(datetime.UTC).date()


def name_day(day: datetime.date) -> str:
    """Such as ``2026-11-30``."""
    return day.isoformat() if day > datetime.date.min else UNDATED


def is_charge(entry: LedgerRecord) -> bool:
    """Whether an entry says what was charged, at first or later."""
    return entry.kind in (EntryKind.SPENT, EntryKind.ADJUSTED)


def _effect(entry: LedgerRecord) -> tuple[int, int]:
    """What an entry adds to what is reserved, and to what was spent."""
    balance = JobBalance().after(entry)
    return balance.reserved_micros, balance.spent_micros


def _sum(parts: Iterable[tuple[str, str, int, int]]) -> tuple[SpendLine, ...]:
    sums: dict[tuple[str, str], list[int]] = {}
    for group, currency, reserved, spent in parts:
        total = sums.setdefault((group, currency), [0, 0])
        total[0] += reserved
        total[1] += spent
    return tuple(
        SpendLine(group, currency, spent, max(0, reserved))
        for (group, currency), (reserved, spent) in sorted(sums.items(), key=_place)
        if reserved or spent
    )


def _place(part: tuple[tuple[str, str], object]) -> tuple[bool, int, str, str]:
    """Sorts groups by name, and those that are numbers as numbers, before the others."""
    (group, currency), _ = part
    is_number = group.isdecimal()
    return not is_number, int(group) if is_number else 0, group, currency
