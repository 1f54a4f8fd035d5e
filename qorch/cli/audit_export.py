"""`qorch audit export`: the ledger as a file for other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qorch.cli.completion import complete_runs
from qorch.cli.options import DbOption, JsonOption
from qorch.cli.output import print_json
from qorch.errors import UsageError
from qorch.model.text import format_count, printable

if TYPE_CHECKING:
    from qorch.ports.store import Store

FOCUS_SUFFIXES = (".csv", ".parquet")
ForceOption = Annotated[bool, typer.Option("--force", help="Replace files that are there.")]
FocusOption = Annotated[
    Path | None,
    typer.Option("--focus", metavar="FILE", help="Write its charges with the columns of FOCUS 1.2: .csv or .parquet."),
]


def export(
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="A run's id or name, or latest. [all]", autocompletion=complete_runs),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Write its entries: .csv, .json or .parquet.")
    ] = None,
    focus: FocusOption = None,
    force: ForceOption = False,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the ledger, or the entries of one run, to files.

    One row is one entry: reserved, spent, released or adjusted; with --focus one charge, as FOCUS 1.2 has it. Amounts
    are exact decimals. Cells that a spreadsheet would compute begin with a quote.
    """
    from qorch.cli.database import open_database, require_run

    if to is None and focus is None:
        raise UsageError("say where to: --to FILE.csv, .json or .parquet, or --focus FILE.csv or .parquet")
    check_files(to, focus, replaces=force)
    with open_database(db) as store:
        run_id = None if run is None else require_run(store, run).run_id
        written = write_files(store, run_id, to=to, focus=focus)
    if as_json:
        print_json({"run": run_id, "files": [{"file": str(file), "rows": rows} for file, rows in written]})
        return
    for file, rows in written:
        print(describe_file(file, rows))


def check_files(to: Path | None, focus: Path | None, *, replaces: bool) -> None:
    """Raise UsageError for a file that cannot be asked for, or must not be replaced."""
    from qorch.audit.exports.tables import check_file

    if to is not None:
        check_file(to, replaces=replaces)
    if focus is not None:
        check_file(focus, suffixes=FOCUS_SUFFIXES, replaces=replaces)


def describe_file(file: Path, rows: int) -> str:
    """Such as ``wrote 12 rows to cats.csv``."""
    return f"wrote {format_count(rows, 'row')} to {printable(str(file))}"


def write_files(store: "Store", run_id: str | None, *, to: Path | None, focus: Path | None) -> list[tuple[Path, int]]:
    """Write the entries (``to``) and the charges (``focus``) of a run or of all; each file with its number of rows."""
    from qorch.audit.exports.focus import METADATA, make_focus_table
    from qorch.audit.exports.ledger import make_ledger_table, read_lines
    from qorch.audit.exports.tables import write_table
    from qorch.audit.verification import anchor_json, read_anchor

    lines, anchor = read_lines(store, run_id), read_anchor(store)
    head = {"run": run_id, "ledger": anchor_json(anchor)}
    written = []
    for file, make, about in ((to, make_ledger_table, {}), (focus, make_focus_table, METADATA)):
        if file is not None:
            table = make(lines)
            write_table(table, file, head={**head, **about})
            written.append((file, len(table.rows)))
    return written
