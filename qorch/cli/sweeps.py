"""`qorch sweeps`: the sweeps of the database, or the trials of one, best first."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qorch.cli.options import DbOption, JsonOption
from qorch.cli.output import print_json, print_table
from qorch.errors import MissingPackageError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from qorch.sweeps.trial import Trial

MetricOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="What decides which trial is best. [test_accuracy, or else the loss]"),
]
DirectionOption = Annotated[
    str | None,
    typer.Option(metavar="maximize|minimize", help="Which value is best. [minimize of losses, else maximize]"),
]
PlotOption = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Draw the metric against each option: .png or .svg.")
]
CsvOption = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write the table to a CSV file.")]
_NAME = Annotated[str | None, typer.Argument(metavar="[SWEEP]", help="The sweep whose trials are shown. [all sweeps]")]
_SUFFIXES = (".png", ".svg")


def sweeps(
    name: _NAME = None,
    metric: MetricOption = None,
    direction: DirectionOption = None,
    plot: PlotOption = None,
    csv: CsvOption = None,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the sweeps, or show the trials of one, best first."""
    if name is None:
        _list(db, as_json=as_json)
        return
    show_sweep(name, db, metric=metric, direction=direction, plot=plot, csv=csv, as_json=as_json)


def _list(db: str | None, *, as_json: bool) -> None:
    from qorch.cli.database import open_database
    from qorch.sweeps.stored_trial import list_sweeps

    with open_database(db) as store:
        counts, location = list_sweeps(store), store.location
    if as_json:
        print_json({"sweeps": [{"sweep": sweep, "trials": count} for sweep, count in counts.items()]})
    elif counts:
        print_table(["sweep", "trials"], [[sweep, count] for sweep, count in counts.items()])
    else:
        print(f"no sweeps in {location} yet; start one with `qorch sweep digits --grid lr=0.01,0.05`")


def show_sweep(
    sweep: str,
    db: str | None,
    *,
    metric: str | None,
    direction: str | None,
    names: Sequence[str] | None = None,
    planned: "Iterable[Trial] | None" = None,
    problems: Mapping[str, str] | None = None,
    plot: Path | None = None,
    csv: Path | None = None,
    as_json: bool = False,
) -> None:
    """Print the trials of a sweep, those of ``planned`` alone if they are given, and write its files.

    Raises UnknownNameError if there is no such sweep, or no such metric.
    """
    from qorch.cli.database import database_url
    from qorch.cli.sweep_table import csv_of_sweep, describe_sweep, print_sweep, view_sweep
    from qorch.ports.clock import WallClock
    from qorch.stores import open_store
    from qorch.sweeps.plot import draw_sweep
    from qorch.sweeps.stored_trial import read_trials

    check_outputs(plot, csv)
    with closing(open_store(database_url(db), clock=WallClock())) as store:
        stored, location = read_trials(store, sweep), store.location
    wanted = None if planned is None else {trial.run_name: trial for trial in planned}
    trials = [trial for trial in stored if wanted is None or trial.run_name in wanted]
    if not trials and wanted is None:
        raise UnknownNameError(f"there is no sweep '{sweep}' in {location}; see `qorch sweeps`")
    view = view_sweep(
        sweep, trials, metric=metric, direction=direction, names=names,
        planned=(wanted or {}).values(), problems=problems,
    )  # fmt: skip
    if csv is not None:
        write_table(csv, csv_of_sweep(view))
    if plot is not None:
        draw_sweep(view.trials, view.ranking, view.names, plot)
    if as_json:
        print_json(describe_sweep(view))
    else:
        print_sweep(view)


def check_outputs(plot: Path | None, csv: Path | None) -> None:
    """Raise UsageError for files that cannot be written, or need what is not installed, before any trial begins."""
    if plot is not None and plot.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"--plot is '{plot}'; give a file that ends in {' or '.join(_SUFFIXES)}")
    if plot is not None and find_spec("matplotlib") is None:
        raise MissingPackageError("--plot needs matplotlib: pip install 'qorch[plot]'")
    for name, file in (("plot", plot), ("csv", csv)):
        if file is not None and not file.absolute().parent.is_dir():
            raise UsageError(f"--{name} is '{file}', in a folder that does not exist; make it, or choose another")


def write_table(file: Path, text: str) -> None:
    """Write a CSV file. Raises UsageError if it cannot be written."""
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {file} ({error.strerror}); choose another file with --csv") from error
