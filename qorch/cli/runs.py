"""`qorch runs`: all runs, newest first."""

from typing import TYPE_CHECKING, Any

from qorch.cli.options import DbOption, JsonOption
from qorch.cli.output import print_json, print_table

if TYPE_CHECKING:
    from qorch.ports import Store
    from qorch.records import RunRecord


def runs(db: DbOption = None, as_json: JsonOption = False) -> None:
    """List the runs, newest first."""
    from qorch.cli.database import open_database

    with open_database(db) as store:
        documents = [describe_run(store, run) for run in store.runs()]
        location = store.location
    if as_json:
        print_json({"runs": documents})
    elif documents:
        print_table(
            ("run", "state", "backend", "seed", "cache", "executed", "from cache", "seconds"),
            [_as_row(document) for document in documents],
            optional=("seed", "cache", "from cache", "seconds", "executed", "backend"),
        )
    else:
        print(f"no runs in {location} yet; start one with `qorch train digits`")


def describe_run(store: "Store", run: "RunRecord") -> dict[str, Any]:
    """A run's document: what it is, and its sums over all sessions."""
    from qorch.accounting import count_rows, state_now

    sessions = store.sessions(run.run_id)
    rows = count_rows(store, run.run_id)
    return {
        "run": run.run_id,
        "name": run.name,
        "workload": run.workload,
        "backend": run.backend,
        "seed": run.seed,
        "cache": run.cache,
        "state": state_now(store, run),
        "created_at": run.created_at.isoformat(),
        "sessions": len(sessions),
        "rows_executed": rows.executed,
        "rows_from_cache": rows.from_cache,
        "wall_seconds": round(sum(session.wall_ns for session in sessions) / 1e9, 3),
    }


def _as_row(document: dict[str, Any]) -> list[object]:
    words = [document[key] for key in ("run", "state", "backend", "seed", "cache")]
    counts = [f"{document[key]:,}" for key in ("rows_executed", "rows_from_cache")]
    return [*words, *counts, f"{document['wall_seconds']:.1f}"]
