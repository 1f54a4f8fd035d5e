"""`qorch show`: one run's settings, steps, sessions and jobs."""

import shlex
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from qorch.cli.options import DbOption, JsonOption, RunArgument
from qorch.cli.output import print_json, print_table
from qorch.cli.provider_sessions import describe_session, print_sessions
from qorch.model.money import Money
from qorch.model.text import printable

if TYPE_CHECKING:
    from qorch.model.usage import UsageTotals
    from qorch.ports.store import Store


def show(run: RunArgument, db: DbOption = None, as_json: JsonOption = False) -> None:
    """Show one run's settings, steps, sessions and jobs."""
    from qorch.cli.database import open_database

    with open_database(db) as store:
        document = _describe(store, run)
        usage = _total_usage(store, document["run"])
    if as_json:
        print_json(document)
    else:
        _print(document, usage=usage)


def _total_usage(store: "Store", run_id: str) -> "UsageTotals":
    """What the provider reports that the run's jobs were charged for."""
    from qorch.cli.database import require_run
    from qorch.run.totals import total_usage

    return total_usage(require_run(store, run_id), store.jobs(run_id))


def _describe(store: "Store", name: str) -> dict[str, Any]:
    from qorch.cli.runs import describe_run
    from qorch.stored_run import open_run

    run = open_run(name, db=store)
    metrics: dict[int, dict[str, float]] = defaultdict(dict)
    for metric in store.metrics(run.run_id):
        metrics[metric.step][metric.name] = metric.value
    return {
        **describe_run(run),
        "environment": run.environment,
        "steps": [
            {
                "step": step.step,
                "session": step.session,
                "epoch": step.epoch,
                "begun_at": None if step.begun_at is None else step.begun_at.isoformat(),
                "ended_at": step.ended_at.isoformat(),
                "executions": step.executions,
                "executions_from_cache": step.executions_from_cache,
                "rows_executed": step.executions,
                "rows_from_cache": step.executions_from_cache,
                "metrics": metrics[step.step],
            }
            for step in store.steps(run.run_id)
        ],
        "worked_on_by": [
            {
                "session": session.ordinal,
                "pid": session.pid,
                "host": session.host,
                "started_at": session.started_at.isoformat(),
                "wall_seconds": session.wall_ns / 1e9,
            }
            for session in store.sessions(run.run_id)
        ],
        "provider_sessions": [describe_session(record) for record in store.provider_sessions(run.run_id)],
        "jobs_by_state": dict(Counter(job.state.value for job in store.jobs(run.run_id))),
        "usage": _total_usage(store, run.run_id).to_json(),
    }


def _print(document: dict[str, Any], *, usage: "UsageTotals") -> None:
    from qorch.cli.run_table import flatten

    where = f"on {document['backend']}, seed {document['seed']}"
    print(printable(f"run {document['run']} ({document['state']}) {where}"))
    for name, value in flatten(document["settings"]).items():
        print(f"  {printable(name):<12}{_as_text(value)}")
    for name, value in flatten(document["environment"]).items():
        print(f"  {printable(name):<20}{_as_text(value)}")
    jobs = ", ".join(f"{count} {state}" for state, count in document["jobs_by_state"].items())
    unsent = f" ({document['jobs_unsent']} of them never sent)" if document["jobs_unsent"] else ""
    print(f"jobs: {jobs or 'none'}{unsent}")
    booked = [document[name] for name in ("spent", "reserved") if document[name]]
    if document["budget"] or any(money["micros"] for money in booked):
        print(f"money: {_money(document['spent'])} spent, {_money(document['reserved'])} reserved{_budget(document)}")
    print(f"charged for: {usage}\n" if str(usage) else "")
    print_table(
        ("session", "pid", "host", "started at", "wall seconds"),
        [
            (item["session"], item["pid"], item["host"], item["started_at"][:19], f"{item['wall_seconds']:.2f}")
            for item in document["worked_on_by"]
        ],
        optional=("host", "pid"),
    )
    print()
    print_table(
        ("step", "session", "executions", "from cache", "metrics"),
        [
            (item["step"], item["session"], item["executions"], item["executions_from_cache"], _figures(item))
            for item in document["steps"]
        ],
        optional=("session", "from cache", "executions"),
    )
    print_sessions(document["provider_sessions"], title="Sessions at the provider")


def _money(found: dict[str, Any] | None) -> str:
    return "an unknown sum" if found is None else str(Money(**found))


def _budget(document: dict[str, Any]) -> str:
    return f", of a budget of {_money(document['budget'])}" if document["budget"] else ""


def _as_text(value: object) -> str:
    """A setting, a version, or the arguments of a command."""
    if value is None:
        return "none"
    return printable(shlex.join(map(str, value)) if isinstance(value, list) else str(value))


def _figures(step: dict[str, Any]) -> str:
    return " · ".join(f"{printable(name)} {value:.4g}" for name, value in step["metrics"].items())
