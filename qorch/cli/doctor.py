"""`qorch doctor`: what is wrong with this machine, this installation or this database."""

from dataclasses import asdict

import typer

from qorch.cli.options import DbOption, JsonOption
from qorch.cli.output import print_json, print_table


def doctor(db: DbOption = None, as_json: JsonOption = False) -> None:
    """Check this machine, installation and database.

    Exits with 1 if something will not work.
    """
    from qorch.cli.database import database_url
    from qorch.cli.health import FAIL, examine

    findings = examine(database_url(db))
    if as_json:
        print_json({"checks": [asdict(finding) for finding in findings]})
    else:
        print_table(("check", "status", "finding"), [(item.name, item.status, item.message) for item in findings])
    if any(finding.status == FAIL for finding in findings):
        raise typer.Exit(1)
