"""`qorch audit verify`, as a user types it."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from filled_books import fill_books

from qorch.audit.verification import format_anchor
from qorch.ports.clock import WallClock
from qorch_jobs_db import open_store


@pytest.fixture
def books(tmp_path: Path) -> tuple[Path, str]:
    """A database with a ledger, and its anchor as a report prints it."""
    path = tmp_path / "x.db"
    with closing(open_store(str(path), clock=WallClock())) as store:
        return path, format_anchor(fill_books(store))


def _execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as link, link:
        for statement in statements:
            link.execute(statement)


def test_a_ledger_that_is_whole_is_said_to_be(typed: Any, books: tuple[Path, str]) -> None:
    """With its anchor, which the report of every run prints too; as JSON; and through an earlier anchor."""
    path, anchor = books
    done = typed("audit", "verify", "--db", str(path), "--anchor", anchor)
    assert (done.code, done.out) == (0, f"the ledger in {path} is whole\nanchor: {anchor}\n")
    document = json.loads(typed("audit", "verify", "--db", str(path), "--json").out)
    count, digest = anchor.split(":")
    ledger = {"entries": int(count), "digest": digest}
    assert document == {"database": str(path), "is_whole": True, "ledger": ledger, "findings": []}
    assert f"  ledger: anchor {anchor}\n" in typed("report", "r", "--db", str(path)).out
    assert json.loads(typed("report", "r", "--db", str(path), "--json").out)["ledger"] == ledger


def test_every_finding_is_a_line_and_the_exit_code_is_1(typed: Any, books: tuple[Path, str]) -> None:
    """A name that was changed cannot steer the terminal."""
    path, anchor = books
    kept = shutil.copy(path, path.with_name("kept.db"))
    triggers = [f"DROP TRIGGER ledger_keeps_{what}" for what in ("entries", "values", "numbers")]
    changed = "UPDATE ledger SET job_id = char(27) || '[2J' WHERE entry = 9"
    _execute(path, *triggers, changed, "DELETE FROM ledger WHERE entry = 12")
    done = typed("audit", "verify", "--db", str(path))
    lines = done.out.splitlines()
    assert done.code == 1
    assert lines[:2] == ["entry 9 (job \\x1b[2J) was altered", "entry 12 is missing"]
    assert lines[-1] == f"anchor: {anchor}"
    document = json.loads(typed("audit", "verify", "--db", str(path), "--json").out)
    assert document["findings"][1] == {"entry": 12, "job": None, "finding": "entry 12 is missing"}
    later = typed("audit", "verify", "--db", str(kept), "--anchor", "21:" + "0" * 64)
    assert (later.code, "entry 21 is missing" in later.out) == (1, True)


def test_what_is_no_anchor_is_a_wrong_usage(typed: Any, books: tuple[Path, str]) -> None:
    """Exit code 2, with the form that is expected."""
    done = typed("audit", "verify", "--db", str(books[0]), "--anchor", "20")
    assert (done.code, "write COUNT:DIGEST" in done.err) == (2, True)
