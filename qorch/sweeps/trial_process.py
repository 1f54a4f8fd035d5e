"""The process in which one trial works: its surroundings, how it ends, and that it ends with the one that started it.

On Linux it is a fork of the sweep's own process, which has loaded torch already, and has no threads at work; elsewhere
of a server that loads it once.
"""

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from qorch.errors import BudgetError, QorchError, RunBusyError, RunStoppedError, UnknownOutcomeError
from qorch.model.money import Money
from qorch.ports.clock import WallClock
from qorch.ports.records import RunState
from qorch.stores import open_store
from qorch.sweeps.trial import Trial

CANCELLED = "it was cancelled, which is for good"
_STOPPED = "it was stopped"
_LEFT = "its program has ended before its run was done"
_TERMINATED = (-signal.SIGTERM, 128 + signal.SIGTERM)
_LOOK_SECONDS = 0.2
_DIED = "its process has ended (exit code {}) before the trial was over"


class TrialState(StrEnum):
    """How a trial ended in this process. BUSY: another process works on it; CANCELLED: for good, as by a pruner."""

    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    OVER_BUDGET = "over budget"
    HELD = "held"
    BUSY = "busy"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class TrialTerms:
    """What all trials of a sweep have in common, and what does not make another trial of one.

    ``db``: the URL or path of the one database; ``budget``: of all trials together; ``cache``: None is what
    ``start_run`` takes by itself; ``threads``: of each process, unless ``QORCH_WORKERS`` says otherwise.
    """

    db: str
    budget: Money | None = None
    cache: str | None = None
    accepts_unknown_price: bool = False
    threads: int = 1


Work = Callable[[Trial, TrialTerms], None]
"""Trains a trial to its end in a process of its own. A function of a module, which that process imports."""


@dataclass(frozen=True)
class _Answer:
    state: TrialState
    problem: str | None = None


class TrialProcess:
    """A trial at work. Start it with ``start_trial``."""

    def __init__(self, process: Any, trial: Trial, folder: Path) -> None:
        """Take a process that has begun; ``folder``: where it leaves its answer and what it prints."""
        self.trial = trial
        self.is_ended_early = False
        self._process = process
        self._folder = folder

    @property
    def sentinel(self) -> int:
        """What ``multiprocessing.connection.wait`` waits for."""
        sentinel: int = self._process.sentinel
        return sentinel

    def stop(self) -> None:
        """Ask it to stop in good order."""
        self._process.terminate()

    def end(self) -> tuple[TrialState, str | None]:
        """Wait until it is over; how the trial ended, and the sentence why it is not done."""
        self._process.join()
        file = _answer_file(self._folder)
        code = self._process.exitcode
        if code in _TERMINATED:
            return TrialState.STOPPED, _STOPPED
        if not file.is_file():
            words = None if code < 0 else _last_words(self._folder)
            return TrialState.FAILED, words or _DIED.format(code)
        answer = msgspec.json.decode(file.read_bytes(), type=_Answer)
        return answer.state, answer.problem


def start_trial(trial: Trial, terms: TrialTerms, *, work: Work, folder: Path, modules: Sequence[str]) -> TrialProcess:
    """Begin a trial in a process of its own. ``modules``: what trials load; ``folder``: made here, for its answer."""
    context = _find_context(modules)
    folder.mkdir()
    process = context.Process(target=_enter, args=(work, trial, terms, dict(os.environ), str(folder)))
    process.start()
    return TrialProcess(process, trial, folder)


def _find_context(modules: Sequence[str]) -> Any:
    """What starts processes in which the modules are loaded already."""
    if sys.platform == "linux":
        for name in modules:
            with suppress(ImportError):  # what is missing is said by the trial that needs it
                import_module(name)
        return multiprocessing.get_context("fork")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    return context


def _enter(work: Work, trial: Trial, terms: TrialTerms, environment: dict[str, str], folder: str) -> None:
    """The first function of the process."""
    # In a session of its own, as Ctrl-C is for the sweep, which then asks its trials to stop. The sweep's handlers of
    # signals would wake the sweep.
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update({"QORCH_WORKERS": str(terms.threads)} | environment | {"QORCH_DB": terms.db})
    _redirect(Path(folder) / "output")
    _end_with_parent()
    answer = _carry_out(work, trial, terms)
    _flush()
    _answer_file(Path(folder)).write_bytes(msgspec.json.encode(answer))


def _carry_out(work: Work, trial: Trial, terms: TrialTerms) -> _Answer:
    try:
        with closing(open_store(terms.db, clock=WallClock())) as store, store.claim_run(trial.run_name):
            # Another process may have trained it between the look of the sweep and this claim.
            found = store.find_run(trial.run_name)
            if found is not None and found.state == RunState.CANCELLED:
                return _Answer(TrialState.CANCELLED, CANCELLED)
            if found is None or found.state != RunState.DONE:
                work(trial, terms)
                found = store.find_run(trial.run_name)
            if found is not None and found.state != RunState.DONE:
                return _Answer(TrialState.STOPPED, _LEFT)
    except KeyboardInterrupt:
        return _Answer(TrialState.STOPPED, _STOPPED)
    except Exception as error:
        traceback.print_exc()
        return _Answer(_state_after(error), _sentence(error))
    return _Answer(TrialState.DONE)


def _state_after(error: Exception) -> TrialState:
    kinds: tuple[tuple[type[Exception], TrialState], ...] = (
        (RunBusyError, TrialState.BUSY),
        (RunStoppedError, TrialState.CANCELLED),
        (BudgetError, TrialState.OVER_BUDGET),
        (UnknownOutcomeError, TrialState.HELD),
    )
    return next((state for kind, state in kinds if isinstance(error, kind)), TrialState.FAILED)


def _sentence(error: Exception) -> str:
    text = str(error) if isinstance(error, QorchError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def _redirect(file: Path) -> None:
    """Let everything that the process prints go into a file: standard output belongs to the sweep's own."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)


def _end_with_parent() -> None:
    """Stop in good order once the process that started this one is gone, as after ``kill -9``."""
    parent, never = os.getppid(), threading.Event()

    def watch() -> None:
        # Not a pipe's end: trials that are forked later would keep it open.
        while os.getppid() == parent:
            never.wait(_LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="qorch-parent-watch", daemon=True).start()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


def _answer_file(folder: Path) -> Path:
    return folder / "answer.json"


def _last_words(folder: Path) -> str | None:
    """The last line that the process printed."""
    text = (folder / "output").read_text(encoding="utf-8", errors="replace") if (folder / "output").is_file() else ""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), None)
