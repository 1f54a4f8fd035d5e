"""Verify the books of a store: the ledger's chain, its balances, and what is reserved for jobs that are over."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from qorch.errors import StoreCorruptError, StoreError, UsageError
from qorch.model.job import OVER_STATES
from qorch.model.ledger import LedgerAnchor, LedgerBalance, balance_job
from qorch.model.ledger_chain import FIELDS, LedgerRow
from qorch.model.ledger_check import ChainCheck, LedgerFinding
from qorch.model.text import printable
from qorch.ports.books import BookHistory
from qorch.ports.records import JobRecord
from qorch.ports.store import Jobs, NamedStore

PIECE = 10_000
_TRIES = 100
_PLACE = {name: place for place, name in enumerate(FIELDS)}
_BALANCE = [_PLACE[name] for name in ("run_id", "account", "day", "currency")]
_Key = tuple[object, ...]
T = TypeVar("T")


class AuditedStore(BookHistory, Jobs, NamedStore, Protocol):
    """What is read to verify the books."""


@dataclass(frozen=True)
class Verification:
    """What ``verify_books`` found; ``anchor``: as it is stored, None if it cannot be read."""

    anchor: LedgerAnchor | None
    findings: tuple[LedgerFinding, ...]

    @property
    def anchor_text(self) -> str:
        """The anchor as `--anchor` takes it."""
        return "unreadable" if self.anchor is None else format_anchor(self.anchor)

    def to_json(self) -> dict[str, object]:
        """The document that ``qorch audit verify --json`` prints."""
        return {
            "is_whole": not self.findings,
            "ledger": anchor_json(self.anchor),
            "findings": [
                {"entry": found.number, "job": found.job_id, "finding": found.text} for found in self.findings
            ],
        }


def parse_anchor(text: str) -> LedgerAnchor:
    """The anchor that ``format_anchor`` wrote. Raises UsageError for anything else."""
    match = re.fullmatch(r"(\d{1,18}):([0-9a-f]{64})", text.strip())
    if match is None:
        raise UsageError(
            f"'{printable(text)}' is no anchor: write COUNT:DIGEST, as `qorch report` and `qorch audit verify` print it"
        )
    return LedgerAnchor(int(match[1]), match[2])


def format_anchor(anchor: LedgerAnchor) -> str:
    """The anchor as reports print it."""
    return f"{anchor.count}:{anchor.head}"


def read_anchor(store: BookHistory) -> LedgerAnchor | None:
    """The anchor, for a report; None if it cannot be read."""
    found = _read_or_say(store.ledger_anchor)
    return None if isinstance(found, str) else found


def anchor_json(anchor: LedgerAnchor | None) -> dict[str, object] | None:
    """The anchor as it stands in JSON documents."""
    return None if anchor is None else {"entries": anchor.count, "digest": anchor.head}


def anchor_lines(anchor: LedgerAnchor | None) -> list[str]:
    """The line of a report by which `qorch audit verify --anchor` can tell later whether the ledger was made anew.

    Empty if there are no entries.
    """
    if anchor is None:
        return ["  ledger: its anchor cannot be read; see `qorch audit verify`"]
    return [f"  ledger: anchor {format_anchor(anchor)}"] if anchor.count else []


def verify_books(store: AuditedStore, *, earlier: LedgerAnchor | None = None, piece: int = PIECE) -> Verification:
    """Read the whole ledger, ``piece`` entries at a time, and say what is wrong with it.

    ``earlier``: an anchor of an earlier report, through which the chain must still pass. Other processes may write
    meanwhile; raises StoreError if they never stop.
    """
    check, sums = ChainCheck(store.store_id), _Sums()
    anchor, balances = _read_all(store, check, sums, piece=piece)
    found = None if isinstance(anchor, str) else anchor
    findings = check.finish(found)
    findings += [LedgerFinding(anchor)] if isinstance(anchor, str) else []
    findings += [LedgerFinding(balances)] if isinstance(balances, str) else sums.compare(balances)
    findings += _find_unsettled(store, sums.reserved)
    findings += [] if earlier is None else _compare_earlier(store, earlier, found)
    return Verification(found, tuple(findings))


def _read_all(
    store: AuditedStore, check: ChainCheck, sums: "_Sums", *, piece: int
) -> tuple[LedgerAnchor | str, list[LedgerBalance] | str]:
    """Give all entries to both; anchor and balances of the same moment, or why they cannot be read."""
    after: int | None = None
    for _ in range(_TRIES):
        while rows := store.ledger_rows(after=after, limit=piece):
            check.add(rows)
            sums.add(rows)
            after = rows[-1].number
        # Between two equal anchors nothing was written: what is read between them is of one moment.
        anchor = _read_or_say(store.ledger_anchor)
        balances = _read_or_say(store.ledger_balances)
        if not store.ledger_rows(after=after, limit=1) and _read_or_say(store.ledger_anchor) == anchor:
            return anchor, balances
    raise StoreError(f"entries are written to {store.location} all the time; verify it when fewer runs are at work")


def _read_or_say(read: Callable[[], T]) -> T | str:
    """What is read, or what is wrong with it."""
    try:
        return read()
    except StoreCorruptError as error:
        return str(error)


def _compare_earlier(store: BookHistory, earlier: LedgerAnchor, newest: LedgerAnchor | None) -> list[LedgerFinding]:
    """Whether the chain still passes through an anchor of an earlier report."""
    name = f"the anchor that you gave, of {earlier.count:,} entries"
    if not earlier.count:
        return []
    rows = store.ledger_rows(after=earlier.count - 1, limit=1)
    if not rows or rows[0].number != earlier.count:
        count = min(earlier.count - 1, newest.count if newest else 0)
        missing = earlier.count - count
        what = f"the last {missing:,} entries are" if missing > 1 else f"entry {earlier.count} is"
        return [LedgerFinding(f"{what} missing: {name}, is not on the chain", count + 1)]
    if rows[0].digest != earlier.head:
        return [
            LedgerFinding(
                f"entry {earlier.count} or one before it was altered, and the chain made anew: {name}, is not on it",
                earlier.count,
            )
        ]
    return []


@dataclass(eq=False)
class _Sums:
    """Sums of entries by balance, and what is reserved by job, run and currency: only of jobs for which it is not 0."""

    balances: dict[_Key, tuple[int, int]] = field(default_factory=dict)
    reserved: dict[tuple[str, str, str], int] = field(default_factory=lambda: defaultdict(int))

    def add(self, rows: Iterable[LedgerRow]) -> None:
        """Add entries; of damaged ones, what can be added."""
        for row in rows:
            micros, debit, credit = (row.fields[_PLACE[name]] for name in ("micros", "debit", "credit"))
            if not isinstance(micros, int):
                continue
            moved = micros * ((debit == "reserved") - (credit == "reserved"))
            key = tuple(row.fields[place] for place in _BALANCE)
            reserved, spent = self.balances.get(key, (0, 0))
            self.balances[key] = reserved + moved, spent + micros * (debit == "spent")
            if row.job_id is not None and moved:
                job = str(row.job_id), str(row.fields[0]), str(row.fields[_PLACE["currency"]])
                self.reserved[job] += moved
                if not self.reserved[job]:
                    del self.reserved[job]

    def compare(self, balances: Iterable[LedgerBalance]) -> list[LedgerFinding]:
        """What differs between these sums and the balances that are kept."""
        kept: dict[_Key, tuple[int, int]] = {
            (item.run_id, item.account, item.day.isoformat(), item.currency): (item.reserved_micros, item.spent_micros)
            for item in balances
        }
        keys = sorted({*kept, *self.balances}, key=str)
        pairs = ((key, kept.get(key, (0, 0)), self.balances.get(key, (0, 0))) for key in keys)
        return [LedgerFinding(_describe(key, held, summed)) for key, held, summed in pairs if held != summed]


def _describe(key: _Key, held: tuple[int, int], summed: tuple[int, int]) -> str:
    run_id, account, day, currency = (printable(str(part)) for part in key)
    payer = f", account {account}" if account else ""
    return (
        f"the balance of run {run_id} on {day}{payer} is not the sum of its entries: {held[0]} reserved and {held[1]}"
        f" spent, where the entries come to {summed[0]} and {summed[1]} (millionths of {currency})"
    )


def _find_unsettled(store: AuditedStore, reserved: dict[tuple[str, str, str], int]) -> list[LedgerFinding]:
    """Jobs for which less than nothing is reserved, or something although they are over and were charged."""
    by_run: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for job_id, run_id, currency in filter(_is_unicode, reserved):
        by_run[run_id].append((job_id, currency))
    findings = []
    for run_id, wanted in by_run.items():
        jobs = {job.job_id: job for job in store.jobs(run_id)}
        for job_id, currency in wanted:
            if reserved[job_id, run_id, currency] < 0 or _is_settled(jobs.get(job_id)):
                findings += _name_unsettled(store, job_id, currency)
    return findings


def _is_unicode(names: tuple[str, str, str]) -> bool:
    """Whether a store can be asked for these: what was damaged may not be."""
    return not any("\udc80" <= letter <= "\udcff" for name in names for letter in name)


def _is_settled(job: JobRecord | None) -> bool:
    if job is None:
        return True
    return job.state in OVER_STATES and (job.usage is None or job.usage.is_final)


def _name_unsettled(store: BookHistory, job_id: str, currency: str) -> list[LedgerFinding]:
    """Read the entries again: the job may have been settled while the ledger was read."""
    try:
        entries = [entry for entry in store.job_ledger(job_id) if entry.currency == currency]
    except StoreError:  # an entry cannot be read, and is named already
        return []
    balance = balance_job(entries)
    if not balance.reserved_micros:
        return []
    money = f"{abs(balance.reserved_micros)} millionths of {printable(currency)}"
    what = "less than nothing is reserved" if balance.reserved_micros < 0 else "money is reserved, although it is over"
    return [LedgerFinding(f"for job {printable(job_id)} {what}: {money}", job_id=job_id)]
