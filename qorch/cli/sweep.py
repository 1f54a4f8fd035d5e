"""`qorch sweep`: train a workload or a program with many settings, over one budget and one cache."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from qorch.cli.arguments import whole_number
from qorch.cli.completion import complete_workloads
from qorch.cli.exit_codes import DONE, FAILED, HELD_JOBS, OVER_BUDGET
from qorch.cli.interrupts import Stopped, Stopper
from qorch.cli.options import DbOption, JsonOption
from qorch.cli.output import print_aside
from qorch.cli.sweeps import CsvOption, DirectionOption, MetricOption, PlotOption, check_outputs, show_sweep
from qorch.cli.train_help import is_script, script_arguments
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
from qorch.errors import UsageError

if TYPE_CHECKING:
    from qorch.cli.sweep_trials import SweptProgram
    from qorch.sweeps.search import Search
    from qorch.sweeps.study import Study
    from qorch.sweeps.trial import Trial
    from qorch.sweeps.trial_process import TrialTerms
    from qorch.sweeps.trials import TrialOutcome

_T = TypeVar("_T")
_WHAT = Annotated[
    str,
    typer.Argument(
        metavar="WORKLOAD|SCRIPT.py",
        help="What is trained, such as digits, or a program of your own.",
        autocompletion=complete_workloads,
    ),
]
_GRID = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE,VALUE…",
        help="Values of an option, such as lr=0.01,0.05; may be given again, or lr=0.01:0.05,layers=1:2."
        " With --trials also a range: lr=0.001..0.1:log.",
    ),
]
_STUDY = Annotated[Path | None, typer.Option(metavar="FILE", help="A TOML file with [grid] and the other settings.")]
_NAME = Annotated[str | None, typer.Option(metavar="SWEEP", help="The sweep's name. [the workload's, and -sweep]")]
_PARALLEL = Annotated[
    int | None, typer.Option(metavar="N", parser=whole_number(1, 256), help="Trials at once. [one per core]")
]
_BUDGET = Annotated[str | None, typer.Option(help='The most that all trials together may cost, such as "25 USD".')]
_CACHE = Annotated[str | None, typer.Option(help="resume, reuse, top_up or off. [reuse]")]
_TRIALS = Annotated[
    int | None,
    typer.Option(metavar="N", parser=whole_number(1, 10_000), help="So many trials, chosen by --sampler."),
]
_SAMPLER = Annotated[str | None, typer.Option(metavar="S", help="Optuna's: random, tpe, qmc or gp. [tpe]")]
_PRUNER = Annotated[
    str | None, typer.Option(metavar="P", help="Optuna's: median or halving ends trials that fall behind. [none]")
]
_YES = Annotated[bool, typer.Option("--yes", help="Begin more than 100 trials without asking.")]
_ACCEPT_UNKNOWN_PRICE = Annotated[
    bool, typer.Option("--accept-unknown-price", help="Train also where what circuits cost is not known.")
]


def sweep(
    context: typer.Context,
    program: _WHAT,
    grid: _GRID = None,
    study: _STUDY = None,
    name: _NAME = None,
    parallel: _PARALLEL = None,
    budget: _BUDGET = None,
    metric: MetricOption = None,
    direction: DirectionOption = None,
    trials: _TRIALS = None,
    sampler: _SAMPLER = None,
    pruner: _PRUNER = None,
    backend: BackendOption = None,
    shots: ShotsOption = None,
    epochs: EpochsOption = None,
    batch_size: BatchSizeOption = None,
    limit: LimitOption = None,
    gradient: GradientOption = None,
    data_dir: DataDirOption = None,
    seed: SeedOption = None,
    cache: _CACHE = None,
    yes: _YES = False,
    accept_unknown_price: _ACCEPT_UNKNOWN_PRICE = False,
    plot: PlotOption = None,
    csv: CsvOption = None,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train with every combination of the values of --grid, several at once, and show which was best.

    Each trial is a run of its own; all share one budget and one cache of results. The same command goes on with a sweep
    that was stopped, and repeats no trial that is finished; with more values it adds trials. The workload's own
    options are given like the others; those of a program, SCRIPT.py, stand after --.
    """
    check_outputs(plot, csv)
    asked = _read_study(
        study, grid or (), name=name, budget=budget, cache=cache, metric=metric, direction=direction, trials=trials,
        sampler=sampler, pruner=pruner, parallel=parallel,
    )  # fmt: skip
    given = _as_texts(
        {"shots": shots, "epochs": epochs, "batch-size": batch_size, "limit": limit, "gradient": gradient,
         "data-dir": data_dir}
    )  # fmt: skip
    swept = _read_program(context, program, asked, given, backend=backend, seed=seed)
    terms = read_terms(asked, db, accepts_unknown_price=accept_unknown_price)
    code = _carry_out(swept, asked, terms, is_agreed=yes, show=_Show(db=terms.db, plot=plot, csv=csv, as_json=as_json))
    if code != DONE:
        raise typer.Exit(code)


@dataclass(frozen=True)
class _Show:
    """How the sweep is shown at its end."""

    db: str
    plot: Path | None
    csv: Path | None
    as_json: bool


def _read_study(file: Path | None, grid: Sequence[str], **given: Any) -> "Study":
    """The study of the file, in which what the command line says replaces what it has; checked as far as it can be."""
    from qorch.ports.policy import as_cache_policy
    from qorch.sweeps.grid import read_grid
    from qorch.sweeps.ranking import check_direction
    from qorch.sweeps.study import Study, read_study

    base = Study() if file is None else read_study(file)
    swept = base.grid | read_grid(grid)
    study = replace(base, grid=swept, **{key: value for key, value in given.items() if value is not None})
    for option, number in (("parallel", study.parallel), ("trials", study.trials)):
        if number is not None and number < 1:
            raise UsageError(f"{option} is {number} in the study; it must be at least 1")
    check_direction(study.direction)
    as_cache_policy(study.cache)
    return study


def _read_program(
    context: typer.Context,
    program: str,
    study: "Study",
    given: dict[str, str],
    *,
    backend: str | None,
    seed: int | None,
) -> "SweptProgram":
    """What is swept, and the options that all trials have. Raises UsageError for an option that it does not take."""
    from qorch.cli.sweep_trials import SweptProgram, find_script
    from qorch.sweeps.trial import Trial, check_sweep_name

    if is_script(program):
        if unexpected := [*(f"--{name}" for name in given), *context.args]:
            raise UsageError(
                f"{program} is a program, to which qorch gives no {unexpected[0]}; what is its own stands after --, as"
                f" in `qorch sweep {program} --grid lr=0.01,0.05 -- {unexpected[0]}`"
            )
        workload, stem, options, grid = None, find_script(program).stem, study.options, study.grid
        arguments = tuple(script_arguments(context))
    else:
        workload, own = read_workload(program, context, command="sweep")
        said = {"backend": backend, "seed": seed}
        studied = {key: text for key, text in _with_hyphens(study.options).items() if said.get(key) is None}
        stem, options, arguments = program, studied | given | own, ()
        grid = _with_hyphens(study.grid)
    name = study.name or f"{stem}-sweep"
    check_sweep_name(name)
    base = Trial(name, program, backend=backend, seed=seed, options=options, arguments=arguments)
    return SweptProgram(base, grid, workload)


def _with_hyphens(options: dict[str, _T]) -> dict[str, _T]:
    """Options by their names on the command line: ``batch-size``, however they were written."""
    return {name.replace("_", "-"): value for name, value in options.items()}


def read_terms(study: "Study", db: str | None, *, accepts_unknown_price: bool) -> "TrialTerms":
    """What all trials have in common."""
    from qorch.cli.database import database_url
    from qorch.model.money import parse_money
    from qorch.sweeps.trial_process import TrialTerms

    return TrialTerms(
        db=_absolute(database_url(db)),
        budget=None if study.budget is None else parse_money(study.budget),
        cache=study.cache,
        accepts_unknown_price=accepts_unknown_price,
    )


def _absolute(db: str) -> str:
    """The database by a name that holds in any folder: a program may change it."""
    return db if "://" in db else str(Path(db).absolute())


def _carry_out(swept: "SweptProgram", study: "Study", terms: "TrialTerms", *, is_agreed: bool, show: _Show) -> int:
    """Check everything, run the trials, show them; the exit code."""
    from qorch.cli.sweep_trials import check_grid, check_trials, example_trials

    check_grid(swept, is_sampled=study.trials is not None, is_agreed=is_agreed)
    _check_search(study)
    calm_threads()
    planned = swept.grid_trials() if study.trials is None else []
    check_trials(swept, planned or example_trials(swept), terms)
    stopper = Stopper()
    stopper.hint = lambda: "the same command goes on with this sweep\n"
    try:
        with stopper.listen():
            outcomes = _run(swept, study, terms, planned)
    except Stopped as stopped:
        print_aside(stopper.hint())
        raise typer.Exit(stopped.exit_code) from stopped
    tried = planned or [outcome.trial for outcome in outcomes]
    problems = {outcome.trial.run_name: outcome.problem for outcome in outcomes if outcome.problem}
    show_sweep(
        swept.base.sweep, show.db, metric=study.metric, direction=study.direction, names=list(swept.grid),
        planned=tried, problems=problems, plot=show.plot, csv=show.csv, as_json=show.as_json,
    )  # fmt: skip
    code = exit_code(outcomes)
    if code == OVER_BUDGET:
        is_own = any(f"the budget '{swept.base.sweep}' (" in problem for problem in problems.values())
        print_aside(
            f"the budget of the sweep ({terms.budget}) is used up: repeat the command with a larger --budget"
            if is_own
            else "a budget or limit that is not the sweep's own is used up, see above: raise it, and repeat the command"
        )
    return code


def _check_search(study: "Study") -> None:
    from qorch.sweeps.search import check_search

    check_search(study.sampler, study.pruner)
    if study.trials is None and (study.sampler or study.pruner):
        raise UsageError("--sampler and --pruner choose among many trials: say how many, as in --trials 20")
    if study.trials is not None and study.metric is None:
        raise UsageError("with --trials say what they are to improve, such as --metric test_accuracy")


def _run(
    swept: "SweptProgram", study: "Study", terms: "TrialTerms", planned: "Sequence[Trial]"
) -> "list[TrialOutcome]":
    from qorch.cli.sweep_progress import SweepProgress
    from qorch.cli.sweep_trials import backend_modules
    from qorch.cli.trial_work import LOADED, train_trial
    from qorch.machine import available_cores
    from qorch.sweeps.trials import TrialOutcome, TrialWatcher, default_parallel, run_trials

    search = None if study.trials is None else _make_search(swept, study, terms)
    n_trials = study.trials or len(planned)
    progress = SweepProgress(n_trials, terms.db, metric=study.metric)

    def end(outcome: TrialOutcome) -> None:
        progress.end(outcome)
        if search is not None:
            search.end(outcome)

    parallel = study.parallel or default_parallel(n_trials)
    prunes = search is not None and study.pruner is not None
    return run_trials(
        planned if search is None else search.trials(),
        replace(terms, threads=max(1, available_cores() // parallel)),
        work=train_trial,
        parallel=parallel,
        watcher=TrialWatcher(ended=end, ends_early=search.ends_early if search is not None and prunes else None),
        modules=[*LOADED, *backend_modules(planned)],
    )


def _make_search(swept: "SweptProgram", study: "Study", terms: "TrialTerms") -> "Search":
    from qorch.sweeps.ranking import Ranking, usual_direction
    from qorch.sweeps.search import Search

    metric = study.metric or ""
    ranking = Ranking(metric, study.direction or usual_direction(metric))
    return Search(
        swept.grid, make_trial=swept.trial, ranking=ranking, n_trials=study.trials or 1, db=terms.db,
        sampler=study.sampler, pruner=study.pruner, seed=swept.base.seed or 0,
    )  # fmt: skip


def calm_threads() -> None:
    """Let torch compute in one thread here: trials are forks of this process, and would inherit its threads' locks.

    Also where a program is swept, which has not loaded torch: Optuna's sampler ``gp`` computes with it in this process.
    """
    import torch

    torch.set_num_threads(1)


def _as_texts(options: dict[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in options.items() if value is not None}


def exit_code(outcomes: "Iterable[TrialOutcome]") -> int:
    """That of the worst that happened: jobs that are held, then the budget, then a trial that failed."""
    from qorch.sweeps.trial_process import TrialState

    states = {outcome.state for outcome in outcomes}
    codes: tuple[tuple[TrialState, int], ...] = (
        (TrialState.HELD, HELD_JOBS),
        (TrialState.OVER_BUDGET, OVER_BUDGET),
        (TrialState.FAILED, FAILED),
        (TrialState.STOPPED, FAILED),
    )
    return next((code for state, code in codes if state in states), DONE)
