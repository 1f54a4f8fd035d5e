"""`qorch cancel`: end a run for good, and stop the process that works on it."""

import os
import signal
import socket
import time
from typing import TYPE_CHECKING

from qorch.cli.options import DbOption, JsonOption, RunArgument
from qorch.cli.output import print_json
from qorch.errors import RunBusyError, UsageError

if TYPE_CHECKING:
    from qorch.ports import Store
    from qorch.records import RunRecord
    from qorch.recovery import Cancellation

PATIENCE_SECONDS = 10.0
_POLL_SECONDS = 0.05


def cancel(run: RunArgument, db: DbOption = None, as_json: JsonOption = False) -> None:
    """Cancel a run, and its jobs at their provider.

    A process on this machine that works on it is stopped first.
    """
    from qorch.cli.database import open_database, require_run
    from qorch.records import RunState

    with open_database(db) as store:
        record = require_run(store, run)
        if record.state in {RunState.DONE, RunState.CANCELLED} and not store.open_jobs(record.run_id):
            raise UsageError(f"run {record.run_id} is {record.state} already; there is nothing to cancel")
        stopped_pid = _cancel(store, record.run_id)
        jobs = _cancel_jobs(store, record)
    if as_json:
        document = {"run": record.run_id, "state": RunState.CANCELLED, "stopped_pid": stopped_pid}
        print_json(document | {"jobs_cancelled": jobs.told, "jobs_over": jobs.over, "jobs_unseen": jobs.unseen})
        return
    process = f"; stopped process {stopped_pid}" if stopped_pid else ""
    print(f"run {record.run_id} is cancelled{process}{_say(jobs)}")


def _say(jobs: "Cancellation") -> str:
    told = f"; told the provider to cancel {jobs.told} jobs" if jobs.told else ""
    over = f"; {jobs.over} jobs are over there already" if jobs.over else ""
    unseen = f"; {jobs.unseen} jobs may still show up there: cancel again, to be sure" if jobs.unseen else ""
    advice = ". `qorch recover` shows what became of them" if told or over or unseen else ""
    return told + over + unseen + advice


def _cancel_jobs(store: "Store", record: "RunRecord") -> "Cancellation":
    """Ask the provider to cancel what it still has of a run. Jobs of this machine ended with it."""
    from qorch.config import read_config
    from qorch.ports import WallClock
    from qorch.recovery import Cancellation, cancel_jobs

    if not store.open_jobs(record.run_id):
        return Cancellation()
    with store.claim_run(record.run_id):
        return cancel_jobs(store, record, config=read_config(), clock=WallClock())


def _cancel(store: "Store", run_id: str) -> int | None:
    """Cancel a run; the process that had to be stopped for it, or None."""
    try:
        _mark(store, run_id)
    except RunBusyError:
        pid = _stop_worker(store, run_id)
        _mark_when_free(store, run_id, pid=pid)
        return pid
    return None


def _mark(store: "Store", run_id: str) -> None:
    from qorch.records import RunMove, RunState

    with store.claim_run(run_id):
        store.write([RunMove(run_id, RunState.CANCELLED)]).result()


def _stop_worker(store: "Store", run_id: str) -> int:
    """Send SIGTERM to the process of the last session. Raises RunBusyError where it is not on this machine."""
    session = store.sessions(run_id)[-1]
    if session.host != socket.gethostname():
        raise RunBusyError(f"process {session.pid} on {session.host} works on run {run_id}; cancel it there")
    try:
        os.kill(session.pid, signal.SIGTERM)
    except ProcessLookupError:
        # It ended just now, which is as good.
        return session.pid
    except PermissionError as error:
        raise RunBusyError(f"process {session.pid} works on run {run_id} and is not yours to stop") from error
    return session.pid


def _mark_when_free(store: "Store", run_id: str, *, pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return _mark(store, run_id)
        except RunBusyError:
            if time.monotonic() > deadline:
                raise RunBusyError(
                    f"process {pid} was told to stop run {run_id}, and has not ended after"
                    f" {PATIENCE_SECONDS:.0f} s; end it and cancel again"
                ) from None
            time.sleep(_POLL_SECONDS)
