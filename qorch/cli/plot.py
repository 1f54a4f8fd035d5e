"""`qorch plot`: the metrics of runs as a picture."""

from pathlib import Path
from typing import Annotated

import typer

from qorch.cli.options import DbOption, JsonOption, RunsArgument
from qorch.cli.output import print_json
from qorch.errors import UsageError
from qorch.model.text import printable

_METRIC = Annotated[
    list[str] | None, typer.Option("--metric", metavar="NAME", help="Which, such as loss; may be repeated. [all]")
]
_AXIS = Annotated[str, typer.Option("--x", metavar="steps|executions|seconds", help="What they are drawn against.")]
_OUT = Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="A .png or .svg file.")]
_SUFFIXES = (".png", ".svg")


def plot(
    runs: RunsArgument,
    metrics: _METRIC = None,
    axis: _AXIS = "steps",
    out: _OUT = Path("qorch.png"),
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw the metrics of one or several runs: one picture per metric, one line per run.

    Executions are all that the training asked for, with those from the cache; seconds are those of its steps.
    """
    from qorch.audit.plot import AXES, draw
    from qorch.cli.database import open_database
    from qorch.stored_run import open_run

    if axis not in AXES:
        raise UsageError(f"--x is '{axis}'; choose one of {', '.join(AXES)}")
    if out.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"--out is '{out}'; give a file that ends in {' or '.join(_SUFFIXES)}")
    with open_database(db) as store:
        found = {run.run_id: run for run in (open_run(name, db=store) for name in runs)}
        curves = [(run.run_id, run.steps(), run.history().records) for run in found.values()]
    drawn = draw(curves, out, metrics=metrics, axis=axis)
    if as_json:
        print_json({"file": str(out), "runs": list(found), "metrics": drawn, "x": axis})
    else:
        line = f"drew {', '.join(drawn)} of {len(found)} {'run' if len(found) == 1 else 'runs'} to {out}"
        print(printable(line))
