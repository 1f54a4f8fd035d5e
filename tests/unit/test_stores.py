"""Database URLs find their stores, whichever are installed."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

import qorch
from qorch import stores
from qorch.cli.database import find_missing, open_database
from qorch.cli.health import FAIL, examine
from qorch.errors import MissingPackageError, UnknownNameError
from qorch.ports.clock import Clock, WallClock
from qorch.stores import database_file, open_store
from qorch.testing.conformance.store_records import make_run
from qorch.testing.fakes.store import MemoryStore
from qorch_jobs_db import SqlStore

URL = "shelf+driver://user:secret@host/lab"


class ShelfStore(MemoryStore):
    """A store of another kind, which stays open between commands."""

    def close(self) -> None:
        """It is a server's."""


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Iterator[ShelfStore]:
    """A store that is installed for URLs that begin with ``shelf://``, and whose database has the run ``r``."""
    store = ShelfStore(WallClock())
    store.write([make_run("r")]).result()
    module = ModuleType("installed_shelf")

    def open_shelf(url: str, *, clock: Clock) -> ShelfStore:
        assert (url, isinstance(clock, WallClock)) == (URL, True)
        return store

    vars(module)["open_shelf"] = open_shelf
    monkeypatch.setitem(sys.modules, "installed_shelf", module)
    entries = [
        EntryPoint("shelf", "installed_shelf:open_shelf", "qorch.stores"),
        EntryPoint("sqlite", "qorch_jobs_db:open_store", "qorch.stores"),
        EntryPoint("lost", "no_such_package.store:open_store", "qorch.stores"),
    ]
    monkeypatch.setattr("qorch.stores.entry_points", lambda *, group: entries if group == "qorch.stores" else [])
    yield store
    MemoryStore.close(store)


def test_paths_and_sqlite_urls_are_one_store(tmp_path: Path) -> None:
    """By the installed entry point; with or without a driver's name."""
    path = tmp_path / "x.db"
    with closing(open_store(path, clock=WallClock())) as store:
        assert isinstance(store, SqlStore)
        store.write([make_run("r")]).result()
    for url in (str(path), f"sqlite:///{path}", f"sqlite+pysqlite:///{path}"):
        with closing(stores.open_store(url, clock=WallClock())) as store:
            assert [run.run_id for run in store.runs()] == ["r"]
        assert database_file(url) == path


def test_an_unknown_scheme_says_what_is_installed() -> None:
    """Without the password in the URL."""
    with pytest.raises(UnknownNameError, match=r"no store for oracle databases; installed are: .*sqlite") as caught:
        open_store("oracle://user:secret@host/lab", clock=WallClock())
    assert "secret" not in str(caught.value)


def test_a_store_without_its_package_says_what_to_install(shelf: ShelfStore) -> None:
    """As a backend does."""
    with pytest.raises(MissingPackageError, match="pip install no_such_package"):
        open_store("lost://host", clock=WallClock())


def test_another_store_is_used_by_commands_and_by_python(shelf: ShelfStore) -> None:
    """It gets the whole URL; no file is looked for."""
    assert find_missing(URL) is None
    with open_database(URL) as store:
        assert store is shelf
    assert [run.record.run_id for run in qorch.runs(db=URL)] == ["r"]
    assert qorch.open_run("r", db=URL).place == URL


def test_the_doctor_examines_any_store(shelf: ShelfStore) -> None:
    """What is about files is left out; everything else is said, and no secret."""
    findings = {finding.name: finding for finding in examine(URL)}
    assert findings["database"].message == "memory is sound"
    assert "results" in findings
    assert not findings.keys() & {"sqlite", "file system", "disk", "database mode"}
    assert all(finding.status != FAIL and "secret" not in finding.message for finding in findings.values())


def test_the_installed_entry_point_is_the_store_on_disk() -> None:
    """As pyproject.toml says."""
    found = importlib.metadata.entry_points(group="qorch.stores")["sqlite"]
    assert found.value == "qorch_jobs_db:open_store"
