"""Opening a database: fresh, older, newer, foreign, broken and out of reach."""

import datetime as dt
import math
import os
import re
import shutil
import sqlite3
import stat
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from sqlalchemy.engine.interfaces import DBAPIConnection

from qorch.errors import (
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreTooNewError,
    StoreUnavailableError,
    UsageError,
)
from qorch.model.job import JobState
from qorch.model.ledger import EntryKind, LedgerRecord
from qorch.model.ledger_chain import digest_entry, empty_head, entry_fields
from qorch.model.timing import Phase, Span
from qorch.ports.clock import WallClock
from qorch.ports.records import (
    AttemptRecord,
    CheckpointRecord,
    RawRecord,
    SessionRecord,
    SpanRecord,
    StepRecord,
    Write,
)
from qorch.testing.conformance.store_records import HERE, NOW, make_block, make_job, make_plan, make_run, start_python
from qorch.testing.conformance.store_sharing import make_claims
from qorch_jobs_db import SqlStore, open_store, sqlite_version, upgrade
from qorch_jobs_db.locks import Locks
from qorch_jobs_db.opening import MIGRATIONS, prepare_database
from qorch_jobs_db.sqlite import choose_journal, database_path, write_engine
from qorch_jobs_db.upgrade import migrate

CURRENT = max(file.name.split("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))
NEXT = f"{int(CURRENT) + 1:04}"
ADD_COLUMN = f'''"""Note what a run is for."""

import sqlalchemy as sa
from alembic import op

revision = "{NEXT}"
down_revision = "{CURRENT}"


def upgrade() -> None:
    """Note what a run is for."""
    with op.batch_alter_table("runs", recreate="always") as runs:
        runs.add_column(sa.Column("note", sa.Text(), nullable=False, server_default="-"))
'''
VISIT = """
import sqlite3
link = sqlite3.connect(input())
assert link.execute("SELECT COUNT(*) FROM runs").fetchone() == (1,)
link.close()
"""
_OLD_METRICS = '{"loss": 0.5, "accuracy": NaN, "norm": Infinity}'
BREAK = ADD_COLUMN.replace("    with op", "    op.drop_table('spans')\n    raise ValueError('no')\n    with op")


def _open(path: Path) -> SqlStore:
    return open_store(str(path), clock=WallClock())


def _fill(path: Path) -> None:
    with closing(_open(path)) as store:
        store.write([make_run("r"), make_job("r/0.0.0"), make_block(4)]).result()


def _execute(path: Path, *statements: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as link, link:
        return [row for statement in statements for row in link.execute(statement)]


def _scripts(folder: Path, *, next_one: str) -> Path:
    scripts = folder / "migrations"
    shutil.copytree(MIGRATIONS, scripts)
    (scripts / "versions" / f"{NEXT}_note.py").write_text(next_one)
    return scripts


def test_a_fresh_database_is_for_its_owner_only(tmp_path: Path) -> None:
    """Mode 0600 for the file and its write-ahead log, 0700 for the folders that were made."""
    path = tmp_path / "a" / "b" / "x.db"
    with closing(_open(path)) as store:
        store.write([make_run("r")]).result()
        files = [path, path.with_name("x.db-wal"), path.with_name("x.db-shm")]
        assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600] * 3
        folders = [path.parent, path.parent.parent, path.with_name("x.db.locks")]
        assert [stat.S_IMODE(folder.stat().st_mode) for folder in folders] == [0o700] * 3


def test_writes_are_synchronous_and_logged_ahead(tmp_path: Path) -> None:
    """WAL, synchronous=FULL and foreign keys on the writing connection."""
    _fill(tmp_path / "x.db")
    engine = write_engine(tmp_path / "x.db")
    with engine.connect() as connection:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]
    engine.dispose()
    assert found == ["wal", 2, 1, 10_000]


def test_without_wal_the_journal_is_truncated(tmp_path: Path) -> None:
    """On a file system without shared memory the store falls back, and says which mode it came to."""
    uri = f"file:{tmp_path}/x.db?vfs=unix-dotfile"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as link:
        assert choose_journal(cast("DBAPIConnection", link)) == "truncate"


def test_a_database_in_truncate_mode_is_used_as_it_is(tmp_path: Path) -> None:
    """Every connection asks for the mode again, since the file does not remember it."""
    path = tmp_path / "x.db"
    _fill(path)
    _execute(path, "PRAGMA journal_mode=DELETE")
    with closing(_open(path)) as store:
        store.write([make_job("r/0.0.1")]).result()
        assert len(store.jobs("r")) == 2
        assert path.with_name("x.db-journal").stat().st_size == 0


@pytest.mark.parametrize("url", ["postgresql://u:secret@host/db", "sqlite://", "sqlite:///:memory:", "::://"])
def test_other_urls_are_refused_without_showing_secrets(url: str) -> None:
    """A UsageError that says what to write."""
    with pytest.raises(UsageError, match="sqlite:////") as caught:
        database_path(url)
    assert "secret" not in str(caught.value)


def test_urls_and_paths_name_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Absolute, relative and bare."""
    monkeypatch.chdir(tmp_path)
    wanted = tmp_path / "x.db"
    assert {database_path(url) for url in (f"sqlite:///{wanted}", "sqlite:///x.db", "x.db")} == {wanted}


def test_a_path_out_of_reach_is_unavailable(tmp_path: Path) -> None:
    """A folder, and a path below a file."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "x.db"):
        with pytest.raises(StoreUnavailableError, match=path.name):
            _open(path)


@pytest.mark.parametrize("size_bytes", [1, 99, 511, 512, 1025, 5000])
def test_what_is_no_database_is_corrupt_and_untouched(tmp_path: Path, size_bytes: int) -> None:
    """A text file keeps its content, whatever its length."""
    path = tmp_path / "notes.txt"
    path.write_text("n" * size_bytes)
    with pytest.raises(StoreCorruptError, match="not a database"):
        _open(path)
    assert path.read_text() == "n" * size_bytes


def test_opening_twice_keeps_the_locks_of_the_first(tmp_path: Path) -> None:
    """Without them, another process that comes and goes would delete the write-ahead log in use."""
    path = tmp_path / "x.db"
    with closing(_open(path)) as store:
        store.write([make_run("r")]).result()
        _open(path).close()
        visitor = start_python(VISIT)
        visitor.communicate(f"{path}\n", timeout=60)
        assert visitor.returncode == 0
        assert path.with_name("x.db-wal").exists()
        store.write([make_run("s")]).result()
        assert len(store.runs()) == 2


def test_a_database_of_another_program_is_refused_and_untouched(tmp_path: Path) -> None:
    """Nothing is added to it."""
    path = tmp_path / "other.db"
    _execute(path, "CREATE TABLE birds (name TEXT)")
    with pytest.raises(StoreCorruptError, match="another program"):
        _open(path)
    assert _execute(path, "SELECT name FROM sqlite_master") == [("birds",)]


@pytest.mark.parametrize("meta", ["name TEXT, value TEXT", "birds TEXT"])
def test_another_program_with_our_table_names_is_refused_and_untouched(tmp_path: Path, meta: str) -> None:
    """A database without a store id is not upgraded, and not copied."""
    path = tmp_path / "other.db"
    _execute(path, f"CREATE TABLE meta ({meta})", "CREATE TABLE alembic_version (version_num TEXT)")
    _execute(path, "INSERT INTO alembic_version VALUES ('0001')")
    before = _schema(path)
    with pytest.raises(StoreCorruptError, match="no store id"):
        _open(path)
    assert _schema(path) == before
    assert list(tmp_path.glob("*.backup-*")) == []


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    """A pipe, or a device such as /dev/null, which would lose everything; nothing is made beside it."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(StoreUnavailableError, match="not a plain file"):
        _open(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_database_is_corrupt(tmp_path: Path) -> None:
    """Pages of noise behind a sound header are found at opening or by the check."""
    path = tmp_path / "x.db"
    _fill(path)
    content = bytearray(path.read_bytes())
    content[100:] = b"\xa5" * (len(content) - 100)
    path.write_bytes(content)
    with pytest.raises(StoreCorruptError, match=str(path)):
        _open(path)


def test_a_truncated_database_is_corrupt(tmp_path: Path) -> None:
    """A file that lost its second half is not opened."""
    path = tmp_path / "x.db"
    _fill(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreCorruptError, match=str(path)):
        _open(path)


def test_a_newer_database_asks_for_a_newer_qorch(tmp_path: Path) -> None:
    """And is left as it is."""
    path = tmp_path / "x.db"
    _fill(path)
    _execute(path, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreTooNewError, match="upgrade"):
        _open(path)
    assert _execute(path, "SELECT version_num FROM alembic_version") == [("9999",)]


def test_a_revision_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    """Another program that uses Alembic, or none at all."""
    path = tmp_path / "x.db"
    _fill(path)
    _execute(path, "UPDATE alembic_version SET version_num = 'ab12cd'")
    with pytest.raises(StoreCorruptError, match="ab12cd"):
        _open(path)
    _execute(path, "DELETE FROM alembic_version")
    with pytest.raises(StoreCorruptError, match="None"):
        _open(path)


def test_migrations_make_the_schema_that_a_fresh_database_has(tmp_path: Path) -> None:
    """Table for table, index for index, view for view."""
    _fill(tmp_path / "fresh.db")
    engine = write_engine(tmp_path / "migrated.db", has_foreign_keys=False)
    with engine.begin() as connection:
        migrate(connection, scripts=MIGRATIONS)
    engine.dispose()
    fresh = _schema(tmp_path / "fresh.db")
    assert _schema(tmp_path / "migrated.db") == fresh
    assert len(fresh) > 20


def _schema(path: Path) -> dict[tuple[object, ...], str]:
    """The words of every table, index and view, whatever the order in which they are declared."""
    query = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
    return {row[:3]: " ".join(sorted(re.sub('[,"]', " ", str(row[3])).split())) for row in _execute(path, query)}


def test_an_older_database_is_upgraded_behind_a_backup(tmp_path: Path) -> None:
    """From the newest to one more: rows kept, the views anew, a private backup in the old revision."""
    path = tmp_path / "x.db"
    _fill(path)
    before = _execute(path, "SELECT value FROM meta ORDER BY name")
    prepare_database(path, clock=WallClock(), is_claimed=_never, scripts=_scripts(tmp_path, next_one=ADD_COLUMN))
    assert _execute(path, "SELECT version_num FROM alembic_version") == [(NEXT,)]
    assert _execute(path, "SELECT run_id, note FROM runs") == [("r", "-")]
    assert _execute(path, "SELECT value FROM meta ORDER BY name") == before
    assert _execute(path, "SELECT n_rows FROM block_overview", "SELECT name FROM run_overview") == [
        (4,),
        ("name",),
    ]
    (backup,) = tmp_path.glob("x.db.backup-*")
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert _execute(backup, "SELECT version_num FROM alembic_version") == [(CURRENT,)]


def test_the_first_release_is_upgraded_without_loss(tmp_path: Path) -> None:
    """A database of revision 0001 with rows in every table: all are kept, and it equals a fresh one."""
    path, fresh = tmp_path / "old.db", tmp_path / "fresh.db"
    with closing(_open(fresh)) as store:
        store.write(_one_of_each()).result()
    tables = _make_first_release(path, source=fresh)
    assert len(tables) == 11
    before = {table: _rows(path, table) for table in tables}
    assert all(before.values())
    assert _execute(path, "SELECT metrics FROM steps") == [(_OLD_METRICS,)]
    with closing(_open(path)) as store:
        assert store.check() == []
        assert {table: _rows(path, table) for table in tables} == {
            **before,
            "alembic_version": [(CURRENT,)],
            "attempts": [(*before["attempts"][0], None, "qorch 0123456789abcdef")],
            "ledger": [_chained(path)],
            "jobs": [(*before["jobs"][0], None, None, None, None, None)],
            "runs": [(*before["runs"][0], 1, "{}", None)],
            "sessions": [(*before["sessions"][0], 0, "{}")],
            "spans": [(*before["spans"][0], None, None)],
            "steps": [("r", 0, 0, *before["steps"][0][3:6], None, None)],
        }
        metrics = store.metrics("r")
        assert [(metric.step, metric.ordinal, metric.name, metric.logged_at) for metric in metrics] == [
            (0, 0, "loss", NOW), (0, 1, "accuracy", NOW), (0, 2, "norm", NOW),
        ]  # fmt: skip
        assert [metric.value for metric in metrics] == [0.5, pytest.approx(math.nan, nan_ok=True), math.inf]
        store.write([make_plan(), RawRecord("r/0.0.0", "r", b"answer", NOW)]).result()
        assert store.claim_rows("r", make_claims(1)).result() == ["r"]
        assert store.job_plan("r/0.0.0") is not None
    assert _schema(path) == _schema(fresh)
    (backup,) = tmp_path.glob("old.db.backup-*")
    assert _execute(backup, "SELECT version_num FROM alembic_version") == [("0001",)]
    assert _execute(backup, "SELECT COUNT(*) FROM spans") == [(1,)]


def _chained(path: Path) -> tuple[object, ...]:
    """The row of ledger that a new database would have for the entry of ``_one_of_each``."""
    ((store_id,),) = _execute(path, "SELECT value FROM meta WHERE name = 'store_id'")
    record = _one_of_each()[-1]
    assert isinstance(record, LedgerRecord)
    record = replace(record, day=NOW.date())
    first = empty_head(str(store_id))
    return (1, *entry_fields(record), first, digest_entry(1, record, previous=first))


def _never(run_id: str) -> bool:
    del run_id
    return False


def _one_of_each() -> list[Write]:
    return [
        replace(make_run("r"), summary='{"charges": true}'),
        make_job("r/0.0.0"),
        make_block(4),
        SessionRecord("r", 0, 17, "host", NOW),
        StepRecord("r", 0, 0, NOW, 10, 0),
        AttemptRecord("r/0.0.0", 0, "0123456789abcdef01", NOW),
        SpanRecord("r", 0, Span(Phase.EXECUTE, 1, 2)),
        CheckpointRecord("r", HERE, b"state", NOW),
        LedgerRecord("r", "r/0.0.0", EntryKind.SPENT, "USD", 1, NOW),
    ]


def _make_first_release(path: Path, *, source: Path) -> list[str]:
    """A database as revision 0001 made it, with the rows of another; the names of its tables."""
    with closing(sqlite3.connect(path, isolation_level=None)) as link:
        choose_journal(cast("DBAPIConnection", link))
    engine = write_engine(path, has_foreign_keys=False)
    with engine.begin() as connection:
        migrate(connection, scripts=MIGRATIONS, revision="0001")
    engine.dispose()
    named = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    tables = [str(name) for (name,) in _execute(path, named)]
    with closing(sqlite3.connect(path, isolation_level=None)) as link:
        link.execute("ATTACH ? AS theirs", (str(source),))
        for table in tables:
            if table != "alembic_version":
                columns = [name for (_, name, *_) in link.execute(f"PRAGMA main.table_info({table})")]
                newer = {"metrics": f"'{_OLD_METRICS}'", **_NEWER_NAMES.get(table, {})}
                values = ", ".join(newer.get(name, name) for name in columns)
                link.execute(
                    f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM theirs.{table}"  # noqa: S608 (our own names)
                )
    return tables


_COUNTS = {"rows_executed": "executions", "rows_from_cache": "executions_from_cache"}
_NEWER_NAMES = {"jobs": {"n_rows": "n_executions"}, "sessions": _COUNTS, "steps": _COUNTS}


def _rows(path: Path, table: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as link:
        return list(link.execute(f"SELECT * FROM {table}"))  # noqa: S608 (our own name)


def test_a_database_on_which_an_older_process_works_is_not_upgraded(tmp_path: Path) -> None:
    """Its next write would fail, in the middle of a training; once it has ended the database is opened as ever."""
    path, fresh = tmp_path / "old.db", tmp_path / "fresh.db"
    with closing(_open(fresh)) as store:
        store.write(_one_of_each()).result()
    _make_first_release(path, source=fresh)
    with Locks(path).claim("r"), pytest.raises(StoreUnavailableError, match=r"at work on run r .* until that run"):
        _open(path)
    assert _execute(path, "SELECT version_num FROM alembic_version") == [("0001",)]
    assert list(tmp_path.glob("*.backup-*")) == []
    with closing(_open(path)) as store:
        assert store.check() == []


def test_an_upgrade_without_room_for_its_copy_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It says how much it needs; a copy that fails half way is not left on the full disk; a large one is told of."""
    path = tmp_path / "x.db"
    _fill(path)
    scripts = _scripts(tmp_path, next_one=ADD_COLUMN)
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    with monkeypatch.context() as patch:
        patch.setattr(upgrade.shutil, "disk_usage", lambda _: usage)
        with pytest.raises(StoreFullError, match="where 0 MB are free; it is unchanged"):
            prepare_database(path, clock=WallClock(), is_claimed=_never, scripts=scripts)
    with monkeypatch.context() as patch:
        patch.setattr(upgrade.sqlite3, "connect", _full_disk)
        with pytest.raises(StoreFullError, match="the disk is full"):
            upgrade.back_up(path, target=tmp_path / "x.db.backup-1")
    assert list(tmp_path.glob("*.backup-*")) == []
    monkeypatch.setattr(upgrade, "LARGE_BYTES", 1000)
    prepare_database(path, clock=WallClock(), is_claimed=_never, scripts=scripts)
    (backup,) = tmp_path.glob("x.db.backup-*")
    assert f"stays at {backup} until you delete it" in caplog.text


def _full_disk(_path: str) -> object:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorname = "SQLITE_FULL"

    def fail(_target: object) -> None:
        raise error

    return SimpleNamespace(backup=fail, close=lambda: None)


def test_a_failing_upgrade_changes_nothing(tmp_path: Path) -> None:
    """The transaction is rolled back, also a table that was dropped, and the message names the backup."""
    path = tmp_path / "x.db"
    _fill(path)
    with pytest.raises(StoreError, match="backup-"):
        prepare_database(path, clock=WallClock(), is_claimed=_never, scripts=_scripts(tmp_path, next_one=BREAK))
    with closing(_open(path)) as store:
        assert store.check() == []
        assert store.runs() == [make_run("r")]
        assert store.spans("r") == []


def test_the_views_answer_plain_questions(tmp_path: Path) -> None:
    """A run's rows, a job's run and a block's size are one SELECT away."""
    path = tmp_path / "x.db"
    _fill(path)
    with closing(_open(path)) as store:
        store.write([replace(make_run("s"), created_at=NOW)]).result()
    assert _execute(path, "SELECT run_id, jobs, steps FROM run_overview ORDER BY run_id") == [
        ("r", 0, 0),  # its only job was never sent
        ("s", 0, 0),
    ]
    assert _execute(path, "SELECT run_name, state FROM job_overview") == [("name", "planned")]
    assert _execute(path, "SELECT SUM(n_rows) FROM block_overview") == [(4,)]


def test_the_open_jobs_are_one_select_away(tmp_path: Path) -> None:
    """Those that may be at a provider, with run, backend and the key of the last attempt; ages count seconds."""
    path = tmp_path / "x.db"
    now = WallClock().now()
    jobs = [replace(make_job(f"r/0.0.{i}"), state=state, changed_at=now) for i, state in enumerate(JobState)]
    attempts = [AttemptRecord("r/0.0.2", i, f"key{i}", now - dt.timedelta(minutes=9 - i)) for i in (1, 0)]
    with closing(_open(path)) as store:
        store.write([make_run("r"), *jobs, *attempts]).result()
        wanted = [(job.job_id, job.state.value) for job in store.open_jobs()]
    assert _execute(path, "SELECT job_id, state FROM open_jobs ORDER BY job_id") == wanted
    ((run_name, backend, key, sent, changed),) = _execute(
        path,
        "SELECT run_name, backend, last_key, sent_seconds_ago, changed_seconds_ago FROM open_jobs"
        " WHERE job_id = 'r/0.0.2'",
    )
    assert (run_name, backend, key) == ("name", "aer", "key1")
    assert 480 <= cast("float", sent) < 540
    assert -0.01 <= cast("float", changed) < 60


def test_the_version_of_sqlite_is_judged() -> None:
    """Whether it has the bug that 3.51.3 mends."""
    found = sqlite_version()
    numbers = tuple(int(part) for part in found.version.split("."))
    assert found.has_wal_bug == (numbers < (3, 51, 3))


@pytest.mark.parametrize(("is_durable", "synchronous"), [(True, 2), (False, 0)])
def test_only_a_database_that_is_thrown_away_does_not_wait_for_the_disk(
    tmp_path: Path, is_durable: bool, synchronous: int
) -> None:
    """All others are synchronised at every commit (FULL)."""
    engine = write_engine(tmp_path / "x.db", is_durable=is_durable)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == synchronous
    engine.dispose()
