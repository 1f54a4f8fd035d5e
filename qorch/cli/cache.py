"""`qorch cache`: how many results are stored, and deleting them."""

import datetime
import re
from typing import TYPE_CHECKING, Annotated

import typer

from qorch.cli.options import DbOption, JsonOption, RunOption
from qorch.cli.output import format_bytes, print_aside, print_json, print_table
from qorch.errors import UsageError

if TYPE_CHECKING:
    from qorch.ports.store import Room

app = typer.Typer(help="Look at stored results, or delete them.", rich_markup_mode=None)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_MAX_NUMBER = 10_000


@app.command()
def stats(db: DbOption = None, as_json: JsonOption = False) -> None:
    """Show how many results are stored, free and paid, by run, and the room on the disk."""
    from qorch.cli.database import open_database
    from qorch.config import read_config

    keep_bytes = read_config().keep_free_bytes
    with open_database(db) as store:
        figures, room = store.cache_statistics(), store.room()
        location = store.location
    free = {"rows": figures.free_rows, "bytes": figures.free_bytes}
    paid = {"rows": figures.rows - figures.free_rows, "bytes": figures.bytes - figures.free_bytes}
    if as_json:
        by_run = [{"run": run, "rows": rows, "bytes": size} for run, rows, size in figures.runs]
        total = {"blocks": figures.blocks, "rows": figures.rows, "bytes": figures.bytes}
        kinds = {"free": free, "paid": paid, "keep_free_bytes": keep_bytes}
        sizes = {
            "file_bytes": room.file_bytes, "unused_bytes": room.unused_bytes, "disk_free_bytes": room.disk_bytes
        }  # fmt: skip
        print_json({"database": location, **total, **kinds, **sizes, "runs": by_run})
        return
    print(f"{figures.rows:,} rows in {figures.blocks:,} blocks, {format_bytes(figures.bytes)}, in {location}")
    print(f"free: {free['rows']:,} rows, {format_bytes(free['bytes'])} of {describe_bound(keep_bytes)}")
    print(f"paid: {paid['rows']:,} rows, {format_bytes(paid['bytes'])}, kept until you prune them")
    print(
        f"file: {format_bytes(room.file_bytes)}, {format_bytes(room.unused_bytes)} of it unused;"
        f" {format_bytes(room.disk_bytes)} left on the disk"
    )
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

    Runs, jobs and the ledger stay. A run that is not done would execute the deleted rows again. The file becomes
    smaller by what it held.
    """
    from qorch.cli.database import open_database, require_run
    from qorch.ports.clock import WallClock

    if run is None and older_than is None:
        raise UsageError("say what to prune: --run RUN, --older-than 30d (0d is everything), or both")
    before = None if older_than is None else WallClock().now() - read_age(older_than)
    with open_database(db) as store:
        run_id = None if run is None else require_run(store, run).run_id
        rows = store.prune(run_id=run_id, before=before)
        bytes_returned = shrink_store(store)
    if as_json:
        print_json({"rows_deleted": rows, "bytes_returned": bytes_returned})
    else:
        print(f"deleted {rows:,} rows; the database is {format_bytes(bytes_returned)} smaller")


def shrink_store(store: "Room") -> int:
    """Give the store's unused room back to the disk; how many bytes. Prints on standard error if that takes long."""
    room = store.room()
    if room.obstacle:
        print_aside(f"nothing was given back to the disk yet: {room.obstacle}")
    elif room.is_rewritten and room.unused_bytes:
        print_aside("this database was made by an older qorch: writing it anew, once, so that it can become smaller …")
    return store.shrink()


def describe_bound(keep_bytes: int | None) -> str:
    """How many free results are kept, and how to change that."""
    from qorch.config import format_size

    if keep_bytes is None:
        return "any size (QORCH_KEEP_FREE=unlimited)"
    return f"at most {format_size(keep_bytes)} (QORCH_KEEP_FREE)"


def read_age(text: str) -> datetime.timedelta:
    """``"30d"``, ``"12h"``, ``"45m"`` or ``"2w"``. Raises UsageError for anything else."""
    match = re.fullmatch(r"(\d{1,5})([mhdw])", text, re.ASCII)
    if match is None or int(match[1]) > _MAX_NUMBER:
        raise UsageError(f"'{text}' is not an age; write for example 30d, 12h, 45m or 2w")
    return datetime.timedelta(**{_UNITS[match[2]]: int(match[1])})
