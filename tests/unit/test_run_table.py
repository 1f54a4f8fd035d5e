"""Which runs `qorch runs` lists, in which order and columns; and names that try to be more than names."""

import csv
import math
from typing import Any

import pytest

from qorch.cli.run_table import Query, as_number, csv_text, read_filter, safe_cell, table_of
from qorch.errors import UsageError
from qorch.model.text import printable


def make(run: str, *, metrics: dict[str, float] | None = None, **settings: Any) -> dict[str, Any]:
    """A run's document."""
    return {
        "run": run, "workload": "digits", "backend": "local", "seed": 0, "cache": "resume", "state": "done",
        "created_at": "2026-01-02T03:04:05+00:00", "steps": 3, "executions": 1000, "executions_from_cache": 0,
        "wall_seconds": 1.25, "metrics": metrics or {}, "settings": settings,
    }  # fmt: skip


RUNS = (
    make("a", metrics={"loss": 0.5, "test_accuracy": 0.9}, own={"lr": "0.05"}),
    make("b", metrics={"loss": math.nan, "test_accuracy": 0.95}, own={"lr": "0.1"}),
    make("c", metrics={"loss": 0.25}, own={"lr": "0.005"}),
)


def names(**query: Any) -> str:
    """The chosen runs in order."""
    return "".join(document["run"] for document in Query(**query).choose(RUNS))


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (None, "abc"),
        ("test_accuracy", "abc"),
        ("-test_accuracy", "bac"),
        ("loss", "cab"),
        ("-loss", "acb"),
        ("lr", "cab"),
        ("settings.lr", "cab"),
        ("-metrics.loss", "acb"),
        ("-run", "cba"),
        ("-date", "abc"),
    ],
)
def test_runs_are_sorted_by_any_column(sort: str | None, expected: str) -> None:
    """Metrics and settings too, as numbers where they are; what has no value or NaN comes last either way."""
    assert names(sort=sort) == expected


@pytest.mark.parametrize("column", ["executed", "executions", "rows_executed"])
def test_executions_are_a_column_under_their_older_names(column: str) -> None:
    """``executed`` was the heading and ``rows_executed`` the key; both still sort and filter."""
    many, few = (make(run) | {"executions": n, "rows_executed": n} for run, n in (("many", 20), ("few", 3)))
    assert Query(sort=column).choose([many, few]) == [few, many]
    assert Query(filters=(read_filter(f"{column}>3"),)).choose([many, few]) == [many]


def test_reversing_turns_any_order() -> None:
    """That of a column, and that without one."""
    assert names(sort="run", is_reversed=True) == names(is_reversed=True) == "cba"
    assert names(sort="-test_accuracy", is_reversed=True) == "abc"


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (("lr=0.05",), "a"),
        (("lr=5e-2",), "a"),
        (("lr == 0.05",), "a"),
        (("lr != 0.05",), "bc"),
        (("test_accuracy>0.9",), "b"),
        (("test_accuracy>=0.9", "lr<0.1"), "a"),
        (("test_accuracy!=0.9",), "bc"),
        (("loss<=1",), "ac"),
        (("backend=local", "run>a"), "bc"),
        (("seconds<1",), ""),
    ],
)
def test_runs_are_filtered_by_any_column(conditions: tuple[str, ...], expected: str) -> None:
    """All conditions hold; a run without the column only meets !=."""
    assert names(filters=tuple(map(read_filter, conditions))) == expected


def test_the_limit_and_the_state_come_on_top() -> None:
    """The first of the sorted ones; a state that no run has leaves none."""
    assert names(sort="-test_accuracy", limit=1) == "b"
    assert names(state="failed") == ""


@pytest.mark.parametrize("text", ["lr", "", "=3", ">", "lr~3"])
def test_a_filter_without_a_condition_is_refused(text: str) -> None:
    """With an example of one."""
    with pytest.raises(UsageError, match="write for example"):
        read_filter(text)


@pytest.mark.parametrize("query", [{"sort": "acuracy"}, {"filters": (read_filter("acuracy>1"),)}])
def test_a_column_that_no_run_has_is_refused(query: dict[str, Any]) -> None:
    """With those that there are; but in an empty database nothing is wrong."""
    with pytest.raises(UsageError, match=r"'acuracy'.*metrics\.test_accuracy"):
        Query(**query).choose(RUNS)
    assert Query(**query).choose(()) == []


def test_the_table_shows_metrics_and_what_differs() -> None:
    """The metric that it is sorted by first; settings that are the same everywhere are left out."""
    headings, rows = table_of(RUNS, first="-test_accuracy")
    assert headings[:6] == ["run", "state", "test_accuracy", "loss", "lr", "backend"]
    assert rows[2][:6] == ["c", "done", None, "0.25", "0.005", "local"]
    assert "lr" not in table_of(RUNS[:1])[0]
    others = [make("x", epochs=1), {**make("y", epochs=2), "seed": 1}]
    assert table_of(others)[0][2:5] == ["seed", "epochs", "backend"]


def test_csv_has_every_column_and_no_formula() -> None:
    """Text that a spreadsheet would compute gets a quote in front, headings too; numbers stay numbers."""
    evil = make("e", metrics={"=HYPERLINK(1)": -0.5}, note="+cmd|' /C calc'!A0", at="@x", minus="-2", dash="-a")
    [headings, cells] = list(csv.reader(csv_text([evil]).splitlines()))
    row = dict(zip(headings, cells, strict=True))
    assert row["metrics.=HYPERLINK(1)"] == "-0.5"
    assert row["settings.note"] == "'+cmd|' /C calc'!A0"
    assert (row["settings.at"], row["settings.minus"], row["settings.dash"]) == ("'@x", "-2", "'-a")
    assert [safe_cell(text) for text in ("=1+1", "\t=1", "plain", None, 3, True)] == [
        "'=1+1", r"\t=1", "plain", None, 3, "True"
    ]  # fmt: skip


def test_control_characters_are_shown_and_not_obeyed() -> None:
    """Escape codes, line ends, and marks that turn the direction of a line."""
    assert printable("a\x1b[31m\n\u202eb") == r"a\x1b[31m\n\u202eb"
    assert printable("Genauigkeit ä 数") == "Genauigkeit ä 数"
    headings, rows = table_of([make("e", metrics={"\x1b[2J": 1.0}), make("f", note="\a")])
    assert all(text.isprintable() for text in [*headings, *(cell for row in rows for cell in row if cell)])


def test_only_numbers_are_numbers() -> None:
    """Text that says nan or inf is text, and so is a truth value."""
    found = [as_number(value) for value in ("3", " 1e3", "nan", "inf", True, None, [1], 10**400)]
    assert found == [3.0, 1000.0, None, None, None, None, None, None]
