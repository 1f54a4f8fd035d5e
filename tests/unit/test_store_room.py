"""A database becomes smaller again: new ones page by page, older ones written anew; and nothing is lost by it."""

import lzma
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from qorch.model.identity import Position
from qorch.ports.clock import WallClock
from qorch.ports.records import RunMove, RunState
from qorch.testing.conformance.store_records import HERE, make_block, make_job, make_run, start_python
from qorch_jobs_db import SqlStore, open_store, room

KEPT = Path(__file__).parents[1] / "kept" / "revision-0002.db.xz"
N_BLOCKS = 120
TRIM = """
import sys
from qorch.ports.clock import WallClock
from qorch_jobs_db import open_store
store = open_store(sys.stdin.readline().strip(), clock=WallClock())
print("open", flush=True)
sys.stdin.readline()
more = True
while more:
    more = store.trim_free(0).result().has_more
    print("piece", flush=True)
store.close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a database that is not there yet."""
    return tmp_path / "x.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqlStore]:
    """A store of one free run that is over, and holds about three megabytes."""
    with closing(_open(path)) as opened:
        _fill(opened)
        yield opened


def _open(path: Path) -> SqlStore:
    return open_store(str(path), clock=WallClock())


def _fill(store: SqlStore, *, n_blocks: int = N_BLOCKS) -> None:
    store.write([replace(make_run("r"), charges=False, state=RunState.DONE), make_job("r/0.0.0")])
    block = make_block(300, outcomes=20)
    store.write([replace(block, position=Position(step, 0)) for step in range(n_blocks)]).result()


def _pragma(path: Path, name: str) -> object:
    with closing(sqlite3.connect(path)) as link:
        return link.execute(f"PRAGMA {name}").fetchone()[0]


def _assert_totals(path: Path) -> int:
    """What is counted is what is there; the rows."""
    with closing(sqlite3.connect(path)) as link:
        counted = link.execute("SELECT run_id, blocks, rows, bytes FROM stored_results WHERE blocks > 0").fetchall()
        query = "SELECT run_id, COUNT(*), SUM(n_rows), SUM(n_bytes) FROM row_blocks GROUP BY run_id"
        assert sorted(counted) == sorted(link.execute(query).fetchall())
        assert link.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return sum(rows for _, _, rows, _ in counted)


def test_what_is_pruned_comes_back(store: SqlStore, path: Path) -> None:
    """The file and its log are smaller by what shrink says, which is nearly all that was stored."""
    held = store.cache_statistics().bytes
    before = room.file_bytes(path)
    store.prune(run_id="r")
    assert store.room().unused_bytes > 0.9 * held
    returned = store.shrink()
    assert returned > 0.9 * held
    assert room.file_bytes(path) < before - 0.9 * held
    assert store.room().unused_bytes == 0
    assert store.check() == []
    assert store.shrink() == 0


def test_trimming_gives_room_back_in_pieces(store: SqlStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is unused beyond the slack; the database holds no more than the bound and that."""
    monkeypatch.setattr("qorch_jobs_db.room.SLACK_BYTES", 200_000)
    pieces = 0
    while store.trim_free(500_000).result().has_more:
        pieces += 1
    assert pieces > 4
    assert store.room().unused_bytes <= 200_000
    assert store.cache_statistics().free_bytes <= 500_000
    store.close()
    assert path.stat().st_size < 1_000_000
    assert _assert_totals(path) > 0


def test_the_log_becomes_small_again(store: SqlStore, path: Path) -> None:
    """A reader in another connection keeps it from being emptied; once it is gone, the log is cut to its limit."""
    log = path.with_name("x.db-wal")
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT COUNT(*) FROM runs").fetchone()
        _fill_more(store, blocks=500)
        assert log.stat().st_size > 9_000_000
    for _ in range(3):
        _fill_more(store, blocks=60)
    assert log.stat().st_size <= 8_000_000


def _fill_more(store: SqlStore, *, blocks: int) -> None:
    block = make_block(300, outcomes=20)
    for start in range(0, blocks, 20):
        store.write([replace(block, position=Position(10_000 + start + i, 0)) for i in range(20)]).result()


def test_an_older_database_is_written_anew_when_it_is_pruned(path: Path) -> None:
    """Not when it is opened, and not while a run works on it; afterwards it shrinks in place."""
    path.write_bytes(lzma.decompress(KEPT.read_bytes()))
    with closing(_open(path)) as store:
        assert _pragma(path, "auto_vacuum") == 0
        store.write([replace(make_run("r"), charges=False), make_job("r/0.0.0")])
        store.write([replace(make_block(300, outcomes=20), position=Position(i, 0)) for i in range(40)]).result()
        held = store.cache_statistics().bytes
        store.prune(run_id="r")
        # A run that is resumed has its process before it is stored as running, and one that is recovered always has.
        store.write([RunMove("r", RunState.STOPPED)]).result()
        with store.claim_run("r"):
            assert "no run is at work" in store.room().obstacle
            assert store.shrink() == 0
        assert (store.room().obstacle, store.room().is_rewritten) == ("", True)
        kept = store.runs()
        assert store.shrink() > 0.8 * held
        assert not store.room().is_rewritten
        assert store.runs() == kept
        assert store.check() == []
        store.write([make_block(3)]).result()
        assert len(store.blocks_at("r", HERE)) == 1
    assert _pragma(path, "auto_vacuum") == 2
    _assert_totals(path)


def test_an_older_database_without_room_stays_as_it_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence says how much room it takes to write it anew."""
    path.write_bytes(lzma.decompress(KEPT.read_bytes()))
    with closing(_open(path)) as store:
        _fill(store)
        store.prune(run_id="r")
        usage = room.shutil.disk_usage(path.parent)._replace(free=1_000)
        monkeypatch.setattr(room.shutil, "disk_usage", lambda _folder: usage)
        assert "where 0 MB are free" in store.room().obstacle
        assert store.shrink() == 0
    assert _pragma(path, "auto_vacuum") == 0


def test_two_processes_trim_one_database_and_one_is_killed(store: SqlStore, path: Path) -> None:
    """Every block goes once, what is counted stays what is there, and the rest goes the next time."""
    other = start_python(TRIM)
    assert other.stdin is not None
    assert other.stdout is not None
    other.stdin.write(f"{path}\n")
    other.stdin.flush()
    assert other.stdout.readline() == "open\n"
    # Handed over before the other process may begin, so that both are at it.
    trimming = store.trim_free(0)
    other.stdin.write("go\n")
    other.stdin.flush()
    trimming.result()
    assert other.stdout.readline() == "piece\n"
    other.kill()
    other.communicate(timeout=60)
    left = _assert_totals(path)
    assert left < 300 * N_BLOCKS
    while store.trim_free(0).result().has_more:
        pass
    assert _assert_totals(path) == 0


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
def test_killed_at_any_moment_of_trimming(path: Path, seed: int) -> None:
    """kill -9 while pieces are deleted and pages given back: the database is sound, and its totals are right."""
    with closing(_open(path)) as store:
        _fill(store, n_blocks=600)
    process = start_python(TRIM)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{path}\ngo\n")
    process.stdin.flush()
    for _ in range(random.Random(seed).randrange(1, 25)):
        process.stdout.readline()
    process.kill()
    process.communicate(timeout=60)
    _assert_totals(path)
    with closing(_open(path)) as store:
        while store.trim_free(0).result().has_more:
            pass
        store.shrink()
        assert store.check() == []
    assert path.stat().st_size < 400_000
