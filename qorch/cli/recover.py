"""`qorch recover`: bring to an end what crashed or interrupted runs left at their providers."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from qorch.cli.exit_codes import DONE, FAILED, HELD_JOBS
from qorch.cli.options import DbOption, JsonOption
from qorch.cli.output import print_aside, print_json, print_table
from qorch.cli.provider_sessions import describe_session, print_sessions
from qorch.errors import UsageError
from qorch.model.text import format_count, printable

if TYPE_CHECKING:
    from qorch.ports.records import JobRecord
    from qorch.ports.store import Store
    from qorch.recovery import RunRecovery, UsageRecovery


def recover(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="Only this run: id, name, or latest.")] = None,
    release: Annotated[
        list[str] | None,
        typer.Option(metavar="JOB", help="Give up a held job that is not in the provider's console. May be repeated."),
    ] = None,
    adopt: Annotated[
        list[str] | None,
        typer.Option(
            metavar="JOB=ID",
            help="Take the results of a held job, by its id in the provider's console. May be repeated.",
        ),
    ] = None,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> int:
    """Finish jobs that were left open: look them up by their keys, fetch what has finished, hold what stays unknown.

    First asks what jobs were charged for if that is not known, and waits for none of it. Sessions that were left open
    at a provider are closed. Then waits for what is still queued; Ctrl-C loses nothing. Never submits anything. Results
    go into the database, where `qorch train --resume` finds them. Exits with 4 while jobs are held, and with 1 if
    nothing could be done.
    """
    from qorch.cli.database import open_database, require_run
    from qorch.config import read_config
    from qorch.model.job import JobState
    from qorch.ports.clock import WallClock
    from qorch.recovery import recover_runs, recover_usage

    with open_database(db) as store:
        released = _decide(store, release or [], adopt or [])
        wanted = None if run is None else require_run(store, run).run_id
        config, clock = read_config(), WallClock()
        usage = recover_usage(store, wanted, config=config, clock=clock)
        run_ids = _find_open_runs(store, wanted)
        if run_ids:
            print_aside(
                f"looking up what is open of {format_count(len(run_ids), 'run')}; Ctrl-C stops, and loses nothing"
            )
        ended = recover_runs(store, run_ids, config=config, clock=clock)
        held = len(store.jobs(wanted, state=JobState.UNKNOWN))
    _print([*released, *ended], usage, held=held, as_json=as_json)
    if held:
        return HELD_JOBS
    return FAILED if any(recovery.problem and not recovery.is_at_work for recovery in ended) else DONE


def _find_open_runs(store: "Store", run_id: str | None) -> list[str]:
    """The runs that may have jobs or sessions at their providers, or money reserved for jobs that were never sent."""
    from qorch.model.job import JobState

    jobs = [*store.open_jobs(run_id), *store.jobs(run_id, state=JobState.RESERVED)]
    sessions = store.open_provider_sessions(run_id)
    return list(dict.fromkeys([*(job.run_id for job in jobs), *(session.run_id for session in sessions)]))


def _decide(store: "Store", release: list[str], adopt: list[str]) -> "list[RunRecovery]":
    """Write down what a person found; what was released."""
    from qorch.engine.remote.recovery import Recovered, RecoveryOutcome
    from qorch.ports.clock import WallClock
    from qorch.recovery import RunRecovery, adopt_job, release_job

    found = [text.rpartition("=") for text in adopt]
    for text, (job_id, _, provider_id) in zip(adopt, found, strict=True):
        if not job_id or not provider_id:
            raise UsageError(f"--adopt takes a job and the provider's id of it, such as JOB=ID, not '{text}'")
    released = [release_job(store, job_id, clock=WallClock()) for job_id in release]
    for job_id, _, provider_id in found:
        adopt_job(store, job_id, provider_id, clock=WallClock())
    return [RunRecovery(job.run_id, "", (Recovered(job, RecoveryOutcome.RELEASED),)) for job in released]


def _print(ended: "list[RunRecovery]", usage: "list[UsageRecovery]", *, held: int, as_json: bool) -> None:
    documents = [document for recovery in ended for document in _describe(recovery)]
    sessions = [describe_session(session) for recovery in ended for session in recovery.sessions]
    if as_json:
        described = [_describe_usage(recovery) for recovery in usage]
        print_json({"jobs": documents, "held": held, "sessions": sessions, "usage": described})
        return
    _print_jobs(documents)
    print_sessions(sessions, title="Sessions at the provider")
    if not documents and not sessions:
        print("nothing is open")
    for recovery in usage:
        print(f"{printable(recovery.backend)} charged for: {str(recovery.totals) or 'nothing that it reports'}")
        if recovery.problem is not None:
            print_aside(f"{recovery.backend} cannot be asked what jobs were charged for: {recovery.problem}")


def _describe_usage(recovery: "UsageRecovery") -> dict[str, Any]:
    """Of the jobs of one backend whose usage was not known."""
    return {"backend": recovery.backend, **recovery.totals.to_json(), "problem": recovery.problem}


def _print_jobs(documents: list[dict[str, Any]]) -> None:
    if not documents:
        return
    columns = ("run", "job", "executions", "ending", "reason")
    print_table(
        columns,
        [[document[column] for column in columns] for document in documents],
        optional=("run", "executions"),
    )


def _describe(recovery: "RunRecovery") -> list[dict[str, Any]]:
    """A document per job, or one for a run about which nothing could be done."""
    if recovery.problem is not None:
        return [_document(recovery.run_id, None, ending="left", reason=recovery.problem)]
    return [
        _document(recovery.run_id, recovered.job, ending=recovered.outcome.value, reason=recovered.reason or None)
        for recovered in recovery.jobs
    ]


def _document(run_id: str, job: "JobRecord | None", *, ending: str, reason: str | None) -> dict[str, Any]:
    """``rows`` is the older name of ``executions``."""
    job_id, executions = (None, None) if job is None else (job.job_id, job.n_executions)
    return {
        "run": run_id,
        "job": job_id,
        "executions": executions,
        "rows": executions,
        "ending": ending,
        "reason": reason,
    }
