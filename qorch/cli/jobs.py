"""`qorch jobs`: what was submitted to backends."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from qorch.cli.options import DbOption, JsonOption, RunOption
from qorch.cli.output import print_json, print_table
from qorch.errors import UsageError
from qorch.model.text import printable

if TYPE_CHECKING:
    from qorch.model.job import JobState
    from qorch.ports.records import JobRecord
    from qorch.ports.store import Store


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
        documents = [describe_job(store, job) for job in store.jobs(run_id, state=wanted)]
    if as_json:
        print_json({"jobs": documents})
    elif documents:
        columns = ("id", "step", "call", "state", "rows", "shots", "attempts", "provider_id", "error")
        rows = [[document[column] for column in columns] for document in map(_with_exact, documents)]
        print_table(
            [column.replace("_", " ") for column in columns],
            rows,
            optional=("call", "step", "attempts", "shots", "provider id", "rows"),
        )
        _print_names(documents)
        _print_failures(documents)
    else:
        print("no such jobs")


def _with_exact(document: dict[str, Any]) -> dict[str, Any]:
    """The document as the table has it: the word "exact" in place of a number of shots."""
    return {**document, "shots": "exact"} if document["is_exact"] else document


def _print_names(documents: list[dict[str, Any]]) -> None:
    """Print the names by which a person looks for held jobs in the provider's console."""
    from qorch.model.job import JobState

    held = [document for document in documents if document["state"] == JobState.UNKNOWN.value and document["name"]]
    if held:
        print("\nHeld: look for these names in the provider's own console, then run `qorch recover`.")
        print_table(("id", "name"), [(document["id"], document["name"]) for document in held])


def _print_failures(documents: list[dict[str, Any]]) -> None:
    """Print the errors of failed attempts that the table lacks, which has only the last error of a job."""
    failures = [
        (document["id"], failure["attempt"], printable(failure["error"]))
        for document in documents
        for failure in document["failed_attempts"]
        if failure["error"] != document["error"]
    ]
    if failures:
        print("\nAttempts that failed")
        print_table(("id", "attempt", "error"), failures)


def _read_state(text: str) -> "JobState":
    from qorch.model.job import JobState

    try:
        return JobState(text)
    except ValueError:
        states = ", ".join(state.value for state in JobState)
        raise UsageError(f"there is no job state '{text}'; choose one of {states}") from None


def describe_job(store: "Store", job: "JobRecord") -> dict[str, Any]:
    """A job's document; ``key`` and ``name`` (at the provider) are null once it is over.

    ``shots`` is the number of every row, or null. ``is_exact`` tells why: true for exact values; null if the rows
    differ or the number is not known, as of a job that was found at its provider.
    """
    from qorch.model.job import OPEN_STATES, JobState

    is_open = job.state in OPEN_STATES
    attempts = store.attempts(job.job_id) if is_open or job.state is JobState.FAILED or job.attempts > 1 else []
    key = attempts[-1].key if attempts and is_open else None
    return {
        "id": job.job_id,
        "run": job.run_id,
        "step": job.position.step,
        "call": job.position.call,
        "provider_id": job.provider_id,
        "key": key,
        "name": None if key is None else f"qorch {key[:16]}",
        "state": job.state.value,
        "rows": job.n_rows,
        "shots": job.shots or None,
        "is_exact": job.is_exact,
        "attempts": job.attempts,
        "changed_at": job.changed_at.isoformat(),
        "error": job.error,
        "failed_attempts": [
            {"attempt": attempt.ordinal, "at": attempt.started_at.isoformat(), "error": attempt.error}
            for attempt in attempts
            if attempt.error is not None
        ],
    }
