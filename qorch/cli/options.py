"""The options that several commands share."""

from typing import Annotated

import typer

from qorch.cli.completion import complete_runs

DbOption = Annotated[
    str | None, typer.Option("--db", metavar="URL", help="Database: sqlite:////folder/name.db or a path.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id or name, or latest.", autocompletion=complete_runs)
]
RunsArgument = Annotated[
    list[str], typer.Argument(metavar="RUN…", help="Ids or names of runs, or latest.", autocompletion=complete_runs)
]
RunOption = Annotated[
    str | None,
    typer.Option("--run", metavar="RUN", help="Only this run: id, name, or latest.", autocompletion=complete_runs),
]
