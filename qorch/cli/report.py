"""`qorch report`: where a run's time and money went."""

from pathlib import Path
from typing import Annotated

import typer

from qorch.cli.options import DbOption, JsonOption, RunArgument
from qorch.cli.output import print_json

_HTML = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="FILE", help="Also write it, with pictures, as one .html file that needs no network."
    ),
]


def report(run: RunArgument, html: _HTML = None, db: DbOption = None, as_json: JsonOption = False) -> None:
    """Show where a run's time and money went."""
    from qorch.audit.report import make_report
    from qorch.cli.database import open_database, require_run
    from qorch.cli.pages import check_html, save_page

    if html is not None:
        check_html(html)
    with open_database(db) as store:
        found = require_run(store, run)
        made = make_report(store, found.run_id)
        if html is not None:
            save_page(store, found, html)
    if as_json:
        print_json(made.to_json())
    else:
        print(made)
        if html is not None:
            print(f"\nwrote {html}")
