"""A training that is run as it is, but for its backend, database and clock: what its runs came to, and their calls."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qorch.audit.report import Report, make_report
from qorch.backends import open_backend
from qorch.config import REHEARSAL, read_config
from qorch.dry_run.clock import CallerClock
from qorch.dry_run.recorder import CallRecorder
from qorch.dry_run.recording import RecordedRun
from qorch.dry_run.store import write_behind
from qorch.errors import QorchError, UsageError
from qorch.limits import booked_card, check_budgets, check_shots
from qorch.model.backend_name import name_mock
from qorch.model.budget import Budget
from qorch.model.money import Money
from qorch.model.prices.book import decide_price
from qorch.model.prices.card import PriceCard
from qorch.ports.backend import Mocks, RemoteBackend
from qorch.ports.progress import Progress
from qorch.prices import load_prices
from qorch.run.run import Run
from qorch.stores import open_throwaway_store
from qorch.wiring import as_budget, start_run
from qorch.workloads.base import Options, Workload
from qorch.workloads.program import run_or_explain, start_replaced

DATABASE = "QORCH_DB"
_FORETOLD = ("qorch.retries", "qorch.runs")
"""The loggers of notices that stand in a forecast."""


@dataclass(frozen=True)
class SimulatedRun:
    """One session of a run of a dry run: the run's report, with virtual times, and the session's calls."""

    report: Report
    recording: RecordedRun


@dataclass(frozen=True)
class SimulatedTraining:
    """What a training came to on a mock. ``backend``: the mock's name; ``card``: the prices of the mocked backend.

    ``runs``: in the order in which they were started or resumed. ``wall_seconds``: virtual ones, from the start of the
    first run to the end of the last.
    """

    backend: str
    card: PriceCard
    runs: tuple[SimulatedRun, ...]
    wall_seconds: float

    @property
    def reports(self) -> tuple[Report, ...]:
        """One of each run."""
        return tuple({run.report.run.run_id: run.report for run in self.runs}.values())


@dataclass(frozen=True)
class Replacements:
    """What a dry run puts in the place of the training's own.

    ``mock``: the backend's name. ``compute_seconds``: see CallerClock. ``budget``: in place of those of the program,
    None for these. ``show``: is told how far it is after every step, beside whom the training tells.
    """

    mock: str
    compute_seconds: float | None = None
    budget: Money | None = None
    show: Callable[[Progress], None] | None = None


@contextmanager
def rehearsing(folder: Path) -> Iterator[None]:
    """Inside of this block nothing is sent, bought or logged by this process and those that it starts.

    ``folder``: for the database of runs that are started in other processes. Budgets of the configuration file do not
    apply, no observers are told, and what the mock lets wait or would charge is not logged, but foretold.
    """
    for name in _FORETOLD:
        logging.getLogger(name).setLevel(logging.ERROR)
    replaced = {DATABASE: os.fspath(folder / "other-processes.db"), REHEARSAL: "1"}
    before = {name: os.environ.get(name) for name in replaced}
    os.environ.update(replaced)
    try:
        yield
    finally:
        for name in _FORETOLD:
            logging.getLogger(name).setLevel(logging.NOTSET)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@dataclass(frozen=True, eq=False)
class _Started:
    """A run that was started, and the budget that it was given."""

    run: Run
    recorder: CallRecorder
    budget: Money | None


class DryRun:
    """Starts runs on a mock, a database that is thrown away, and one virtual clock, in place of any others.

    Nothing goes wrong at the mock, so that the training comes to its end: faults are what futures differ in. Make it in
    the thread that trains, within ``rehearsing``, and close it. All runs of a process are at one provider.
    """

    def __init__(self, use: Replacements, folder: Path) -> None:
        """Open clock and database. Raises UsageError or another QorchError for a backend that cannot be mocked."""
        self._use = use
        self._config = replace(read_config(), is_rehearsal=False)
        self._clock = CallerClock(compute_seconds=use.compute_seconds)
        self._started: list[_Started] = []
        self._begun_seconds: float | None = None
        with ExitStack() as stack:
            stack.callback(self._clock.close)
            self.backend = name_mock(use.mock)
            charges = self._open_backend().capabilities.charges
            self.card = decide_price(self.backend, charges=charges, book=load_prices(self._config))
            store = open_throwaway_store(folder / "dry-run.db", clock=self._clock)
            self._store = write_behind(stack.enter_context(closing(store)))
            self._stack = stack.pop_all()

    def start_run(
        self,
        name: str,
        *,
        backend: object = None,
        budget: str | Money | None = None,
        progress: Callable[[Progress], None] | str | None = None,
        **options: Any,
    ) -> Run:
        """See ``qorch.start_run``. The budget stops nothing, and is kept with the recording."""
        del backend
        kept = self._use.budget or as_budget(budget)
        self._check_budget(kept, name)
        if self._begun_seconds is None:
            self._begun_seconds = self._clock.seconds()
        replaced: dict[str, Any] = {
            "backend": self._open_backend(),
            "db": self._store,
            "clock": self._clock,
            "budget": None,
            "accept_unknown_price": True,
            "progress": self._follow(progress),
        }
        run = start_run(name, **options | replaced)
        recorder = self._clock.recorders[run.run_id]
        recorder.begin()
        self._started.append(_Started(run, recorder, kept))
        return run

    def sum_up(self) -> SimulatedTraining:
        """What all runs came to; those that are left open are closed."""
        self._close_runs()
        closed_seconds = max((started.recorder.closed_seconds for started in self._started), default=0.0)
        return SimulatedTraining(
            backend=self.backend,
            card=self.card,
            runs=tuple(self._read(started) for started in self._started),
            wall_seconds=closed_seconds - (self._begun_seconds or 0.0),
        )

    def check(self, *, shots: int | None) -> None:
        """Raise ShotsError for a number that the mocked backend does not take."""
        check_shots(self._open_backend(), shots)

    def _check_budget(self, budget: Money | None, name: str) -> None:
        """Raise UsageError for a budget that could not be kept."""
        if budget is not None:
            backend = self._open_backend()
            check_budgets(backend, booked_card(backend, self.card), [Budget(limit=budget, run_id=name)])

    def close(self) -> None:
        """End the runs that the training has left open, and let clock and database go."""
        self._close_runs()
        self._stack.close()

    def _close_runs(self) -> None:
        for started in self._started:
            with suppress(QorchError):
                started.run.close()

    def _open_backend(self) -> RemoteBackend:
        backend = open_backend(self.backend, config=self._config, clock=self._clock)
        if not isinstance(backend, Mocks):
            raise UsageError(f"{self._use.mock} cannot be mocked: the package of {self.backend} makes no mock")
        return backend.without_faults()

    def _follow(self, progress: Callable[[Progress], None] | str | None) -> Callable[[Progress], None]:
        """Called after every step, in the thread that trains."""

        def follow(now: Progress) -> None:
            self._clock.end_step()
            if self._use.show is not None:
                self._use.show(now)
            if callable(progress):
                progress(now)

        return follow

    def _read(self, started: _Started) -> SimulatedRun:
        report = make_report(self._store, started.run.run_id, card=self.card)
        return SimulatedRun(report, started.recorder.make_recording(budget=started.budget))


def simulate_script(script: Path, arguments: Sequence[str], use: Replacements, *, folder: Path) -> SimulatedTraining:
    """Run a program of the user's, unchanged; ``folder``: for what is thrown away.

    The process should be one of its own: the program has it for itself, as if it had been started there. Raises
    UsageError if the program fails or starts no run, or if the backend cannot be mocked.
    """
    dry_run = DryRun(use, folder)
    with closing(dry_run):
        with start_replaced(dry_run.start_run):
            run_or_explain(script, arguments, before="its dry run was over")
        training = dry_run.sum_up()
    if not training.runs:
        raise UsageError(f"{script} has started no run: a dry run is of what is executed in `qorch.start_run(...)`")
    return training


def simulate_workload(
    workload: Workload, options: Options, use: Replacements, *, folder: Path, cache: str | None = None
) -> SimulatedTraining:
    """Train a workload; ``folder``: for what is thrown away.

    Raises UsageError if the backend cannot be mocked or does not take what is asked for, and what the training raises.
    """
    dry_run = DryRun(use, folder)
    with closing(dry_run):
        dry_run.check(shots=options.shots)
        with dry_run.start_run(workload.name, seed=options.seed, shots=options.shots, cache=cache) as run:
            workload.train(run, options)
        return dry_run.sum_up()
