"""`qorch cache`: how many results are stored, and deleting them."""

import datetime
import re
from typing import Annotated

import typer

from qorch.cli.options import DbOption, JsonOption, RunOption
from qorch.cli.output import format_bytes, print_json, print_table
from qorch.errors import UsageError

app = typer.Typer(help="Look at stored results, or delete them.", rich_markup_mode=None)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_MAX_NUMBER = 10_000


@app.command()
def stats(db: DbOption = None, as_json: JsonOption = False) -> None:
    """Show how many results are stored, by run."""
    from qorch.cli.database import open_database

    with open_database(db) as store:
        figures = store.cache_statistics()
        location = store.location
    if as_json:
        by_run = [{"run": run, "rows": rows, "bytes": size} for run, rows, size in figures.runs]
        total = {"blocks": figures.blocks, "rows": figures.rows, "bytes": figures.bytes}
        print_json({"database": location, **total, "runs": by_run})
        return
    print(f"{figures.rows:,} rows in {figures.blocks:,} blocks, {format_bytes(figures.bytes)}, in {location}")
    if figures.runs:
        print_table(
            ("run", "rows", "size"), [(run, f"{rows:,}", format_bytes(size)) for run, rows, size in figures.runs]
        )


@app.command()
def prune(
    run: RunOption = None,
    older_than: Annotated[str | None, typer.Option(metavar="30d", help="Only rows older than this.")] = None,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete stored results.

    Runs, jobs and the ledger stay. A run that is not done would execute the deleted rows again.
    """
    from qorch.cli.database import open_database, require_run
    from qorch.ports import WallClock

    if run is None and older_than is None:
        raise UsageError("say what to prune: --run RUN, --older-than 30d (0d is everything), or both")
    before = None if older_than is None else WallClock().now() - read_age(older_than)
    with open_database(db) as store:
        run_id = None if run is None else require_run(store, run).run_id
        rows = store.prune(run_id=run_id, before=before)
    if as_json:
        print_json({"rows_deleted": rows})
    else:
        print(f"deleted {rows:,} rows")


def read_age(text: str) -> datetime.timedelta:
    """``"30d"``, ``"12h"``, ``"45m"`` or ``"2w"``. Raises UsageError for anything else."""
    match = re.fullmatch(r"(\d{1,5})([mhdw])", text, re.ASCII)
    if match is None or int(match[1]) > _MAX_NUMBER:
        raise UsageError(f"'{text}' is no age; write for example 30d, 12h, 45m or 2w")
    return datetime.timedelta(**{_UNITS[match[2]]: int(match[1])})
