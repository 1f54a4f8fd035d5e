"""`qorch cancel`: end a run for good, even while a process works on it."""

import os
import signal
import socket
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qorch.cli.options import DbOption, JsonOption, RunArgument
from qorch.cli.output import print_json
from qorch.errors import RunBusyError, UsageError
from qorch.model.text import format_count, printable

if TYPE_CHECKING:
    from qorch.ports.records import RunRecord
    from qorch.ports.store import Store
    from qorch.recovery import Cancellation

PATIENCE_SECONDS = 10.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class _Worker:
    """The process that worked on the run: asked to stop, or ended if it was the command ``qorch`` itself."""

    pid: int | None
    is_ended: bool


def cancel(run: RunArgument, db: DbOption = None, as_json: JsonOption = False) -> None:
    """Cancel a run, and its jobs at their provider.

    A process that works on it is asked to stop: its next call raises RunStoppedError, and it goes on without the run.
    Only a process that is the command `qorch train` is ended.
    """
    from qorch.cli.database import open_database, require_run
    from qorch.ports.records import RunState

    with open_database(db) as store:
        record = require_run(store, run)
        if record.state in {RunState.DONE, RunState.CANCELLED} and not _is_open(store, record.run_id):
            raise UsageError(f"run {record.run_id} is {record.state} already; there is nothing to cancel")
        worker = _cancel(store, record.run_id)
        ended = _cancel_jobs(store, record)
    if as_json:
        pids = {"stopped_pid": worker.pid if worker.is_ended else None, "asked_pid": worker.pid}
        document = {"run": record.run_id, "state": RunState.CANCELLED, **pids}
        told = {"jobs_cancelled": ended.told, "jobs_over": ended.over, "jobs_unseen": ended.unseen}
        print_json(document | told | {"sessions_closed": ended.sessions_closed, "sessions_left": ended.sessions_left})
        return
    print(f"run {printable(record.run_id)} is cancelled{_say_worker(worker)}{_say(ended)}")


def _say_worker(worker: _Worker) -> str:
    if worker.pid is None:
        return ""
    return f"; stopped process {worker.pid}" if worker.is_ended else f"; process {worker.pid} goes on without it"


def _say(ended: "Cancellation") -> str:
    told = f"; told the provider to cancel {format_count(ended.told, 'job')}" if ended.told else ""
    over = f"; {format_count(ended.over, 'job')} had ended there already" if ended.over else ""
    unseen = (
        f"; {format_count(ended.unseen, 'job')} may still show up there: cancel again, to be sure"
        if ended.unseen
        else ""
    )
    closed = f"; closed {format_count(ended.sessions_closed, 'session')} there" if ended.sessions_closed else ""
    left = f"; {format_count(ended.sessions_left, 'session')} may still be open there" if ended.sessions_left else ""
    advice = ". `qorch recover` shows what became of them" if told or over or unseen or left else ""
    return told + over + unseen + closed + left + advice


def _is_open(store: "Store", run_id: str) -> bool:
    """Whether a provider may still have jobs or sessions of a run."""
    return bool(store.open_jobs(run_id) or store.open_provider_sessions(run_id))


def _cancel_jobs(store: "Store", record: "RunRecord") -> "Cancellation":
    """Ask the provider to cancel what it still has of a run. Jobs of this machine ended with it."""
    from qorch.config import read_config
    from qorch.ports.clock import WallClock
    from qorch.recovery import Cancellation, cancel_jobs

    if not _is_open(store, record.run_id):
        return Cancellation()
    with store.claim_run(record.run_id):
        return cancel_jobs(store, record, config=read_config(), clock=WallClock())


def _cancel(store: "Store", run_id: str) -> _Worker:
    """Cancel a run, once the process that works on it has ended its session."""
    try:
        _mark(store, run_id)
    except RunBusyError:
        # Before the signal, so that the process that it ends does not print how to resume.
        _ask(store, run_id)
        pid = _end_command(store, run_id)
        holder = _mark_when_free(store, run_id)
        return _Worker(pid or holder, is_ended=pid is not None)
    return _Worker(None, is_ended=False)


def _mark(store: "Store", run_id: str) -> None:
    from qorch.ports.clock import WallClock
    from qorch.recovery import mark_cancelled

    with store.claim_run(run_id):
        mark_cancelled(store, run_id, clock=WallClock())


def _ask(store: "Store", run_id: str) -> None:
    from qorch.ports.clock import WallClock
    from qorch.ports.records import StopRequest

    store.write([StopRequest(run_id, WallClock().now())]).result()


def _end_command(store: "Store", run_id: str) -> int | None:
    """Send SIGTERM to the process that works on the run if it is the command ``qorch``; its pid.

    None for every other process, such as a notebook, which belongs to its user.
    """
    session = store.sessions(run_id)[-1]
    if not session.is_command or session.host != socket.gethostname():
        return None
    try:
        handle = _open_process(session.pid)
        try:
            # Asked after the handle was opened: if the process has the run now, the handle is not that of a later
            # process with the same pid.
            holder = store.holder_of(run_id)
            if holder is not None and holder.pid == session.pid and holder.host in {None, session.host}:
                _send_sigterm(session.pid, handle)
                return session.pid
        finally:
            if handle is not None:
                os.close(handle)
    except OSError:
        # It has just ended, or belongs to another user; the request to stop stands.
        return None
    return None


def _open_process(pid: int) -> int | None:
    """A handle that never refers to a later process with the same pid; None if the system has no such handles."""
    return os.pidfd_open(pid) if sys.platform == "linux" else None


def _send_sigterm(pid: int, handle: int | None) -> None:
    if handle is not None and sys.platform == "linux":
        signal.pidfd_send_signal(handle, signal.SIGTERM)
    else:
        os.kill(pid, signal.SIGTERM)


def _mark_when_free(store: "Store", run_id: str) -> int | None:
    """Mark the run as cancelled once its process has ended its session; the pid of that process, None if not known."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    pid = None
    while True:
        try:
            _mark(store, run_id)
        except RunBusyError as error:
            pid = error.pid or pid
            if time.monotonic() > deadline:
                raise RunBusyError(_still_busy(store, run_id, pid), pid=pid) from None
            if store.stop_asked(run_id) is None:
                # A new session of the run began meanwhile, and took the request back.
                _ask(store, run_id)
            time.sleep(_POLL_SECONDS)
        else:
            return pid


def _still_busy(store: "Store", run_id: str, pid: int | None) -> str:
    session = store.sessions(run_id)[-1]
    where = f"process {pid or session.pid} on {session.host}"
    return (
        f"run {run_id} was asked to stop, and {where} still works on it after {PATIENCE_SECONDS:.0f} s: it may be"
        " suspended, or busy outside of qorch. The request stands: the run ends as soon as the process looks. Then"
        " cancel again, which also cancels its jobs; or end the process first"
    )
