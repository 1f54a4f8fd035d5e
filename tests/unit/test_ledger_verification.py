"""What is said of a ledger that is not as qorch wrote it, and what is not said of one that is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest
from filled_books import fill_books

from qorch.audit.verification import Verification, format_anchor, parse_anchor, verify_books
from qorch.errors import StoreError, UsageError
from qorch.model.job import JobState
from qorch.model.ledger import EntryKind, LedgerAnchor, LedgerEntry
from qorch.model.ledger_chain import FIELDS, FieldValue, digest_entry, digest_fields
from qorch.model.usage import PENDING_USAGE
from qorch.ports.clock import WallClock
from qorch.ports.records import UsageRecord
from qorch.testing.conformance.store_books import make_entry
from qorch.testing.conformance.store_records import make_job, make_run
from qorch.testing.fakes.store import MemoryStore


def _change_digest(entries: list[LedgerEntry], place: int) -> None:
    """Alter an entry, and make its digest anew."""
    entry = entries[place]
    record = replace(entry.record, micros=entry.record.micros + 1)
    digest = digest_entry(entry.number, record, previous=entry.previous)
    entries[place] = LedgerEntry(entry.number, record, entry.previous, digest)


def _change_record(entries: list[LedgerEntry], place: int, **changed: object) -> None:
    entries[place] = replace(entries[place], record=replace(entries[place].record, **changed))  # type: ignore[arg-type]


def _number_anew(entries: list[LedgerEntry], order: Sequence[int]) -> None:
    """Put entries into another order, and give them the numbers of their places."""
    entries[:] = [replace(entries[place], number=number) for number, place in enumerate(order, 1)]


FAKED: Mapping[str, Callable[[list[LedgerEntry]], None]] = {
    "entry 7 (job r/0.0.2) was altered": lambda entries: _change_record(entries, 6, reason="a gift"),
    "entry 17 (job s/0.0.2) was altered, with its digest: the next entry continues another": (
        lambda entries: _change_digest(entries, 16)
    ),
    "entry 20 or the anchor was altered: the anchor has another digest": lambda entries: _change_digest(entries, 19),
    "entry 18 is missing": lambda entries: entries.__delitem__(17),
    "entries 3 to 5 are missing": lambda entries: entries.__delitem__(slice(2, 5)),
    "the last 3 entries are missing: the anchor has 20": lambda entries: entries.__delitem__(slice(17, 20)),
    "the last 20 entries are missing: the anchor has 20": lambda entries: entries.clear(),
    "entries 17 and 18 (job s/0.0.2) were exchanged": (
        lambda entries: _number_anew(entries, [*range(16), 17, 16, 18, 19])
    ),
    "entries 3 and 20 (job r/0.0.0) were exchanged": (
        lambda entries: _number_anew(entries, [0, 1, 19, *range(3, 19), 2])
    ),
    "entries 3 and 4 (jobs r/0.0.0 and r/0.0.1) were exchanged": (
        lambda entries: _number_anew(entries, [0, 1, 3, 2, *range(4, 20)])
    ),
    "an entry was inserted before entry 4 (job r/0.0.1)": (
        lambda entries: _number_anew(entries, [*range(3), 15, *range(3, 20)])
    ),
    "2 entries were inserted before entry 4 (job r/0.0.1)": (
        lambda entries: _number_anew(entries, [*range(3), 15, 9, *range(3, 20)])
    ),
    "entry 9 (job r/0.0.2) stands in the place of entry 5": (
        lambda entries: _number_anew(entries, [*range(4), 8, 5, 6, 7, 12, 9, 10, 11, 4, *range(13, 20)])
    ),
}


@pytest.mark.parametrize("sentence", FAKED)
def test_a_sentence_says_what_was_changed_also_in_a_store_in_memory(sentence: str) -> None:
    """Each kind of change, with the number of the entry and its job; the same store is whole before it."""
    store = MemoryStore(WallClock())
    anchor = fill_books(store)
    assert verify_books(store, earlier=anchor) == Verification(anchor, ())
    FAKED[sentence](store.books.entries)
    assert sentence in [finding.text for finding in verify_books(store, piece=3).findings]


def test_a_digest_covers_every_field_the_number_and_the_digest_before() -> None:
    """No two of these have the same digest: each differs in one of them, be it only in its type."""
    store = MemoryStore(WallClock())
    fill_books(store)
    row = store.ledger_rows()[4]
    odd: list[FieldValue] = [f"{value}" if isinstance(value, int) else f"{value} " for value in row.fields]
    changed = [(*row.fields[:place], value, *row.fields[place + 1 :]) for place, value in enumerate(odd)]
    none = [(*row.fields[:place], None, *row.fields[place + 1 :]) for place in range(len(odd))]
    digests = [digest_fields(5, fields, previous=row.previous) for fields in (*changed, *none)]
    digests += [row.digest, row.digest_as(6), digest_fields(5, row.fields, previous=row.digest)]
    assert len(FIELDS) == len(row.fields)
    assert len(set(digests)) == 2 * len(FIELDS) + 3


def test_a_chain_of_another_store_does_not_fit() -> None:
    """Entries with their anchor and balances that were copied from another database are not taken for this one's."""
    store, other = MemoryStore(WallClock()), MemoryStore(WallClock())
    fill_books(store)
    fill_books(other)
    vars(store.books).update(vars(other.books))
    [finding] = verify_books(store).findings
    assert "does not begin the chain of this database" in finding.text


def test_a_chain_that_was_made_anew_is_found_by_an_earlier_anchor() -> None:
    """With another amount, all digests, the anchor and the balances made anew, nothing else tells."""
    store = MemoryStore(WallClock())
    anchor = fill_books(store)
    records = store.ledger()
    forged = MemoryStore(WallClock(), store_id=store.store_id)
    fill_books(forged)
    forged.books.__init__(store.store_id)  # type: ignore[misc]
    for record in records:
        forged.books.append(replace(record, reason="another") if record == records[11] else record)
    assert verify_books(forged).findings == ()
    assert verify_books(store, earlier=anchor).findings == ()
    [finding] = verify_books(forged, earlier=anchor).findings
    assert "entry 20 or one before it was altered, and the chain made anew" in finding.text
    [finding] = verify_books(store, earlier=LedgerAnchor(23, anchor.head)).findings
    assert "the last 3 entries are missing" in finding.text


def test_a_ledger_that_grows_since_an_earlier_anchor_is_whole() -> None:
    """Of an empty one, too."""
    store = MemoryStore(WallClock())
    empty = store.ledger_anchor()
    anchor = fill_books(store)
    store.write([make_entry(EntryKind.ADJUSTED, 9, job_id=None)]).result()
    assert verify_books(store, earlier=anchor).findings == verify_books(store, earlier=empty).findings == ()


def test_money_that_stays_reserved_for_a_job_that_is_over_is_found() -> None:
    """Not while the job is open, or its usage pending; less than nothing is found in any state."""
    store = MemoryStore(WallClock())
    states = (JobState.DONE, JobState.SUBMITTED, JobState.UNKNOWN, JobState.FAILED, JobState.CANCELLED)
    jobs = [replace(make_job(f"r/{place}.0.0"), state=state, provider_id="p") for place, state in enumerate(states)]
    late, odd = make_job("r/8.0.0"), make_job("r/9.0.0")
    store.write([make_run("r"), *jobs, replace(late, state=JobState.DONE, provider_id="p"), odd]).result()
    store.write([UsageRecord(late.job_id, "r", PENDING_USAGE)])
    store.write([make_entry(EntryKind.RESERVED, 5, job_id=job.job_id) for job in (*jobs, late)])
    store.write([make_entry(EntryKind.RELEASED, 4, job_id=odd.job_id)]).result()
    told = {finding.job_id: finding.text for finding in verify_books(store).findings}
    assert set(told) == {"r/0.0.0", "r/3.0.0", "r/4.0.0", "r/9.0.0"}
    assert told["r/0.0.0"] == "for job r/0.0.0 money is reserved, although it is over: 5 millionths of USD"
    assert told["r/9.0.0"] == "for job r/9.0.0 less than nothing is reserved: 4 millionths of USD"


class _Growing(MemoryStore):
    """Another process writes an entry between the reading of the entries and that of the anchor, some times."""

    def __init__(self, times: int) -> None:
        super().__init__(WallClock())
        self.times = times

    def ledger_anchor(self) -> LedgerAnchor:
        """After another entry."""
        if self.times:
            self.times -= 1
            self.write([make_entry(EntryKind.ADJUSTED, 1, job_id=None)]).result()
        return super().ledger_anchor()


def test_entries_that_are_written_meanwhile_are_no_finding() -> None:
    """They are read too; a ledger that is never at rest is not called whole."""
    store = _Growing(0)
    fill_books(store)
    store.times = 9
    found = verify_books(store)
    assert (found.anchor, found.findings) == (store.ledger_anchor(), ())
    store.times = 1000
    with pytest.raises(StoreError, match="all the time"):
        verify_books(store)


@pytest.mark.parametrize(
    "text", ["", "17", "17:", ":" + "0" * 64, "-1:" + "0" * 64, "17:" + "0" * 63, "17:" + "G" * 64]
)
def test_what_is_no_anchor_is_refused(text: str) -> None:
    """With the form that is expected; what reports print is taken."""
    with pytest.raises(UsageError, match="write COUNT:DIGEST"):
        parse_anchor(text)
    anchor = LedgerAnchor(17, "0" * 64)
    assert parse_anchor(f" {format_anchor(anchor)}\n") == anchor
