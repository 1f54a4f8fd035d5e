"""The ledger as a file: every entry with its job, exactly, in each format."""

import csv
import datetime as dt
import json
import sys
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet
import pytest
from paid_run import SPENT_MICROS, make_paid_run, paid_writes

from qorch.audit.exports.ledger import COLUMNS, make_ledger_table, read_lines
from qorch.audit.exports.tables import CellKind, Table, check_file, write_table
from qorch.errors import MissingPackageError, UsageError
from qorch.ports.clock import WallClock
from qorch.testing.fakes.store import MemoryStore

HUGE = Decimal("999999999.999999")
SMALL = Table(
    {"name": CellKind.TEXT, "count": CellKind.INTEGER, "cost": CellKind.AMOUNT, "at": CellKind.TIME},
    [
        ("a", 1, Decimal("-0.000001"), dt.datetime(2026, 1, 2, 3, 4, 5, 6, dt.UTC)),
        (None, None, None, None),
        ("half \ud800 of a pair", 2**62, HUGE, dt.datetime(2026, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=1)))),
    ],
)


def test_every_entry_is_a_row_with_its_job_and_its_run() -> None:
    """Also of another run of the database, unless one run is asked for; of a deleted one the name stays."""
    with closing(MemoryStore(WallClock())) as store:
        for run in (make_paid_run(), make_paid_run("dogs-1", name="dogs")):
            store.write(paid_writes(run)).result()
        store.delete_run("dogs-1", keep_books=True)
        table = make_ledger_table(read_lines(store))
        own = make_ledger_table(read_lines(store, "dogs-1"))
        entries = store.ledger_entries()
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [row["entry"] for row in rows] == list(range(1, 29))
    assert [row["digest"] for row in rows] == [entry.digest for entry in entries]
    assert own.rows == table.rows[14:]
    last = rows[-1]
    assert (last["run"], last["run_name"], last["backend"]) == ("dogs-1", "dogs", "braket:garnet")
    assert (last["job"], last["provider_id"], last["job_state"]) == ("dogs-1/0.0.0", "task", "done")
    assert (last["kind"], last["debit"], last["credit"], last["amount"]) == (
        "adjusted", "spent", "free", Decimal("-0.25")
    )  # fmt: skip
    spent = sum(row["amount"] for row in rows if row["debit"] == "spent" and isinstance(row["amount"], Decimal))
    assert spent == Decimal(2 * SPENT_MICROS).scaleb(-6)


def test_all_pages_of_a_long_ledger_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read in pieces."""
    monkeypatch.setattr("qorch.audit.exports.ledger._PAGE", 3)
    with closing(MemoryStore(WallClock())) as store:
        store.write(paid_writes()).result()
        assert len(read_lines(store)) == 14


def test_csv_has_exact_amounts_and_times(tmp_path: Path) -> None:
    """As plain decimals, and ISO 8601 in UTC; what is missing is empty."""
    write_table(SMALL, tmp_path / "x.csv")
    with (tmp_path / "x.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    assert rows == [
        ["name", "count", "cost", "at"],
        ["a", "1", "-0.000001", "2026-01-02T03:04:05.000006Z"],
        ["", "", "", ""],
        ["half \\ud800 of a pair", str(2**62), str(HUGE), "2026-01-01T23:00:00Z"],
    ]


def test_json_has_amounts_as_texts(tmp_path: Path) -> None:
    """A reader that takes numbers for floats gets them exactly."""
    write_table(SMALL, tmp_path / "x.json", head={"run": "</script>"})
    text = (tmp_path / "x.json").read_text(encoding="ascii")
    document = json.loads(text)
    assert document["run"] == "</script>"
    assert "<" not in text
    assert [row["cost"] for row in document["rows"]] == ["-0.000001", None, str(HUGE)]


def test_parquet_keeps_types(tmp_path: Path) -> None:
    """Decimals and times, no floats and no texts."""
    write_table(SMALL, tmp_path / "x.parquet")
    found = pyarrow.parquet.read_table(tmp_path / "x.parquet")
    assert [str(field.type) for field in found.schema] == [
        "string",
        "int64",
        "decimal128(38, 6)",
        "timestamp[us, tz=UTC]",
    ]
    assert found["cost"].to_pylist() == [row[2] for row in SMALL.rows]
    assert found["at"].to_pylist() == [row[3] for row in SMALL.rows]


def test_an_empty_ledger_is_an_empty_table(tmp_path: Path) -> None:
    """With its columns, in every format."""
    for suffix in ("csv", "json", "parquet"):
        write_table(Table(COLUMNS, []), tmp_path / f"x.{suffix}")
    assert pyarrow.parquet.read_table(tmp_path / "x.parquet").column_names == list(COLUMNS)
    assert (tmp_path / "x.csv").read_text().splitlines() == [",".join(COLUMNS)]
    assert json.loads((tmp_path / "x.json").read_text()) == {"rows": []}


def test_without_pyarrow_one_sentence_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no file is left behind."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'qorch\[parquet\]'"):
        write_table(SMALL, tmp_path / "x.parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """What was there before stays as it was."""
    (tmp_path / "folder.csv").mkdir()
    for file in (tmp_path / "folder.csv", tmp_path / "missing" / "x.csv"):
        with pytest.raises(UsageError, match="cannot write"):
            write_table(SMALL, file)
    assert [file.name for file in tmp_path.iterdir()] == ["folder.csv"]


def test_the_end_of_a_name_says_what_is_written(tmp_path: Path) -> None:
    """Another one is refused, and so is a file that is there, unless it may be replaced."""
    with pytest.raises(UsageError, match=r"ends in none of \.csv, \.json, \.parquet"):
        check_file(tmp_path / "x.xlsx")
    (tmp_path / "x.csv").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        check_file(tmp_path / "x.csv")
    check_file(tmp_path / "x.csv", replaces=True)
