"""`qorch runs`: all runs, newest first, or filtered and sorted by any column."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from qorch.cli.options import DbOption, JsonOption
from qorch.cli.output import print_json, print_table
from qorch.errors import UsageError

if TYPE_CHECKING:
    from qorch.model.money import Money
    from qorch.stored_run import StoredRun

_SORT = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Sort by a metric, a setting or a column; -COLUMN: largest first.")
]
_FILTER = Annotated[
    list[str] | None,
    typer.Option(
        "--filter", metavar="COLUMN=VALUE", help="Only such runs; also != < <= > >=; may be given several times."
    ),
]
_STATE = Annotated[str | None, typer.Option(metavar="S", help="Only runs in this state.")]
_LIMIT = Annotated[int | None, typer.Option(metavar="N", min=1, help="Only the first N of them.")]
_REVERSE = Annotated[bool, typer.Option("--reverse", help="The other way round.")]
_CSV = Annotated[bool, typer.Option("--csv", help="Print all columns as comma-separated values.")]


def runs(
    sort: _SORT = None,
    filters: _FILTER = None,
    state: _STATE = None,
    limit: _LIMIT = None,
    reverse: _REVERSE = False,
    as_csv: _CSV = False,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the runs, newest first, with their metrics and the settings in which they differ.

    For example: qorch runs --sort -test_accuracy --filter 'lr>0.01' --limit 10
    """
    from qorch.cli.database import open_database
    from qorch.cli.run_table import Query, csv_text, read_filter, table_of
    from qorch.stored_run import list_runs

    if as_csv and as_json:
        raise UsageError("give --csv or --json, not both")
    query = Query(
        sort=sort,
        is_reversed=reverse,
        filters=tuple(map(read_filter, filters or ())),
        state=None if state is None else _read_run_state(state),
        limit=limit,
    )
    with open_database(db) as store:
        documents = [describe_run(run) for run in list_runs(store, store)]
        location = store.location
    chosen = query.choose(documents)
    if as_json:
        print_json({"runs": chosen})
    elif as_csv:
        print(csv_text(chosen), end="")
    elif chosen:
        print_table(*table_of(chosen, first=sort))
    elif documents:
        print("no such runs")
    else:
        print(f"no runs in {location} yet; start one with `qorch train digits`")


def _read_run_state(text: str) -> str:
    from qorch.ports.records import RunState
    from qorch.run.totals import INTERRUPTED

    states = (
        RunState.RUNNING, INTERRUPTED, RunState.DONE, RunState.STOPPED, RunState.FAILED, RunState.CANCELLED
    )  # fmt: skip
    if text not in states:
        raise UsageError(f"there is no state '{text}' of runs; choose one of {', '.join(states)}")
    return text


def _as_json(money: "Money | None") -> dict[str, object] | None:
    return None if money is None else money.to_json()


def describe_run(run: "StoredRun") -> dict[str, Any]:
    """A run's document: its settings, and its sums over all sessions; ``rows_executed`` and so on are older names."""
    totals = run.totals
    return {
        "run": run.run_id,
        "name": run.name,
        "workload": run.record.workload,
        "backend": run.record.backend,
        "seed": run.record.seed,
        "cache": run.record.cache,
        "state": run.state,
        "created_at": run.created_at.isoformat(),
        "active_until": None if totals.active_until is None else totals.active_until.isoformat(),
        "sessions": totals.sessions,
        "steps": totals.steps,
        "jobs": totals.jobs,
        "jobs_unsent": totals.jobs_unsent,
        "executions": totals.executions,
        "executions_from_cache": totals.executions_from_cache,
        "rows_executed": totals.executions,
        "rows_from_cache": totals.executions_from_cache,
        "wall_seconds": round(totals.wall_seconds, 3),
        "budget": _as_json(run.budget),
        "spent": _as_json(run.money.spent),
        "reserved": _as_json(run.money.reserved),
        "metrics": run.metrics,
        "settings": run.settings,
    }
