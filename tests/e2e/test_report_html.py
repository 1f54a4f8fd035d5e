"""`qorch report --html` and the errors of `qorch ui`, as a user types them."""

from contextlib import closing
from typing import Any

import pytest
from drawn_run import write_run

from qorch.ports.clock import WallClock
from qorch_jobs_db import open_store


@pytest.fixture
def filled(typed: Any) -> Any:
    """The command line on a database with one run."""
    with closing(open_store(str(typed.database), clock=WallClock())) as store:
        write_run(store, "run", steps=3, jobs_per_step=2)
    return typed


def test_a_report_is_written_as_a_page_and_printed_as_before(filled: Any) -> None:
    """The file is replaced in one piece, and nothing else is left in its folder; with --json that is all of stdout."""
    file = filled.folder / "run.html"
    file.write_text("older")
    outcome = filled("report", "latest", "--html", str(file), "--force")
    assert (outcome.code, outcome.err) == (0, "")
    assert "Where the wall time went" in outcome.out
    assert outcome.out.rstrip().endswith(f"wrote the page to {file}")
    assert file.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert filled("report", "latest", "--html", str(file), "--json", "--force").document["run"] == "run"
    assert [found.name for found in filled.folder.iterdir() if "html" in found.name] == ["run.html"]


def test_a_page_that_cannot_be_written_is_an_error(filled: Any) -> None:
    """Another ending, a folder that is missing, a file that is there: nothing is left behind."""
    (filled.folder / "taken.html").write_text("mine")
    for name, text in (
        ("run.txt", "ends in none of .html"),
        ("none/run.html", "cannot write"),
        ("taken.html", "with --force"),
    ):
        outcome = filled("report", "latest", "--html", str(filled.folder / name))
        assert outcome.code == 2
        assert text in outcome.error
    assert not [found for found in filled.folder.iterdir() if found.name.startswith(".")]


def test_ui_makes_no_database(typed: Any) -> None:
    """Without one it says what makes one."""
    outcome = typed("ui")
    assert outcome.code == 2
    assert "there is no database" in outcome.error
    assert not typed.database.exists()
