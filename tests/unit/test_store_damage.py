"""Damage inside a sound file: found by checksums, named, and never handed on."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from qorch.errors import StoreCorruptError
from qorch.model.identity import Position
from qorch.ports.clock import WallClock
from qorch.ports.records import CheckpointRecord, RawRecord
from qorch.testing.conformance.store_records import (
    CONTEXT,
    GATES,
    HERE,
    MEASUREMENT,
    NOW,
    make_block,
    make_job,
    make_plan,
    make_run,
)
from qorch_jobs_db import SqlStore, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    """A store with one block and three checkpoints."""
    with closing(open_store(str(tmp_path / "x.db"), clock=WallClock())) as store:
        points = [CheckpointRecord("r", Position(i, 0), bytes([65 + i]) * 9, NOW) for i in range(3)]
        store.write([make_run("r"), make_job("r/0.0.0"), make_block(3), *points]).result()
        yield store


def _damage(store: SqlStore, statement: str) -> None:
    with closing(sqlite3.connect(store.location)) as link, link:
        assert link.execute(statement).rowcount == 1


FLIP = "UPDATE row_blocks SET result = CAST(substr(result, 1, 39) || x'5a' || substr(result, 41) AS BLOB)"


@pytest.mark.parametrize(
    "statement", [FLIP, "UPDATE row_blocks SET shots = 999", "UPDATE row_blocks SET context = 'aa'"]
)
def test_a_changed_result_is_never_handed_on(store: SqlStore, statement: str) -> None:
    """Neither by position nor by id; the message names block and job, and the check finds it."""
    (keys,) = store.block_keys(CONTEXT, MEASUREMENT, GATES)
    _damage(store, statement)
    with pytest.raises(StoreCorruptError, match=r"block 1 of job 'r/0\.0\.0'"):
        store.blocks_at("r", HERE)
    with pytest.raises(StoreCorruptError, match=r"block 1 of job 'r/0\.0\.0'"):
        store.block_results([keys.block_id])
    assert len(store.check()) == 1


@pytest.mark.parametrize("column", ["row_keys", "places"])
def test_changed_keys_and_places_are_noticed(store: SqlStore, column: str) -> None:
    """A wrong key would hand back the sample of another row."""
    _damage(store, FLIP.replace("result", column))
    with pytest.raises(StoreCorruptError, match="block 1"):
        store.block_keys(CONTEXT, MEASUREMENT, GATES)
    with pytest.raises(StoreCorruptError, match="block 1"):
        store.blocks_at("r", HERE)


def test_a_damaged_checkpoint_is_passed_over(store: SqlStore) -> None:
    """For the one before it; where none is sound, there is none."""
    _damage(store, "UPDATE checkpoints SET content = x'00' WHERE step = 2")
    found = store.last_checkpoint("r")
    assert found is not None
    assert found.position == Position(1, 0)
    _damage(store, "UPDATE checkpoints SET content = x'00' WHERE step = 1")
    assert store.last_checkpoint("r") is None
    assert len(store.check()) == 2


def test_two_checkpoints_are_kept(store: SqlStore) -> None:
    """The newest two, so that there is one to fall back to."""
    with closing(sqlite3.connect(store.location)) as link:
        assert link.execute("SELECT step FROM checkpoints ORDER BY number").fetchall() == [(1,), (2,)]


@pytest.fixture
def asked(store: SqlStore) -> SqlStore:
    """The store with a plan and an answer of its job, too."""
    store.write([make_job("r/0.0.1"), make_plan(), RawRecord("r/0.0.0", "r", b"answer", NOW)]).result()
    return store


@pytest.mark.parametrize(
    "statement",
    [
        FLIP.replace("row_blocks", "job_plans").replace("result", "content"),
        "UPDATE job_plans SET content = x'01'",
        "UPDATE job_plans SET job_id = 'r/0.0.1'",
    ],
)
def test_a_changed_plan_is_never_handed_on(asked: SqlStore, statement: str) -> None:
    """Nor one of another job; the message names the job, and the check finds it."""
    _damage(asked, statement)
    with pytest.raises(StoreCorruptError, match=r"plan of job 'r/0\.0\.[01]'"):
        [asked.job_plan(job_id) for job_id in ("r/0.0.0", "r/0.0.1")]
    assert len(asked.check()) == 1


@pytest.mark.parametrize(
    "statement",
    [
        FLIP.replace("row_blocks", "raw_results").replace("result,", "content,").replace("SET result", "SET content"),
        "UPDATE raw_results SET is_quarantined = 1",
        "UPDATE raw_results SET codec = 'zlib'",
        "UPDATE raw_results SET received_at = '2027-01-01T00:00:00.000000Z'",
    ],
)
def test_a_changed_answer_is_never_handed_on(asked: SqlStore, statement: str) -> None:
    """Nor one whose time, quarantine or codec was changed; the message names the job, and the check finds it."""
    _damage(asked, statement)
    with pytest.raises(StoreCorruptError, match=r"answer to job 'r/0\.0\.0'"):
        asked.raw_result("r/0.0.0")
    assert len(asked.check()) == 1


def test_a_sound_store_has_no_findings(asked: SqlStore) -> None:
    """The check of an undamaged store is empty."""
    assert asked.check() == []


def test_a_row_without_its_parent_is_found(store: SqlStore) -> None:
    """Another program may have deleted a job."""
    _damage(store, "DELETE FROM jobs")
    assert store.check() == ["a row of row_blocks belongs to no row of jobs"]
