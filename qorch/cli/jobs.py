"""`qorch jobs`: what was submitted to backends."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from qorch.cli.options import DbOption, JsonOption, RunOption
from qorch.cli.output import format_age, print_json, print_table
from qorch.cli.provider_sessions import describe_session, print_sessions
from qorch.errors import UsageError
from qorch.model.text import printable

if TYPE_CHECKING:
    from qorch.model.job import JobState
    from qorch.ports.records import JobRecord
    from qorch.ports.store import Jobs


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
        found = store.jobs(run_id, state=wanted)
        documents = [describe_job(store, job) for job in found]
        sessions = [describe_session(record) for record in store.open_provider_sessions(run_id)]
    if as_json:
        print_json({"jobs": documents, "open_sessions": sessions})
        return
    if documents:
        columns = ["id", "step", "call", "state", "executions", "shots", "attempts", "provider_id", "error"]
        if any(document["queue_position"] is not None for document in documents):
            columns.insert(columns.index("error"), "queue")
        if any(document["usage"] is not None for document in documents):
            columns.insert(columns.index("error"), "usage")
        shown = [_as_shown(document, job) for document, job in zip(documents, found, strict=True)]
        rows = [[document[column] for column in columns] for document in shown]
        print_table(
            [column.replace("_", " ") for column in columns],
            rows,
            optional=("call", "step", "attempts", "shots", "provider id", "executions"),
        )
        _print_names(documents)
        _print_failures(documents)
    else:
        print("no such jobs")
    print_sessions(sessions, title="Sessions open at their providers (of ended runs: `qorch recover` closes them)")


def _as_shown(document: dict[str, Any], job: "JobRecord") -> dict[str, Any]:
    """The document as the table has it: "exact" for a number of shots; the place in the queue and usage in words."""
    shots = "exact" if document["is_exact"] else document["shots"]
    usage = None if job.usage is None else str(job.usage)
    return {**document, "shots": shots, "queue": _describe_queue(document), "usage": usage}


def _describe_queue(document: dict[str, Any]) -> str | None:
    """Such as ``3rd in the queue, 12 s ago``."""
    from datetime import datetime

    from qorch.model.job import QueuePlace
    from qorch.ports.clock import WallClock

    if document["queue_position"] is None:
        return None
    seen_at = datetime.fromisoformat(document["queue_seen_at"])
    place = QueuePlace(document["queue_position"], seen_at, document["queue_position_is_least"])
    return f"{place}, {format_age((WallClock().now() - seen_at).total_seconds())}"


def _print_names(documents: list[dict[str, Any]]) -> None:
    """Print the names by which a person looks for held jobs in the provider's console."""
    from qorch.model.job import JobState

    held = [document for document in documents if document["state"] == JobState.UNKNOWN.value]
    named = [(document["id"], document["search_text"]) for document in held if document["search_text"]]
    if named:
        print("\nHeld: look for these names in the provider's own console, then run `qorch recover`.")
        print_table(("id", "name"), named)


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


def describe_job(store: "Jobs", job: "JobRecord") -> dict[str, Any]:
    """A job's document; ``key`` and ``search_text`` (by which it is found at the provider) are null once it is over.

    ``name`` and ``rows`` are the older names of ``search_text`` and ``executions``. ``shots`` is the number of every
    execution, or null. ``is_exact`` tells why: true for exact values; null if they differ or the number is not known,
    as of a job that was found at its provider. ``queue_position`` and what belongs to it are null unless the job was
    last seen in its provider's queue. ``usage``: what the provider reports that it was charged for, null if it was not
    asked.
    """
    from qorch.model.job import OPEN_STATES, JobState

    is_open = job.state in OPEN_STATES
    attempts = store.attempts(job.job_id) if is_open or job.state is JobState.FAILED or job.attempts > 1 else []
    last = attempts[-1] if attempts and is_open else None
    search_text = None if last is None else last.name_at_provider
    place = job.queue_place if job.state is JobState.SUBMITTED else None
    return {
        "id": job.job_id,
        "run": job.run_id,
        "step": job.position.step,
        "call": job.position.call,
        "provider_id": job.provider_id,
        "key": None if last is None else last.key,
        "search_text": search_text,
        "name": search_text,
        "state": job.state.value,
        "executions": job.n_executions,
        "rows": job.n_executions,
        "shots": job.shots or None,
        "is_exact": job.is_exact,
        "attempts": job.attempts,
        "changed_at": job.changed_at.isoformat(),
        "error": job.error,
        "queue_position": None if place is None else place.position,
        "queue_position_is_least": None if place is None else place.is_least,
        "queue_seen_at": None if place is None else place.seen_at.isoformat(),
        "usage": None if job.usage is None else job.usage.to_json(),
        "failed_attempts": [
            {"attempt": attempt.ordinal, "at": attempt.started_at.isoformat(), "error": attempt.error}
            for attempt in attempts
            if attempt.error is not None
        ],
    }
