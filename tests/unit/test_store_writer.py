"""The writer thread: it groups, it waits, it fails one call alone, and it stops for good where it must."""

import datetime as dt
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection

from qorch.errors import BudgetError, StoreError, StoreFullError, StoreUnavailableError
from qorch.ports.clock import WallClock
from qorch.ports.records import Change
from qorch.testing.conformance.store_records import HERE, make_block, make_job, make_run
from qorch.testing.conformance.store_sharing import grow, make_claims, read, refuse
from qorch_jobs_db import SqlStore, open_store
from qorch_jobs_db.statements import compile_texts


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    """A store with the run ``r`` and its job."""
    with closing(open_store(str(tmp_path / "x.db"), clock=WallClock())) as store:
        store.write([make_run("r"), make_job("r/0.0.0")]).result()
        yield store


@contextmanager
def _locked(store: SqlStore) -> Iterator[None]:
    """Another program is in the middle of a write."""
    with closing(sqlite3.connect(store.location, isolation_level=None)) as link:
        link.execute("BEGIN IMMEDIATE")
        yield
        link.execute("ROLLBACK")


@contextmanager
def _small_disk(*, pages: int) -> Iterator[None]:
    """Connections that are opened meanwhile find the disk full at so many pages."""

    def limit(link: DBAPIConnection, _entry: object) -> None:
        link.cursor().execute(f"PRAGMA max_page_count={pages}")

    event.listen(Engine, "connect", limit)
    try:
        yield
    finally:
        event.remove(Engine, "connect", limit)


def test_calls_that_wait_together_share_a_commit(store: SqlStore) -> None:
    """A hundred calls behind a busy database take two transactions at most."""
    before = store.commits
    with _locked(store):
        futures = [store.write([make_job(f"r/0.0.{number}")]) for number in range(100)]
    for future in futures:
        future.result()
    assert 1 <= store.commits - before <= 2
    assert len(store.jobs("r")) == 100


def test_a_bad_call_in_a_group_fails_alone(store: SqlStore) -> None:
    """Its neighbours in the same transaction are applied, in their order."""
    with _locked(store):
        good = [store.write([make_job(f"r/0.0.{number}")]) for number in range(5)]
        bad = store.write([make_job("r/0.0.8"), make_job("nobody/0.0.0")])
        good += [store.write([make_job(f"r/0.0.{number}")]) for number in range(5, 8)]
    with pytest.raises(StoreError, match="FOREIGN KEY"):
        bad.result()
    for future in good:
        future.result()
    assert [job.job_id for job in store.jobs("r")] == [f"r/0.0.{number}" for number in range(8)]


def test_a_database_that_stays_locked_fails_the_call_and_not_the_store(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the patience of the connection; once the lock is gone, writing goes on."""
    monkeypatch.setattr("qorch_jobs_db.sqlite.BUSY_SECONDS", 0.05)
    with closing(open_store(store.location, clock=WallClock())) as hasty:
        with _locked(store), pytest.raises(StoreUnavailableError, match="locked"):
            hasty.write([make_job("r/0.0.1")]).result()
        hasty.write([make_job("r/0.0.2")]).result()
    assert [job.job_id for job in store.jobs("r")] == ["r/0.0.0", "r/0.0.2"]


def test_a_group_behind_a_locked_database_fails_together(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one call after the other, each of which would wait for as long again."""
    monkeypatch.setattr("qorch_jobs_db.sqlite.BUSY_SECONDS", 0.3)
    with closing(open_store(store.location, clock=WallClock())) as hasty, _locked(store):
        started = time.monotonic()
        futures = [hasty.write([make_job(f"r/0.0.{number}")]) for number in range(40)]
        assert all(isinstance(future.exception(), StoreUnavailableError) for future in futures)
        assert time.monotonic() - started < 40 * 0.3 / 2


def test_accounts_and_claims_share_the_commit_of_writes(store: SqlStore) -> None:
    """A hundred calls of all kinds behind a busy database take two transactions at most."""
    before = store.commits
    with _locked(store):
        counts = [store.update_shared_state("a", grow) for _ in range(30)]
        claims = [store.claim_rows("r", make_claims(number)) for number in range(30)]
        written = [store.write([make_job(f"r/0.0.{number}")]) for number in range(1, 41)]
    assert [future.result() for future in counts] == list(range(1, 31))
    assert [future.result() for future in claims] == [["r"]] * 30
    assert [future.result() for future in written] == [None] * 40
    assert 1 <= store.commits - before <= 2


def test_an_account_changes_once_where_its_group_is_done_again(store: SqlStore) -> None:
    """A bad neighbour makes the group apply call by call; a change that raises does not even do that."""
    before = store.commits
    with _locked(store):
        first = store.write([make_job("r/0.0.1")])
        counts = [store.update_shared_state("a", grow), store.update_shared_state("a", grow)]
        refused = store.update_shared_state("a", refuse)
        bad: list[Future[Any]] = [store.write([make_job("nobody/0.0.0")]), store.claim_rows("nobody", make_claims(1))]
        counts.append(store.update_shared_state("a", grow))
    first.result()
    assert [future.result() for future in counts] == [1, 2, 3]
    assert isinstance(refused.exception(), BudgetError)
    assert [isinstance(future.exception(), StoreError) for future in bad] == [True, True]
    assert store.update_shared_state("a", read).result() == b"3"
    assert store.claim_rows("r", make_claims(1)).result() == ["r"]
    assert store.commits - before <= 8


def test_a_state_that_is_no_bytes_fails_alone(store: SqlStore) -> None:
    """What the database cannot hold is refused, and the account is as it was."""
    store.update_shared_state("a", grow).result()
    with pytest.raises(StoreError, match=r"x\.db"):
        store.update_shared_state("a", lambda *_: Change([], 0)).result()  # type: ignore[arg-type]
    assert store.update_shared_state("a", read).result() == b"1"


def test_the_statements_are_not_for_sqlite_alone() -> None:
    """PostgreSQL gets the same number of parameters in each, and the same conflicts are settled."""
    ours = compile_texts(sqlite.dialect())
    theirs = compile_texts(postgresql.dialect(paramstyle="format"))  # type: ignore[no-untyped-call]
    plain = [name for name in vars(ours) if name != "rows"]
    pairs = [(getattr(ours, name), getattr(theirs, name)) for name in plain]
    pairs += [(ours.rows[table], theirs.rows[table]) for table in ours.rows]
    for mine, other in pairs:
        assert mine.count("?") == other.count("%s") >= (mine != ours.read_anchor)
        assert ("ON CONFLICT" in mine) == ("ON CONFLICT" in other)


@pytest.mark.parametrize("pages", range(44, 92, 4))
def test_a_full_disk_loses_nothing(store: SqlStore, pages: int) -> None:
    """What was acknowledged stays readable; later writes fail alike; with space, a new store goes on."""
    with _small_disk(pages=pages), closing(open_store(store.location, clock=WallClock())) as full:
        futures = [full.write([make_job(f"r/1.0.{i}"), make_block(40)]) for i in range(60)]
        failed = [future for future in futures if future.exception() is not None]
        assert failed
        for future in [*failed, full.write([make_run("other")])]:
            _assert_full(future)
        kept = [f"r/1.0.{number}" for number in range(60 - len(failed))]
        assert [job.job_id for job in full.jobs("r")] == ["r/0.0.0", *kept]
    with closing(open_store(store.location, clock=WallClock())) as roomy:
        assert roomy.check() == []
        roomy.write([make_job("r/2.0.0"), make_block(40)]).result()
        assert [job.job_id for job in roomy.jobs("r")] == ["r/0.0.0", *kept, "r/2.0.0"]
        assert len(roomy.blocks_at("r", HERE)) == len(kept) + 1


def _assert_full(future: "Future[None]") -> None:
    with pytest.raises(StoreFullError, match="free space"):
        future.result()


def test_a_lost_file_system_stops_the_store(store: SqlStore) -> None:
    """Where the lock folder is gone, nothing more is written, and the first error is repeated."""
    folder = Path(f"{store.location}.locks")
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match=r"x\.db"):
            store.write([make_job("r/0.0.1")]).result()


def test_a_clock_that_fails_does_not_hang_the_waiter(tmp_path: Path) -> None:
    """The writer thread outlives an unforeseen error."""

    class BrokenClock(WallClock):
        def now(self) -> dt.datetime:
            if threading.current_thread().name == "qorch-store":
                raise RuntimeError("the clock stopped")
            return super().now()

    with closing(open_store(str(tmp_path / "x.db"), clock=BrokenClock())) as store:
        for _ in range(2):
            with pytest.raises(StoreError, match="the clock stopped"):
                store.write([make_run("r")]).result(timeout=30)


def test_closing_applies_what_waits(tmp_path: Path) -> None:
    """Queued calls are durable when close returns."""
    store = open_store(str(tmp_path / "x.db"), clock=WallClock())
    futures = [store.write([make_run(f"r{number}")]) for number in range(300)]
    store.close()
    assert all(future.done() for future in futures)
    with closing(open_store(str(tmp_path / "x.db"), clock=WallClock())) as again:
        assert len(again.runs()) == 300
