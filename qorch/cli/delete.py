"""`qorch delete`: delete runs with everything that belongs to them."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from qorch.cli.options import DbOption, JsonOption, RunsArgument
from qorch.cli.output import format_bytes, print_aside, print_json
from qorch.errors import QorchError, UsageError
from qorch.model.text import printable

if TYPE_CHECKING:
    from qorch.ports.records import RunRecord
    from qorch.ports.store import Store

_FORCE = Annotated[
    bool, typer.Option("--force", help="Also runs with paid results or open jobs; what was paid stays in the books.")
]
_YES = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def delete(
    runs: RunsArgument, force: _FORCE = False, yes: _YES = False, db: DbOption = None, as_json: JsonOption = False
) -> None:
    """Delete runs: their results, checkpoints, metrics and jobs; the file shrinks.

    A run with paid results or open jobs is refused without --force. With it, what may have been paid for stays in the
    books: the jobs, their attempts and the ledger.
    """
    from qorch.cli.database import open_database, require_run

    with open_database(db) as store:
        found = {record.run_id: record for record in (require_run(store, run) for run in runs)}
        for run_id, record in found.items():
            if store.holder_of(run_id):
                raise UsageError(f"a process works on run {run_id}; stop it first: qorch cancel {run_id}")
            _keeps_books(store, record, force=force)
        _confirm(list(found), is_sure=yes or as_json)
        books = {run_id: _delete(store, run_id, force=force) for run_id in found}
        freed = store.shrink()
    if as_json:
        print_json({"deleted": list(found), "in_books": [run for run, keeps in books.items() if keeps], "bytes": freed})
        return
    for run_id, keeps in books.items():
        kept = "; its jobs and what they cost stay in the books" if keeps else ""
        print(f"run {printable(run_id)} is deleted{kept}")
    print(f"the database is {format_bytes(freed)} smaller")


def _delete(store: "Store", run_id: str, *, force: bool) -> bool:
    """Delete a run; whether it leaves books. While the user was asked, another process may have resumed it."""
    from qorch.cli.database import require_run
    from qorch.ports.clock import WallClock
    from qorch.recovery import drop_unsent

    with store.claim_run(run_id):
        drop_unsent(store, run_id, clock=WallClock())
        keeps = _keeps_books(store, require_run(store, run_id), force=force)
        store.delete_run(run_id, keep_books=keeps)
    return keeps


def _keeps_books(store: "Store", record: "RunRecord", *, force: bool) -> bool:
    """Whether a run leaves books. Raises UsageError for a run that must not be deleted."""
    from qorch.ports.records import RunState
    from qorch.run.totals import may_have_paid

    run_id = record.run_id
    if record.state == RunState.DELETED:
        raise UsageError(f"run {run_id} is deleted already; its books stay")
    is_paid, open_jobs = may_have_paid(store, record), len(store.open_jobs(run_id))
    open_sessions = len(store.open_provider_sessions(run_id))
    if force or not (is_paid or open_jobs or open_sessions):
        return is_paid or open_sessions > 0
    reasons = [
        *(["it has paid results"] if is_paid else []),
        *([f"{open_jobs} of its jobs are open"] if open_jobs else []),
        *([f"{open_sessions} of its sessions may be open at the provider"] if open_sessions else []),
    ]
    raise UsageError(f"run {run_id} is kept: {' and '.join(reasons)}; delete it all the same with --force")


def _confirm(run_ids: list[str], *, is_sure: bool) -> None:
    """Ask on a terminal; elsewhere the command means what it says. Raises QorchError for anything but yes."""
    if is_sure or not sys.stdin.isatty():
        return
    for run_id in run_ids:
        print_aside(f"  {run_id}")
    if not typer.confirm(
        f"Delete {'this run' if len(run_ids) == 1 else f'these {len(run_ids)} runs'} for good?", err=True
    ):
        raise QorchError("nothing was deleted")
