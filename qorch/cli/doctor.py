"""`qorch doctor`: what is wrong with this machine, this installation, this database, or with backends."""

from dataclasses import asdict
from typing import Annotated

import typer

from qorch.cli.options import DbOption, JsonOption
from qorch.cli.output import print_json, print_table


def doctor(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[BACKEND]...", help="Full names, such as ionq:qpu.forte-1, to be checked as well."),
    ] = None,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check this machine, installation and database, and the backends that are named: their providers are asked.

    Nothing is sent that costs. Exits with 1 if something will not work.
    """
    from qorch.cli.backend_health import examine_backends
    from qorch.cli.database import database_url
    from qorch.cli.health import FAIL, examine

    findings = [*examine(database_url(db)), *examine_backends(names or [])]
    if as_json:
        print_json({"checks": [asdict(finding) for finding in findings]})
    else:
        print_table(("check", "status", "finding"), [(item.name, item.status, item.message) for item in findings])
    if any(finding.status == FAIL for finding in findings):
        raise typer.Exit(1)
