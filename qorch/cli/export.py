"""`qorch export`: the weights of a run's newest checkpoint as a file for torch."""

from pathlib import Path
from typing import Annotated

import typer

from qorch.cli.options import DbOption, JsonOption, RunArgument
from qorch.cli.output import print_json
from qorch.errors import UsageError
from qorch.model.text import printable


def export(
    run: RunArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What to write, such as model.pt.")],
    state: Annotated[
        int, typer.Option(metavar="N", min=0, help="Which state of save=(model, optimizer), from 0: the model.")
    ] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the weights of a run's newest checkpoint to a file.

    Load it with model.load_state_dict(torch.load("model.pt", weights_only=True)).
    """
    from qorch.cli.database import open_database
    from qorch.stored_run import open_run

    if file.exists() and not force:
        raise UsageError(f"{file} is there already; choose another name, or replace it with --force")
    with open_database(db) as store:
        stored = open_run(run, db=store)
        stored.export(file, state=state)
    if as_json:
        print_json({"run": stored.run_id, "file": str(file), "state": state})
    else:
        print(printable(f"wrote state {state} of run {stored.run_id} to {file}"))
