"""The part of the Store contract that says how money is recorded: the ledger's chain, its anchor and its balances."""

import datetime as dt
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import pytest

from qorch.errors import StoreError, UsageError
from qorch.model.ledger import EntryKind, LedgerAnchor, LedgerBalance, LedgerRecord
from qorch.model.ledger_chain import decode_row, digest_entry, empty_head, row_of
from qorch.ports.books import Granted
from qorch.ports.records import Change, RunState
from qorch.ports.store import Store
from qorch.testing.conformance.store_fixtures import StoreFixtures
from qorch.testing.conformance.store_records import NOW, make_job, make_run, start_python

TODAY = NOW.date()
_PATIENCE_SECONDS = 60
_LIMIT_MICROS = 1_000
_RESERVE = """
import datetime as dt
from qorch.testing.conformance.store_books import reserve_within
print(sum(reserve_within(store, 10) for _ in range(30)), flush=True)
"""


def make_entry(kind: EntryKind, micros: int, *, job_id: str | None = "r/0.0.0", run_id: str = "r") -> LedgerRecord:
    """An entry of today."""
    return LedgerRecord(
        run_id, job_id, kind, "USD", micros, NOW, account="mine", day=TODAY, step=3, attempt=1, executions=70,
        reason="the most that it can cost, über alles",
    )  # fmt: skip


def reserve_within(store: Store, micros: int) -> bool:
    """Reserve so much if all of the ledger stays within _LIMIT_MICROS; whether it was granted."""

    def check(balances: Sequence[LedgerBalance]) -> Granted[bool]:
        fits = sum(balance.reserved_micros for balance in balances) + micros <= _LIMIT_MICROS
        return Granted(fits, [make_entry(EntryKind.RESERVED, micros)] if fits else [])

    return store.reserve(check).result(_PATIENCE_SECONDS)


class StoreBooksConformance(StoreFixtures):
    """See StoreConformance."""

    def test_entries_are_read_as_they_were_written(self, store: Store) -> None:
        """Every field survives, an entry without a job too; those of a job and of a run are found."""
        store.write([make_run("s"), make_job("r/0.0.1")]).result()
        zone = dt.timezone(dt.timedelta(hours=-7))
        records = [
            make_entry(EntryKind.RESERVED, 10**15),
            replace(make_entry(EntryKind.SPENT, 0, job_id="r/0.0.1"), recorded_at=NOW.astimezone(zone)),
            make_entry(EntryKind.ADJUSTED, -5, job_id=None, run_id="s"),
            LedgerRecord("r", "r/0.0.0", EntryKind.RELEASED, "EUR", 1, NOW),
        ]
        store.write(records).result()
        assert store.ledger() == records
        assert store.ledger("s") == records[2:3]
        assert store.job_ledger("r/0.0.0") == [records[0], records[3]]
        assert store.job_ledger("s/0.0.0") == []

    def test_entries_are_a_chain_whose_end_is_anchored(self, store: Store) -> None:
        """Numbers count from 1 over all calls; the first continues the store's id, and each one the one before."""
        assert store.ledger_anchor() == LedgerAnchor(0, empty_head(store.store_id))
        for size in (1, 3, 0, 2):
            store.write([make_entry(EntryKind.RESERVED, 7 * size)] * size)
        store.write([make_entry(EntryKind.SPENT, 7)]).result()
        entries = store.ledger_entries()
        assert [entry.number for entry in entries] == list(range(1, 8))
        head = empty_head(store.store_id)
        for entry in entries:
            assert entry.previous == head
            head = digest_entry(entry.number, entry.record, previous=head)
            assert entry.digest == head
        assert store.ledger_anchor() == LedgerAnchor(7, head)

    def test_entries_are_read_in_pieces(self, store: Store) -> None:
        """After a number and up to a limit, decoded and as they are stored."""
        store.write([make_entry(EntryKind.RESERVED, micros) for micros in range(5)]).result()
        entries = store.ledger_entries()
        assert store.ledger_entries(after=1, limit=2) == entries[1:3]
        assert store.ledger_entries(after=5) == []
        assert store.ledger_rows() == [row_of(entry) for entry in entries]
        assert [decode_row(row) for row in store.ledger_rows(after=3)] == entries[3:]

    def test_balances_are_the_sums_of_entries(self, store: Store) -> None:
        """By day, run, account and currency, in every kind, over several calls and within one."""
        store.write([replace(make_run("s"), name="second", backend="ionq"), make_job("s/0.0.0")]).result()
        yesterday = TODAY - dt.timedelta(days=1)
        store.write([make_entry(EntryKind.RESERVED, 100), make_entry(EntryKind.RESERVED, 40)])
        store.write([make_entry(EntryKind.SPENT, 60), make_entry(EntryKind.ADJUSTED, 5)])
        store.write([make_entry(EntryKind.RELEASED, 30), make_entry(EntryKind.ADJUSTED, -2)])
        old = replace(make_entry(EntryKind.RESERVED, 9, job_id=None, run_id="s"), day=yesterday)
        store.write([old, replace(old, currency="EUR"), replace(old, account="other")]).result()
        run = store.find_run("r")
        assert run is not None
        today = LedgerBalance("r", run.name, run.backend, "mine", TODAY, "USD", 50, 63)
        before = LedgerBalance("s", "second", "ionq", "mine", yesterday, "USD", 9, 0)
        expected = [replace(before, currency="EUR"), before, replace(before, account="other"), today]
        assert store.ledger_balances() == expected
        assert store.ledger_balances(since=TODAY) == [today]
        assert store.ledger_balances(since=TODAY + dt.timedelta(days=1)) == []

    def test_books_of_a_deleted_run_stay_and_no_other_run_with_entries_is_deleted(self, store: Store) -> None:
        """Entries, chain and balances stay as they were; without keep_books such a run is refused, and stays."""
        store.write([make_entry(EntryKind.RESERVED, 100)]).result()
        before = store.ledger_entries(), store.ledger_anchor(), store.ledger_balances()
        with pytest.raises(StoreError, match="has 1 ledger entries, which are never deleted"):
            store.delete_run("r", keep_books=False)
        assert len(store.jobs("r")) == 1
        store.delete_run("r", keep_books=True)
        found = store.find_run("r")
        assert found is not None
        assert found.state == RunState.DELETED
        assert (store.ledger_entries(), store.ledger_anchor(), store.ledger_balances()) == before

    def test_a_call_that_fails_leaves_the_chain_as_it_was(self, store: Store) -> None:
        """An entry of an unknown run or job, or with a time without its zone; the next entry takes the number."""
        refused = [
            make_entry(EntryKind.SPENT, 1, job_id="x"),
            make_entry(EntryKind.SPENT, 1, job_id=None, run_id="x"),
            replace(make_entry(EntryKind.SPENT, 1), recorded_at=NOW.replace(tzinfo=None)),
        ]
        futures = [store.write([make_entry(EntryKind.SPENT, 1), bad]) for bad in refused]
        good = store.write([make_entry(EntryKind.SPENT, 2)])
        for future in futures:
            with pytest.raises((StoreError, UsageError)):
                future.result()
        good.result()
        assert [(entry.number, entry.record.micros) for entry in store.ledger_entries()] == [(1, 2)]
        assert [balance.spent_micros for balance in store.ledger_balances()] == [2]

    def test_a_reservation_sees_the_balances_and_writes_what_it_grants(self, store: Store) -> None:
        """Of the days that it asks for, with what was queued before it; its caller gets the value."""
        store.write([make_entry(EntryKind.RESERVED, 100)])
        store.write([replace(make_entry(EntryKind.RESERVED, 7), day=dt.date(2020, 1, 1))])
        seen: list[Sequence[LedgerBalance]] = []

        def check(balances: Sequence[LedgerBalance]) -> Granted[str]:
            seen.append(balances)
            return Granted("granted", [make_job("r/1.0.0"), make_entry(EntryKind.RESERVED, 11, job_id="r/1.0.0")])

        assert store.reserve(check, since=TODAY).result() == "granted"
        assert [balance.reserved_micros for balance in seen[0]] == [100]
        assert [balance.reserved_micros for balance in store.ledger_balances(since=TODAY)] == [111]
        assert store.job_ledger("r/1.0.0")[0].micros == 11

    def test_a_reservation_that_fails_writes_nothing(self, store: Store) -> None:
        """If its check raises, or an entry cannot be stored; other calls are not touched."""

        def refuse(_balances: Sequence[LedgerBalance]) -> Granted[None]:
            raise LookupError("over the budget")

        def name_no_job(_balances: Sequence[LedgerBalance]) -> Granted[None]:
            entry = make_entry(EntryKind.RESERVED, 1)
            return Granted(None, [make_job("r/1.0.0"), entry, replace(entry, job_id="nowhere")])

        refused, failed = store.reserve(refuse), store.reserve(name_no_job)
        store.write([make_entry(EntryKind.RESERVED, 2)]).result()
        with pytest.raises(LookupError, match="over the budget"):
            refused.result()
        with pytest.raises(StoreError):
            failed.result()
        assert [entry.micros for entry in store.ledger()] == [2]
        assert [job.job_id for job in store.jobs("r")] == ["r/0.0.0"]

    def test_changes_of_shared_state_write_entries_too(self, store: Store) -> None:
        """In the chain, like any other."""
        store.write([make_entry(EntryKind.RESERVED, 2)])
        store.update_shared_state("x", lambda *_: Change(b"1", None, [make_entry(EntryKind.SPENT, 1)])).result()
        assert store.ledger_anchor() == LedgerAnchor(2, store.ledger_entries()[-1].digest)

    def test_threads_that_reserve_never_grant_more_than_there_is(self, store: Store) -> None:
        """Each sees what all others were granted before."""
        with ThreadPoolExecutor(8) as pool:
            granted = list(pool.map(lambda _: reserve_within(store, 70), range(24)))
        assert sum(granted) == _LIMIT_MICROS // 70
        assert sum(entry.micros for entry in store.ledger()) == 70 * sum(granted)

    def test_processes_that_reserve_never_grant_more_than_there_is(
        self, store: Store, opening_code: str, open_store: Callable[[], Store]
    ) -> None:
        """Between two processes and this one, which all write at once, not one micro-unit is granted twice."""
        self.needs_persistence()
        others = [start_python(f"{opening_code}\n{_RESERVE}") for _ in range(2)]
        granted = sum(reserve_within(store, 10) for _ in range(60))
        for other in others:
            told, _ = other.communicate(timeout=_PATIENCE_SECONDS)
            granted += int(told)
        assert granted == _LIMIT_MICROS // 10
        found = open_store()
        entries = found.ledger_entries()
        assert [balance.reserved_micros for balance in found.ledger_balances()] == [_LIMIT_MICROS]
        assert found.ledger_anchor() == LedgerAnchor(_LIMIT_MICROS // 10, entries[-1].digest)
        assert all(later.previous == entry.digest for entry, later in pairwise(entries))
        found.close()
