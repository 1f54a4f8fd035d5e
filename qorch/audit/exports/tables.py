"""Tables for other programs, written to CSV, JSON and Parquet files."""

import csv
import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from qorch.errors import MissingPackageError, UsageError
from qorch.model.text import as_cell

if TYPE_CHECKING:
    import pyarrow

Cell = str | int | Decimal | datetime.datetime | None
SUFFIXES = (".csv", ".json", ".parquet")


class CellKind(StrEnum):
    """What the cells of a column are; any may be missing (None). AMOUNT: exact decimals with six places at most."""

    TEXT = "text"
    INTEGER = "integer"
    AMOUNT = "amount"
    TIME = "time"


@dataclass(frozen=True)
class Table:
    """Rows of cells under ``columns``: the kind of each by its name."""

    columns: Mapping[str, CellKind]
    rows: Sequence[Sequence[Cell]]


def check_file(file: Path, *, suffixes: Sequence[str] = SUFFIXES, replaces: bool = False) -> None:
    """Raise UsageError for a file of another kind, or one that is there already and must not be replaced."""
    if file.suffix.lower() not in suffixes:
        raise UsageError(f"'{file}' ends in none of {', '.join(suffixes)}; the end of the name says what is written")
    if file.exists() and not replaces:
        raise UsageError(f"{file} is there already; choose another name, or replace it with --force")


def write_table(table: Table, file: Path, *, head: Mapping[str, object] | None = None) -> None:
    """Write a table, as the end of the file's name says.

    ``head``: what a JSON document has besides its ``rows``, and a Parquet file as its metadata, in JSON.
    In CSV, text that a spreadsheet would compute is made harmless (``as_cell``). Times are ISO 8601 in UTC. JSON has
    amounts as texts, which are exact everywhere. Raises UsageError if the file cannot be written, MissingPackageError
    for Parquet without pyarrow.
    """
    part = file.with_name(f"{file.name}.part")
    try:
        _write_part(table, part, file.suffix.lower(), head or {})
        part.replace(file)
    except OSError as error:
        raise UsageError(f"cannot write {file} ({error.strerror or error}); choose another file") from error
    finally:
        part.unlink(missing_ok=True)


def format_time(moment: datetime.datetime) -> str:
    """Such as ``2026-11-30T10:17:53Z``, with microseconds if there are any."""
    return moment.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")


def _write_part(table: Table, part: Path, suffix: str, head: Mapping[str, object]) -> None:
    if suffix == ".parquet":
        _write_parquet(table, part, head)
        return
    with part.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
        if suffix == ".csv":
            _write_csv(table, stream)
        else:
            _write_json(table, stream, head)


def _write_csv(table: Table, stream: TextIO) -> None:
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(map(as_cell, table.columns))
    for row in table.rows:
        writer.writerow([_as_csv(cell) for cell in row])


def _as_csv(cell: Cell) -> Cell:
    plain = _as_json(cell)
    return as_cell(plain) if isinstance(cell, str) else plain


def _write_json(table: Table, stream: TextIO, head: Mapping[str, object]) -> None:
    rows = [dict(zip(table.columns, map(_as_json, row), strict=True)) for row in table.rows]
    text = json.dumps({**head, "rows": rows}, indent=1, ensure_ascii=True, allow_nan=False)
    # Equal JSON, of which a page that has it inside a script reads no end of that script.
    stream.write(text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026") + "\n")


def _as_json(cell: Cell) -> Any:
    if isinstance(cell, datetime.datetime):
        return format_time(cell)
    return f"{cell:f}" if isinstance(cell, Decimal) else cell


def _write_parquet(table: Table, file: Path, head: Mapping[str, object]) -> None:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingPackageError("Parquet files need pyarrow: pip install 'qorch[parquet]'") from error
    types = _parquet_types(pyarrow)
    metadata = {name: value if isinstance(value, str) else json.dumps(value) for name, value in head.items()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in table.columns.items()], metadata=metadata)
    columns = [[_as_utf8(row[place]) for row in table.rows] for place in range(len(table.columns))]
    arrays = [pyarrow.array(cells, type=field.type) for cells, field in zip(columns, schema, strict=True)]
    pyarrow.parquet.write_table(pyarrow.table(arrays, schema=schema), file)


def _parquet_types(pyarrow: Any) -> "Mapping[CellKind, pyarrow.DataType]":
    return {
        CellKind.TEXT: pyarrow.string(),
        CellKind.INTEGER: pyarrow.int64(),
        CellKind.AMOUNT: pyarrow.decimal128(38, 6),
        CellKind.TIME: pyarrow.timestamp("us", tz="UTC"),
    }


def _as_utf8(cell: Cell) -> Cell:
    """Text without what no UTF-8 can have: half of a surrogate pair becomes its escape."""
    return cell.encode("utf-8", "backslashreplace").decode() if isinstance(cell, str) else cell
