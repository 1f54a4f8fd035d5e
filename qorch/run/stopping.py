"""Ends runs early: whether calls may still begin, requests to stop, and the hint how to resume."""

import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress

from qorch.engine.submitter import HURRY_SECONDS, PATIENT_SECONDS
from qorch.errors import BudgetError, RunError, RunStoppedError, StoreError
from qorch.ports.records import RunRecord, RunState
from qorch.ports.store import Runs, SharedState

LOOK_SECONDS = 0.5
"""Time between two reads of the database: a run ends at most a little later than that after `qorch cancel`."""
CLOSE_SECONDS = 10.0
"""How long ``close`` waits for another thread that closes the run already."""

_log = logging.getLogger("qorch.runs")
_ENDED = {RunState.STOPPED: "was stopped", RunState.FAILED: "ended with an error"}


class Lifetime:
    """Whether a run is open, closed or cancelled, and how many of its calls are in progress. For several threads."""

    def __init__(self, run_id: str) -> None:
        """Not open yet."""
        self.lock = threading.RLock()
        self._run_id = run_id
        self._pid = os.getpid()
        self._changed = threading.Condition(self.lock)
        self._calls = 0
        self._is_open = False
        self._is_closed = False
        self._closed = threading.Event()
        self.is_cancelled = False
        self.state = RunState.RUNNING

    @property
    def is_over(self) -> bool:
        """Whether no call may begin any more, or not in this process."""
        return self.is_cancelled or self._is_closed or os.getpid() != self._pid

    @property
    def why_stopped(self) -> str:
        """The error's text in calls that are in progress when the run ends."""
        if self.is_cancelled:
            return f"run {self._run_id} was cancelled by `qorch cancel`, which is for good; start a new run to go on"
        return f"run {self._run_id} was stopped; start it again with resume=True to go on"

    def check(self) -> None:
        """Raise RunStoppedError or RunError if no call may begin."""
        if os.getpid() != self._pid:
            raise RunError(
                "this run belongs to the process that started it, and this is a fork of it;"
                " execute circuits there, or start a run of its own here"
            )
        if self.is_cancelled:
            raise RunStoppedError(self.why_stopped)
        if self._is_closed:
            raise RunError(f"run {self._run_id} is closed; start it again with resume=True")

    def open(self) -> None:
        """Allow calls from now on. Raises RunStoppedError if the run was cancelled meanwhile."""
        with self._changed:
            self.check()
            self._is_open = True
            self._changed.notify_all()

    def begin_call(self) -> bool:
        """Count a call; whether it is the only one. Raises what ``check`` raises."""
        with self.lock:
            self.check()
            self._calls += 1
            return self._calls == 1

    def end_call(self) -> None:
        """A call has ended."""
        with self._changed:
            self._calls -= 1
            self._changed.notify_all()

    def cancel(self) -> None:
        """Refuse new calls, for good."""
        with self.lock:
            self.is_cancelled = True

    def wait_until_idle(self) -> bool:
        """Wait until the run is open and no call is in progress; False if it is closed meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or (self._is_open and self._calls == 0))
            return not self._is_closed

    def begin_closing(self) -> bool:
        """Refuse new calls; whether the caller is the one to close the run.

        If another thread closes it, wait for that: the process may end when this returns.
        """
        if os.getpid() != self._pid:
            return False
        with self._changed:
            is_first, self._is_closed = not self._is_closed, True
            self._changed.notify_all()
        if not is_first:
            self._closed.wait(CLOSE_SECONDS)
        return is_first

    def end_in(self, state: str) -> str:
        """The state that the run ends in, if it is not complete: a cancelled run cannot be resumed."""
        self.state = RunState.CANCELLED if self.is_cancelled and state != RunState.DONE else state
        return self.state

    def note_closed(self) -> None:
        """Wake the threads that wait in ``begin_closing``."""
        self._closed.set()


class StopWatcher:
    """A thread that reads now and then whether the run was asked to stop, and then calls ``stop`` once.

    A thread of its own, so that neither a step nor the event loop ever waits for the database because of it.
    """

    def __init__(self, store: SharedState, run_id: str, *, stop: Callable[[], None]) -> None:
        """Begin to look at once. ``stop`` is called in the watcher's own thread."""
        self._store = store
        self._run_id = run_id
        self._stop = stop
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="qorch-stop-watch", daemon=True)
        self._thread.start()

    def is_asked(self) -> bool:
        """Whether the run was asked to stop; False if the store has failed, which raises elsewhere."""
        with suppress(StoreError):
            return self._store.stop_asked(self._run_id) is not None
        return False

    def close(self) -> None:
        """End the thread; the store may be closed afterwards. May be called twice, and by ``stop`` itself."""
        self._is_over.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _look(self) -> None:
        while not self._is_over.wait(LOOK_SECONDS):
            if self.is_asked():
                self._stop()
                return


def name_to_resume(store: Runs, record: RunRecord) -> str:
    """What ``start_run`` takes to resume the run: its name, or its id if a newer run has that name."""
    with suppress(StoreError):
        found = store.find_run(record.name)
        return record.name if found is not None and found.run_id == record.run_id else record.run_id
    return record.run_id


def state_after(error: BaseException) -> str:
    """The state of a run that is left by an error: stopped by Ctrl-C, ``sys.exit()`` or a budget, else failed."""
    is_interrupted = isinstance(error, KeyboardInterrupt) or (isinstance(error, SystemExit) and not error.code)
    return RunState.STOPPED if is_interrupted or isinstance(error, BudgetError) else RunState.FAILED


def patience_after(state: str) -> float:
    """How many seconds sessions at a provider may take to be closed, if the run ends in this state."""
    return HURRY_SECONDS if state in {RunState.STOPPED, RunState.CANCELLED} else PATIENT_SECONDS


def say_how_to_resume(run_id: str, name: str, *, state: str) -> None:
    """Log how a user's own program resumes the run, if a run that ended in this state can be resumed."""
    if state in {RunState.STOPPED, RunState.FAILED}:
        _log.warning('run %s %s; resume it with start_run("%s", ..., resume=True)', run_id, _ENDED[state], name)
