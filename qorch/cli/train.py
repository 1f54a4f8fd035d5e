"""`qorch train`: train a workload, or go on with a run that was stopped."""

import asyncio
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qorch.cli.completion import complete_runs
from qorch.cli.interrupts import Stopped, Stopper
from qorch.cli.options import DbOption, JsonOption
from qorch.cli.output import print_aside
from qorch.cli.training_options import (
    BackendOption,
    BatchSizeOption,
    DataDirOption,
    EpochsOption,
    GradientOption,
    LimitOption,
    SeedOption,
    ShotsOption,
    WorkloadArgument,
    read_given,
    read_workload,
)
from qorch.config import LATEST
from qorch.errors import BudgetError, QorchError, RunStoppedError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from qorch.cli.settings import Settings
    from qorch.ports.backend import Backend
    from qorch.ports.records import RunRecord
    from qorch.run.run import Run
    from qorch.workloads.base import Options, Training, Workload

_BUDGET = Annotated[
    str | None,
    typer.Option(
        help='The most that the run may cost, such as "5 USD"; it stops before a call that may cost more than is left.'
        " With --resume it replaces the run's budget; none: it goes on without."
    ),
]
_CACHE = Annotated[str | None, typer.Option(help="resume, reuse, top_up or off. [resume]")]
_NAME = Annotated[str | None, typer.Option(metavar="RUN", help="The run's name. [the workload's]")]
_RESUME = Annotated[
    str | None,
    typer.Option(
        metavar="[RUN]",
        help="Go on with a run, by default the newest, as it was started.",
        autocompletion=complete_runs,
    ),
]
_REBUY = Annotated[
    bool, typer.Option("--rebuy", help="Go on if the circuits of stored steps have changed, and pay for them again.")
]
_ACCEPT_UNKNOWN_PRICE = Annotated[
    bool,
    typer.Option(
        "--accept-unknown-price", help="Train also where what circuits cost is not known; see `qorch prices`."
    ),
]
_LOG_FILE = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Append a log of all that happens, one JSON object a line."),
]


_BUDGET_ONLY = ("settings",)
"""What may differ of a run that goes on: all settings but its budget are those with which it was started."""


@dataclass(frozen=True)
class Consent:
    """What the user has asked of this process alone; it is not stored with the run."""

    rebuys: bool = False
    accepts_unknown_price: bool = False
    log_file: Path | None = None
    is_silent: bool = False


def train(
    context: typer.Context,
    workload: WorkloadArgument,
    backend: BackendOption = None,
    shots: ShotsOption = None,
    epochs: EpochsOption = None,
    batch_size: BatchSizeOption = None,
    limit: LimitOption = None,
    gradient: GradientOption = None,
    budget: _BUDGET = None,
    cache: _CACHE = None,
    data_dir: DataDirOption = None,
    seed: SeedOption = None,
    name: _NAME = None,
    resume: _RESUME = None,
    rebuy: _REBUY = False,
    accept_unknown_price: _ACCEPT_UNKNOWN_PRICE = False,
    log_file: _LOG_FILE = None,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a workload, and report on it.

    The workload's own options, such as --classes 3,6 of digits, are given like the others.
    """
    job, own = read_workload(workload, context, command="train")
    given = read_given(
        shots=shots, data_dir=data_dir, own=own, name=name, backend=backend, epochs=epochs, batch_size=batch_size,
        limit=limit, gradient=gradient, budget=budget, cache=cache, seed=seed,
    )  # fmt: skip
    consent = Consent(rebuys=rebuy, accepts_unknown_price=accept_unknown_price, log_file=log_file)
    run_id = _train_or_resume(job, given, resume=resume, db=db, consent=consent)
    _print_report(run_id, db=db, as_json=as_json)


def _train_or_resume(
    job: "Workload", given: dict[str, object], *, resume: str | None, db: str | None, consent: Consent
) -> str:
    """Check everything, then train; the run's id. A run that is done already is left as it is."""
    from qorch.cli.settings import new_settings, stored_settings
    from qorch.ports.records import RunState

    if resume is None:
        settings = new_settings(job.name, given)
        return train_run(job, settings, db=db, run_id=None, consent=consent)
    run = _find_resumed(job.name, resume, name=given.get("name"), db=db)
    default_epochs = job.defaults.epochs or 1
    settings, is_longer = stored_settings(run, job.name, given=given, default_epochs=default_epochs)
    if run.state == RunState.DONE and not is_longer:
        print_aside(f"run {run.run_id} is complete already; this is its report")
        return run.run_id
    return train_run(job, settings, db=db, run_id=run.run_id, consent=consent, is_longer=is_longer)


def _find_resumed(workload: str, resume: str, *, name: object, db: str | None) -> "RunRecord":
    from qorch.cli.database import find_missing, open_database, require_run
    from qorch.ports.records import RunState

    if missing := find_missing(db):
        raise UnknownNameError(f"there is no run to resume at {missing}; see `qorch runs`")
    with open_database(db) as store:
        if resume != LATEST:
            return require_run(store, resume)
        for run in store.runs():
            if run.workload == workload and name in {None, run.name} and run.state != RunState.CANCELLED:
                return run
        raise UnknownNameError(f"there is no run of {workload} to resume in {store.location}; see `qorch runs`")


def train_run(
    workload: "Workload",
    settings: "Settings",
    *,
    db: str | None,
    run_id: str | None,
    consent: Consent,
    is_longer: bool = False,
) -> str:
    """Train a new run, or go on with ``run_id``; the run's id."""
    from qorch.cli.settings import as_options, with_defaults

    settings = with_defaults(settings, workload)
    options = as_options(settings)
    workload.check(options)
    stopper = Stopper()
    if run_id is not None:
        # A resumed run takes up its jobs before start_run returns.
        stopper.hint = lambda: _resume_hint(run_id, settings.workload, db)
    try:
        with stopper.listen():
            run = _start(settings, db=db, run_id=run_id, consent=consent, is_longer=is_longer)
            stopper.hint = lambda: _end_hint(run, settings.workload, db)
            _carry_out(run, workload, options, hint=stopper.hint)
    except BudgetError as error:
        # It ends with the command that resumes the run.
        raise BudgetError(f"{error}{_name_database(db)}") from error
    except Stopped as stopped:
        if hint := stopper.hint():
            print_aside(hint)
        raise typer.Exit(stopped.exit_code) from stopped
    return run.run_id


def _carry_out(run: "Run", workload: "Workload", options: "Options", *, hint: Callable[[], str]) -> None:
    """Train until the run is complete; an error is followed by how to go on. One before it begins says so itself."""
    try:
        with run:
            training = workload.train(run, options)
            run.close(summary=json.dumps(_summarise(training)))
    except (RunStoppedError, BudgetError):
        # It was cancelled, or must be given more: its own message says so.
        raise
    except QorchError:
        print_aside(hint())
        raise


def _start(settings: "Settings", *, db: str | None, run_id: str | None, consent: Consent, is_longer: bool) -> "Run":
    """The run, on which nothing has been executed yet."""
    from qorch.cli.settings import as_stored, budgets_of_sweep
    from qorch.model.budget import NO_BUDGET
    from qorch.wiring import start_run

    return start_run(
        run_id or settings.name, backend=open_checked_backend(settings, consent), budget=settings.budget or NO_BUDGET,
        cache=settings.cache, seed=settings.seed, shots=settings.exact_or_shots, db=db, resume=run_id is not None,
        rebuy=consent.rebuys, accept_unknown_price=consent.accepts_unknown_price,
        allow_changes=("epochs", "settings") if is_longer else _BUDGET_ONLY, workload=settings.workload,
        settings=as_stored(settings), is_command=True, shared_budgets=budgets_of_sweep(settings),
        observers=[] if consent.log_file is None else [f"log:{consent.log_file}"],
        progress="off" if consent.is_silent else None,
    )  # fmt: skip


def open_checked_backend(settings: "Settings", consent: Consent) -> "Backend":
    """The backend, on which nothing has begun. Raises UsageError if it cannot run what is asked for."""
    from qorch.backends import open_backend
    from qorch.cli.settings import budgets_of_sweep
    from qorch.config import read_config
    from qorch.gradients.methods import GRADIENTS, as_method
    from qorch.limits import booked_card, check_budgets, check_exact_gradients, check_price, check_shots
    from qorch.model.budget import Budget
    from qorch.model.money import parse_money
    from qorch.ports.clock import WallClock
    from qorch.prices import load_prices

    config = read_config()
    book = load_prices(config)
    own = [] if settings.budget is None else [Budget(limit=parse_money(settings.budget), run_id=settings.name)]
    budgets = [*own, *budgets_of_sweep(settings)]
    backend = open_backend(settings.backend, config=config, clock=WallClock())
    try:
        card = check_price(backend, book, accepts_unknown=consent.accepts_unknown_price)
        check_budgets(backend, booked_card(backend, card), budgets)
        check_shots(backend, settings.exact_or_shots)
        method = as_method(settings.gradient or GRADIENTS[0])
        method.check_shots(settings.exact_or_shots)
        if method.is_computed:
            check_exact_gradients(backend)
    except UsageError:
        asyncio.run(backend.close())
        raise
    return backend


def _summarise(training: "Training") -> dict[str, object]:
    """What the run's record keeps of its last session."""
    return {"metrics": training.metrics, "weights_sha256": training.weights_sha256}


def _end_hint(run: "Run", workload: str, db: str | None) -> str:
    return f"run {run.run_id} was cancelled\n" if run.is_cancelled else _resume_hint(run.run_id, workload, db)


def _resume_hint(run_id: str, workload: str, db: str | None) -> str:
    return f"resume with: qorch train {workload} --resume {run_id}{_name_database(db)}\n"


def _name_database(db: str | None) -> str:
    """The option to be added to a command that shall find the run."""
    return "" if db is None else f" --db {shlex.quote(db)}"


def _print_report(run_id: str, *, db: str | None, as_json: bool) -> None:
    from qorch.cli.report import report

    report(run_id, db=db, as_json=as_json)
