"""`qorch report`: where a run's time and money went."""

from pathlib import Path
from typing import Annotated

import typer

from qorch.cli.audit_export import FocusOption, ForceOption, check_files, describe_file, write_files
from qorch.cli.options import DbOption, JsonOption, RunArgument
from qorch.cli.output import print_json
from qorch.errors import UsageError
from qorch.model.text import printable

_CSV = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", help="Also write its entries in the ledger to a .csv file.")
]
_HTML = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Also write it, with pictures, as one .html file for any browser."),
]


def report(
    run: RunArgument,
    html: _HTML = None,
    csv: _CSV = None,
    focus: FocusOption = None,
    force: ForceOption = False,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show where a run's time and money went; over all runs: qorch audit spend."""
    from qorch.audit.report import make_report
    from qorch.cli.database import open_database, require_run
    from qorch.cli.pages import check_html, save_page
    from qorch.config import read_config
    from qorch.prices import find_card

    if csv is not None and csv.suffix.lower() != ".csv":
        raise UsageError(f"--csv is '{csv}'; give a file that ends in .csv, or use `qorch audit export --to`")
    check_files(csv, focus, replaces=force)
    check_html(html, replaces=force)
    with open_database(db) as store:
        record = require_run(store, run)
        card = find_card(record.backend, read_config())
        made = make_report(store, record.run_id, card=card)
        written = write_files(store, record.run_id, to=csv, focus=focus)
        if html is not None:
            save_page(store, record, html, card=card)
    if as_json:
        print_json(made.to_json())
        return
    print(made)
    lines = [describe_file(file, rows) for file, rows in written]
    if html is not None:
        lines.append(f"wrote the page to {printable(str(html))}")
    for line in lines:
        print(f"\n{line}")
