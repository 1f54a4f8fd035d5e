"""`qorch compare`: gradient methods, backends or values of an option side by side, over several seeds."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qorch.cli.arguments import whole_number
from qorch.cli.completion import complete_workloads
from qorch.cli.exit_codes import DONE
from qorch.cli.interrupts import Stopped, Stopper
from qorch.cli.options import DbOption, JsonOption
from qorch.cli.output import print_aside, print_json
from qorch.cli.sweep import calm_threads, exit_code, read_terms
from qorch.cli.sweeps import DirectionOption, check_outputs
from qorch.cli.training_options import (
    BackendOption,
    BatchSizeOption,
    DataDirOption,
    EpochsOption,
    GradientOption,
    LimitOption,
    SeedOption,
    ShotsOption,
    read_workload,
)
from qorch.errors import UnknownNameError, UsageError
from qorch.model.text import printable

if TYPE_CHECKING:
    from qorch.cli.compare_table import ComparedVariants
    from qorch.cli.sweep_trials import SweptProgram
    from qorch.ports.store import Store
    from qorch.sweeps.stored_trial import StoredTrial
    from qorch.sweeps.study import Study
    from qorch.sweeps.training_curve import TrainingCurve
    from qorch.sweeps.trial import Trial
    from qorch.sweeps.trial_process import TrialTerms
    from qorch.sweeps.trials import TrialOutcome
    from qorch.sweeps.variant import Variant

_WHAT = Annotated[str, typer.Argument(metavar="WORKLOAD", help="What is trained.", autocompletion=complete_workloads)]
_GRADIENTS = Annotated[
    str | None,
    typer.Option(metavar="G,G…", help="Gradient methods that are compared. [parameter-shift,spsa]"),
]
_BACKENDS = Annotated[
    str | None, typer.Option(metavar="B,B…", help="Backends that are compared, such as local,aer,mock:ibm.ibm_fez.")
]
_OVER = Annotated[
    str | None, typer.Option(metavar="NAME=VALUE,VALUE…", help="Values of any other option that are compared.")
]
_SET = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="VARIANT.OPTION=VALUE", help="An option of one of them, such as spsa.lr=0.05; may be repeated."
    ),
]
_SEEDS = Annotated[
    int, typer.Option(metavar="N", parser=whole_number(1, 1000), help="How many seeds each is trained with.")
]
_METRIC = Annotated[str, typer.Option(metavar="NAME", help="What is compared, of all that the workload logs.")]
_PLOT = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Draw it over circuits, money, seconds: .png or .svg.")
]
_CSV = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write the mean curves to a CSV file.")]
_NAME = Annotated[
    str | None, typer.Option(metavar="NAME", help="The comparison's name. [the workload's, and -compare]")
]
_PARALLEL = Annotated[
    int,
    typer.Option(
        metavar="N", parser=whole_number(1, 256), help="Trainings at once; more than one share the machine's time."
    ),
]
_BUDGET = Annotated[str | None, typer.Option(help='The most that all together may cost, such as "25 USD".')]
_ACCEPT_UNKNOWN_PRICE = Annotated[
    bool, typer.Option("--accept-unknown-price", help="Train also where what circuits cost is not known.")
]


@dataclass(frozen=True)
class _Files:
    """What is written at the end, beside the table."""

    plot: Path | None
    csv: Path | None
    as_json: bool


def compare(
    context: typer.Context,
    workload: _WHAT,
    gradients: _GRADIENTS = None,
    backends: _BACKENDS = None,
    over: _OVER = None,
    settings: _SET = None,
    seeds: _SEEDS = 5,
    metric: _METRIC = "loss",
    direction: DirectionOption = None,
    name: _NAME = None,
    parallel: _PARALLEL = 1,
    budget: _BUDGET = None,
    backend: BackendOption = None,
    shots: ShotsOption = None,
    epochs: EpochsOption = None,
    batch_size: BatchSizeOption = None,
    limit: LimitOption = None,
    gradient: GradientOption = None,
    data_dir: DataDirOption = None,
    seed: SeedOption = None,
    accept_unknown_price: _ACCEPT_UNKNOWN_PRICE = False,
    plot: _PLOT = None,
    csv: _CSV = None,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train with each variant and each seed, and say which reaches more with the same circuits, money and seconds.

    Each training is a run of its own. The same command goes on with a comparison that was stopped, and repeats no
    training that is finished; with more seeds it adds trainings. The workload's own options are given like the others.
    """
    from qorch.sweeps.ranking import check_direction
    from qorch.sweeps.study import Study
    from qorch.sweeps.variant import read_variants

    check_outputs(plot, csv)
    check_direction(direction)
    variants = read_variants(gradients=gradients, backends=backends, over=over, settings=settings or ())
    given = {"shots": shots, "epochs": epochs, "batch-size": batch_size, "limit": limit, "gradient": gradient,
             "data-dir": data_dir}  # fmt: skip
    texts = {key: str(value) for key, value in given.items() if value is not None}
    study = Study(
        name=name or f"{workload}-compare", budget=budget, cache="resume", metric=metric, direction=direction,
        parallel=parallel,
    )  # fmt: skip
    swept = _read_program(context, workload, study, texts, variants, backend=backend)
    terms = read_terms(study, db, accepts_unknown_price=accept_unknown_price)
    trials = _make_trials(swept, variants, first_seed=seed or 0, n_seeds=seeds)
    outcomes = _carry_out(swept, study, terms, trials)
    code = exit_code(outcomes)
    try:
        _show(swept, study, terms.db, variants, trials, files=_Files(plot, csv, as_json), outcomes=outcomes)
    except UsageError as error:
        if code == DONE:
            raise
        print_aside(str(error))
    if code != DONE:
        raise typer.Exit(code)


def _read_program(
    context: typer.Context,
    name: str,
    study: "Study",
    options: dict[str, str],
    variants: "Sequence[Variant]",
    *,
    backend: str | None,
) -> "SweptProgram":
    """What is trained. Raises UsageError for an option that it does not have."""
    from qorch.cli.sweep_trials import SweptProgram, check_grid
    from qorch.sweeps.trial import Trial, check_sweep_name
    from qorch.sweeps.variant import BACKEND

    workload, own = read_workload(name, context, command="compare")
    check_sweep_name(str(study.name))
    base = Trial(str(study.name), name, backend=backend, options=options | own)
    grid = {key: (value,) for variant in variants for key, value in variant.options.items()}
    swept = SweptProgram(base, grid, workload)
    # What one variant has of its own may be given for the others; what is compared may not.
    compared = next(iter(variants[0].options))
    fixed = {key: value for key, value in base.options.items() if key == compared}
    checked = replace(base, options=fixed, backend=backend if compared == BACKEND else None)
    check_grid(replace(swept, base=checked), is_sampled=False, is_agreed=True)
    return swept


def _make_trials(
    swept: "SweptProgram", variants: "Iterable[Variant]", *, first_seed: int, n_seeds: int
) -> "list[tuple[Variant, Trial]]":
    """Seed by seed, so that a comparison that is stopped has pairs."""
    return [
        (variant, swept.trial({**variant.options, "seed": str(seed)}))
        for seed in range(first_seed, first_seed + n_seeds)
        for variant in variants
    ]


def _carry_out(
    swept: "SweptProgram", study: "Study", terms: "TrialTerms", trials: "Sequence[tuple[Variant, Trial]]"
) -> "list[TrialOutcome]":
    """Check everything, then train."""
    from qorch.cli.sweep_progress import SweepProgress
    from qorch.cli.sweep_trials import backend_modules, check_trials
    from qorch.cli.trial_work import LOADED, train_trial
    from qorch.machine import available_cores
    from qorch.sweeps.trials import TrialWatcher, run_trials

    planned, parallel = [trial for _, trial in trials], study.parallel or 1
    progress = SweepProgress(len(planned), terms.db, metric=study.metric)
    calm_threads()
    check_trials(swept, planned, terms)
    stopper = Stopper()
    stopper.hint = lambda: "the same command goes on with this comparison\n"
    try:
        with stopper.listen():
            return run_trials(
                planned, replace(terms, threads=max(1, available_cores() // parallel)), work=train_trial,
                parallel=parallel, modules=[*LOADED, *backend_modules(planned)],
                watcher=TrialWatcher(ended=progress.end),
            )  # fmt: skip
    except Stopped as stopped:
        print_aside(stopper.hint())
        raise typer.Exit(stopped.exit_code) from stopped


def _show(
    swept: "SweptProgram",
    study: "Study",
    db: str,
    variants: "Sequence[Variant]",
    trials: "Sequence[tuple[Variant, Trial]]",
    *,
    files: _Files,
    outcomes: "Sequence[TrialOutcome]",
) -> None:
    """Print what was found, and write the files."""
    from qorch.cli.compare_table import csv_of_comparison, describe_comparison, print_comparison
    from qorch.cli.sweeps import write_table
    from qorch.sweeps.comparison_plot import draw_comparison

    for outcome in outcomes:
        if outcome.problem:
            print_aside(f"{outcome.trial}: {outcome.state}: {outcome.problem}")
    view = _read_comparison(swept, study, db, variants, trials)
    if files.csv is not None:
        write_table(files.csv, csv_of_comparison(view))
    if files.plot is not None:
        draw_comparison(view.comparison, files.plot, metric=view.metric, sign=view.sign, title=view.title)
    if files.as_json:
        print_json(describe_comparison(view))
    else:
        print_comparison(view)


def _read_comparison(
    swept: "SweptProgram",
    study: "Study",
    db: str,
    variants: "Sequence[Variant]",
    trials: "Sequence[tuple[Variant, Trial]]",
) -> "ComparedVariants":
    from qorch.cli.compare_table import ComparedVariants
    from qorch.ports.clock import WallClock
    from qorch.stores import open_store
    from qorch.sweeps.comparison import compare as compare_curves
    from qorch.sweeps.ranking import Ranking, usual_direction
    from qorch.sweeps.stored_trial import read_trials

    ranking = Ranking(str(study.metric), study.direction or usual_direction(str(study.metric)))
    sign = -1.0 if ranking.is_descending else 1.0
    with closing(open_store(db, clock=WallClock())) as store:
        curves = list(_read_curves(store, trials, metric=ranking.metric, sign=sign))
        stored = {trial.run_name: trial for trial in read_trials(store, str(study.name))}
    if not curves and any(trial.is_done for trial in stored.values()):
        raise UnknownNameError(f"no training logged '{printable(ranking.metric)}'; {_name_metrics(stored.values())}")
    return ComparedVariants(
        name=str(study.name),
        program=swept.base.program,
        metric=ranking.metric,
        sign=sign,
        variants=tuple(variants),
        comparison=compare_curves(curves),
        trials=tuple((variant, stored[trial.run_name]) for variant, trial in trials if trial.run_name in stored),
    )


def _name_metrics(trials: "Iterable[StoredTrial]") -> str:
    return f"logged were: {printable(', '.join(dict.fromkeys(name for trial in trials for name in trial.metrics)))}"


def _read_curves(
    store: "Store", trials: "Iterable[tuple[Variant, Trial]]", *, metric: str, sign: float
) -> "Iterable[TrainingCurve]":
    """Of the trainings that are done."""
    from qorch.audit.page.records import read_course
    from qorch.ports.records import RunState
    from qorch.sweeps.training_curve import read_training_curve

    for variant, trial in trials:
        run = store.find_run(trial.run_name)
        if run is not None and run.state == RunState.DONE:
            curve = read_training_curve(read_course(store, run), variant=variant.label, metric=metric, sign=sign)
            if curve is not None:
                yield curve
