"""What `qorch jobs` says of a queued job: its place in the provider's queue, and how long ago it was seen there."""

import dataclasses
import datetime as dt
import json
from contextlib import closing
from pathlib import Path

import pytest

from qorch.cli.main import run_command
from qorch.cli.output import format_age
from qorch.model.job import JobState, QueuePlace
from qorch.ports.clock import WallClock
from qorch.stores import open_store
from qorch.testing.conformance.store_records import make_job, make_run


def fill(database: Path, *places: tuple[JobState, int | None, bool]) -> dt.datetime:
    """A run with jobs in these states, and places that were seen twelve seconds ago; when that was."""
    seen_at = WallClock().now() - dt.timedelta(seconds=12)
    jobs = [
        dataclasses.replace(
            make_job(f"r/0.0.{number}"),
            state=state,
            queue_place=None if position is None else QueuePlace(position, seen_at, is_least),
        )
        for number, (state, position, is_least) in enumerate(places)
    ]
    with closing(open_store(database, clock=WallClock())) as store:
        store.write([make_run("r"), *jobs]).result()
    return seen_at


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The database of the commands."""
    path = tmp_path / "q.db"
    monkeypatch.setenv("QORCH_DB", str(path))
    return path


def test_a_queued_job_has_its_place(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In words and as keys; a job that is over, or of which no place is known, has none."""
    queued, silent, over = (JobState.SUBMITTED, 3, False), (JobState.SUBMITTED, None, False), (JobState.DONE, 1, False)
    seen_at = fill(database, queued, silent, over, (JobState.SUBMITTED, 2001, True))
    assert run_command(["jobs", "--json"]) == 0
    names = ("queue_position", "queue_position_is_least", "queue_seen_at")
    found = [tuple(job[name] for name in names) for job in json.loads(capsys.readouterr().out)["jobs"]]
    seen = seen_at.isoformat()
    assert found == [(3, False, seen), (None, None, None), (None, None, None), (2001, True, seen)]
    assert run_command(["jobs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "queue" in lines[0]
    assert "3rd in the queue, 1" in lines[1]
    assert " s ago" in lines[1]
    assert "2,001st or later in the queue, 1" in lines[4]
    assert ["in the queue" in line for line in lines] == [False, True, False, False, True]


def test_without_places_the_table_has_no_column_for_them(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As with IonQ, which tells none."""
    fill(database, (JobState.SUBMITTED, None, False), (JobState.DONE, 1, False))
    assert run_command(["jobs"]) == 0
    assert "queue" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (13, "13th"), (21, "21st"),
     (111, "111th"), (2002, "2,002nd")],
)  # fmt: skip
def test_places_are_ordinals(number: int, text: str) -> None:
    """As a person says them."""
    assert str(QueuePlace(number, WallClock().now())) == f"{text} in the queue"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3.0, "0 s ago"), (12.4, "12 s ago"), (119.0, "119 s ago"), (130.0, "2 min ago"), (7200.0, "2 h ago"),
     (6e5, "7 d ago")],
)  # fmt: skip
def test_ages_are_short(seconds: float, text: str) -> None:
    """A clock that was set back makes no negative age."""
    assert format_age(seconds) == text
