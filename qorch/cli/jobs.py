"""`qorch jobs`: what was submitted to backends."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from qorch.cli.options import DbOption, JsonOption, RunOption
from qorch.cli.output import print_json, print_table
from qorch.errors import UsageError

if TYPE_CHECKING:
    from qorch.model.job import JobState
    from qorch.records import JobRecord


def jobs(
    run: RunOption = None,
    state: Annotated[str | None, typer.Option(metavar="S", help="Only jobs in this state.")] = None,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """List jobs, oldest first."""
    from qorch.cli.database import open_database, require_run

    wanted = None if state is None else _read_state(state)
    with open_database(db) as store:
        run_id = None if run is None else require_run(store, run).run_id
        documents = [describe_job(job) for job in store.jobs(run_id, state=wanted)]
    if as_json:
        print_json({"jobs": documents})
    elif documents:
        columns = ("id", "step", "call", "state", "rows", "shots", "attempts", "provider_id", "error")
        rows = [[document[column] for column in columns] for document in documents]
        print_table([column.replace("_", " ") for column in columns], rows)
    else:
        print("no such jobs")


def _read_state(text: str) -> "JobState":
    from qorch.model.job import JobState

    try:
        return JobState(text)
    except ValueError:
        states = ", ".join(state.value for state in JobState)
        raise UsageError(f"there is no job state '{text}'; choose one of {states}") from None


def describe_job(job: "JobRecord") -> dict[str, Any]:
    """A job's document; ``shots`` is null for exact values."""
    return {
        "id": job.job_id,
        "run": job.run_id,
        "step": job.position.step,
        "call": job.position.call,
        "provider_id": job.provider_id,
        "state": job.state.value,
        "rows": job.n_rows,
        "shots": job.shots,
        "attempts": job.attempts,
        "changed_at": job.changed_at.isoformat(),
        "error": job.error,
    }
