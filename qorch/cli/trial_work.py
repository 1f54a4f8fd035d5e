"""What the process of a trial does: `qorch train` for a workload, the program itself for one of the user's own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from qorch.cli.interrupts import Stopper
from qorch.cli.settings import Settings, read_settings, stored_settings, with_defaults
from qorch.cli.train import Consent, train_run
from qorch.errors import QorchError, RunError, UsageError
from qorch.ports.policy import CachePolicy
from qorch.ports.records import RunState
from qorch.run.stopping import state_after
from qorch.sweeps.trial import Trial, sweep_budget
from qorch.sweeps.trial_process import TrialTerms

if TYPE_CHECKING:
    from qorch.run.run import Run

LOADED = ("qorch.torch", "qorch.wiring", "qorch_jobs_db.sqlite", "rich.console", "torch._dynamo", __name__)
"""Modules that every trial needs."""


def train_trial(trial: Trial, terms: TrialTerms) -> None:
    """Train a trial to its end in this process, which is its own; see ``run_trials``."""
    import torch

    torch.set_num_threads(terms.threads)
    if trial.is_script:
        _run_script(trial, terms)
    else:
        _train_workload(trial, terms)


def trial_settings(trial: Trial, terms: TrialTerms) -> Settings:
    """The settings with which the run of a workload's trial is started, as `qorch train` takes them.

    Raises UsageError for an option that `qorch train` does not have, or a value that it does not take.
    """
    settings = read_settings(trial.program, trial.run_name, trial.options)
    return replace(
        settings,
        backend=trial.backend or settings.backend,
        seed=trial.seed or 0,
        cache=terms.cache or CachePolicy.REUSE.value,
        sweep_budget=None if terms.budget is None else str(terms.budget),
    )


def _train_workload(trial: Trial, terms: TrialTerms) -> None:
    from qorch.cli.database import open_database
    from qorch.workloads import load_workload

    job = load_workload(trial.program)
    settings = with_defaults(trial_settings(trial, terms), job)
    with open_database(terms.db) as store:
        run = store.find_run(trial.run_name)
    if run is not None:
        stored, _ = stored_settings(run, job.name, given={}, default_epochs=job.defaults.epochs or 1)
        # What makes no other trial of it is as given now: where the files lie, what the cache and the budget are.
        settings = replace(
            stored,
            sweep_budget=settings.sweep_budget,
            data_dir=settings.data_dir or stored.data_dir,
            cache=settings.cache,
        )
    consent = Consent(accepts_unknown_price=terms.accepts_unknown_price, is_silent=True)
    try:
        train_run(job, settings, db=terms.db, run_id=None if run is None else run.run_id, consent=consent)
    except typer.Exit as stop:
        raise KeyboardInterrupt from stop


def _run_script(trial: Trial, terms: TrialTerms) -> None:
    from qorch.workloads.program import last_line, line_of, run_program, start_replaced

    script = Path(trial.program)
    arguments = [*trial.arguments, *(word for name, value in trial.options.items() for word in (f"--{name}", value))]
    runs = _TrialRuns(trial, terms)
    with Stopper().listen(), start_replaced(runs.start_run) as runs.real_start, runs.closed_at_the_end():
        try:
            run_program(script, arguments)
        except SystemExit as error:
            if error.code:
                raise RunError(f"{script} has ended with exit code {error.code}") from error
        except QorchError:
            raise
        except Exception as error:
            raise RunError(f"{script} has failed{line_of(error, script)}: {last_line(error)}") from error
    if not runs.started:
        raise UsageError(f"{script} has started no run: a trial is what is executed in `qorch.start_run(...)`")


@dataclass(eq=False)
class _TrialRuns:
    """Starts the run of a program's trial in place of the one that the program asks for."""

    trial: Trial
    terms: TrialTerms
    real_start: "Callable[..., Run] | None" = None
    name: str | None = None
    started: "tuple[Run, ...]" = ()

    def start_run(self, name: str, *, backend: object, **options: Any) -> "Run":
        """See ``qorch.start_run``. Name, database and what the sweep sets are not those that the program asks for."""
        if self.name not in {None, name}:
            raise UsageError(
                f"a trial is one run, and {self.trial.program} starts '{name}' besides '{self.name}':"
                " start one run in it, or sweep each by itself"
            )
        if self.real_start is None:
            raise RuntimeError("the program was started without qorch.start_run")
        self.name = name
        trial, terms = self.trial, self.terms
        where = trial.backend or backend
        own = {
            "db": terms.db,
            "resume": True,
            "seed": options.get("seed") if trial.seed is None else trial.seed,
            "cache": terms.cache or options.get("cache") or CachePolicy.REUSE.value,
            "accept_unknown_price": terms.accepts_unknown_price or options.get("accept_unknown_price", False),
            "settings": (options.get("settings") or {})
            | {"script": Path(trial.program).name, "options": dict(trial.options)},
            "progress": options.get("progress") or "off",
            "is_command": True,
        }
        if terms.budget is not None:
            own["shared_budgets"] = [
                *options.get("shared_budgets", ()),
                sweep_budget(trial.sweep, terms.budget, backend=where if isinstance(where, str) else ""),
            ]
        run = self.real_start(trial.run_name, backend=where, **options | own)
        self.started = (*self.started, run)
        return run

    @contextmanager
    def closed_at_the_end(self) -> Iterator[None]:
        """End the runs that the program has left open: they are done only if the program has ended without an error."""
        try:
            yield
        except BaseException as error:
            self._close(state_after(error))
            raise
        self._close(RunState.DONE)

    def _close(self, state: str) -> None:
        for run in self.started:
            with suppress(QorchError):
                run.close(state=state)
