"""Runs trials, several at once, each in a process of its own: none twice, and the others though one fails."""

import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from qorch import machine
from qorch.config import read_config
from qorch.errors import QorchError, RunBusyError
from qorch.ports.clock import WallClock
from qorch.ports.records import RunState
from qorch.ports.store import Store
from qorch.recovery import cancel_ended
from qorch.stores import open_store
from qorch.sweeps.trial import Trial
from qorch.sweeps.trial_process import CANCELLED, TrialProcess, TrialState, TrialTerms, Work, start_trial

POLL_SECONDS = 0.5
"""Between two looks at trials on which other processes work, and at those that may be ended early."""


@dataclass(frozen=True)
class TrialOutcome:
    """How a trial ended. ``problem``: the sentence why it is not done. ``was_done``: it had been finished before."""

    trial: Trial
    state: TrialState
    problem: str | None = None
    was_done: bool = False


def _say_nothing(_: Any) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class TrialWatcher:
    """What is told how the trials go: each is called in the thread that runs them, between two looks at them.

    ``begun``: a trial's process starts; ``ended``: it is over, or was so before. ``ends_early``: whether a trial that
    works shall end now, for good, by what the store has of it; asked twice a second.
    """

    begun: Callable[[Trial], None] = _say_nothing
    ended: Callable[[TrialOutcome], None] = _say_nothing
    ends_early: Callable[[Trial, Store], bool] | None = None


def default_parallel(n_trials: int) -> int:
    """How many trials work at once by default: one for each core."""
    return max(1, min(n_trials, machine.available_cores()))


def run_trials(
    trials: Iterable[Trial],
    terms: TrialTerms,
    *,
    work: Work,
    parallel: int,
    modules: Sequence[str] = (),
    watcher: TrialWatcher | None = None,
) -> list[TrialOutcome]:
    """Run trials to their ends, ``parallel`` at once; how each ended, in the order in which they did.

    ``trials`` is read only as far as a process is free, so that it may depend on how earlier ones ended. A trial whose
    run is done is not run again, one that was stopped or failed goes on; one on which another process works is waited
    for. ``work`` trains one in its process, in which ``modules`` are loaded already. Once the budget has refused a
    trial, none is begun any more. An exception, such as KeyboardInterrupt, stops all trials in good order.
    """
    with tempfile.TemporaryDirectory(prefix="qorch-trials-") as folder:
        crew = _Crew(iter(trials), terms, work, parallel, tuple(modules), watcher or TrialWatcher(), Path(folder))
        with crew.stopped_at_the_end():
            return crew.run()


@dataclass(eq=False)
class _Crew:
    """The trials at work, and those that wait."""

    trials: Iterator[Trial]
    terms: TrialTerms
    work: Work
    parallel: int
    modules: tuple[str, ...]
    watcher: TrialWatcher
    folder: Path
    working: list[TrialProcess] = field(default_factory=list)
    waiting: deque[Trial] = field(default_factory=deque)
    outcomes: list[TrialOutcome] = field(default_factory=list)
    n_started: int = 0
    is_refused: bool = False

    def run(self) -> list[TrialOutcome]:
        while self._begin_some():
            over = wait([process.sentinel for process in self.working], timeout=POLL_SECONDS)
            for process in [process for process in self.working if process.sentinel in over]:
                self.working.remove(process)
                self._take(process)
            self._end_some_early()
        return self.outcomes

    def _end_some_early(self) -> None:
        ends_early = self.watcher.ends_early
        if ends_early is None:
            return
        with self._open_store() as store:
            for process in self.working:
                if not process.is_ended_early and ends_early(process.trial, store):
                    process.is_ended_early = True
                    process.stop()

    def _begin_some(self) -> bool:
        """Start as many as may work at once; whether there is anything left to wait for."""
        busy = [self.waiting.popleft() for _ in range(len(self.waiting))]
        while len(self.working) < self.parallel and not self.is_refused:
            trial = busy.pop(0) if busy else next(self.trials, None)
            if trial is None:
                break
            self._begin(trial)
        self.waiting.extend([] if self.is_refused else busy)
        return bool(self.working or self.waiting)

    def _begin(self, trial: Trial) -> None:
        with self._open_store() as store:
            found = store.find_run(trial.run_name)
            # A sweep holds the trial's name; `qorch train --resume` alone the run.
            names = [trial.run_name] if found is None else [trial.run_name, found.run_id]
            is_busy = any(store.holder_of(name) is not None for name in names)
        if found is not None and found.state == RunState.DONE:
            self._end(TrialOutcome(trial, TrialState.DONE, was_done=True))
        elif found is not None and found.state == RunState.CANCELLED:
            self._end(TrialOutcome(trial, TrialState.CANCELLED, CANCELLED, was_done=True))
        elif is_busy:
            self.waiting.append(trial)
        else:
            self.watcher.begun(trial)
            self.n_started += 1
            place = self.folder / str(self.n_started)
            process = start_trial(trial, self.terms, work=self.work, folder=place, modules=self.modules)
            self.working.append(process)

    def _take(self, process: TrialProcess) -> None:
        state, problem = process.end()
        if state is TrialState.BUSY:
            self.waiting.append(process.trial)
            return
        if process.is_ended_early and state is not TrialState.DONE:
            try:
                state, problem = TrialState.CANCELLED, self._cancel(process.trial)
            except RunBusyError:
                self.waiting.append(process.trial)
                return
        self.is_refused |= state is TrialState.OVER_BUDGET
        self._end(TrialOutcome(process.trial, state, problem))

    def _cancel(self, trial: Trial) -> str:
        """Cancel a trial that was ended early; what is said of it. Raises RunBusyError if another process took it."""
        with self._open_store() as store:
            record = store.find_run(trial.run_name)
            try:
                if record is not None:
                    cancel_ended(store, record, config=read_config(), clock=WallClock())
            except RunBusyError:
                raise
            except QorchError as error:
                # The run is cancelled; of its jobs at the provider the other trials need not know.
                return f"it was ended early, but not its jobs at the provider: {error}"
        return "it was ended early"

    def _open_store(self) -> closing[Store]:
        """The database, only for as long as it is read: a fork while its thread works could inherit a lock."""
        return closing(open_store(self.terms.db, clock=WallClock()))

    def _end(self, outcome: TrialOutcome) -> None:
        self.outcomes.append(outcome)
        self.watcher.ended(outcome)

    @contextmanager
    def stopped_at_the_end(self) -> Iterator[None]:
        """Leave no process behind, whatever happens."""
        try:
            yield
        finally:
            for process in self.working:
                process.stop()
            for process in self.working:
                process.end()
