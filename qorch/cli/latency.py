"""`qorch latency`: how long each phase took per job, over many runs, by backend and by hour of the day."""

import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qorch.cli.completion import complete_runs
from qorch.cli.options import DbOption, JsonOption
from qorch.cli.output import print_json, print_table
from qorch.errors import UsageError
from qorch.model.text import printable

if TYPE_CHECKING:
    from qorch.audit.latency import LatencyGroup
    from qorch.ports.records import RunRecord
    from qorch.ports.store import Store

_RUNS = Annotated[
    list[str] | None,
    typer.Argument(metavar="[RUN…]", help="Only these runs; by default all.", autocompletion=complete_runs),
]
_BY = Annotated[
    str | None,
    typer.Option("--by", metavar="backend|hour|phase", help="Rows for each of them; several, separated by commas."),
]
_BACKEND = Annotated[
    str | None, typer.Option("--backend", metavar="B", help="Only on this backend: a name, or its beginning.")
]
_PHASE = Annotated[str | None, typer.Option("--phase", metavar="P", help="Only this phase, by its id or its label.")]
_SINCE = Annotated[
    str | None, typer.Option("--since", metavar="DATE", help="Only what began on that day (of the zone) or later.")
]
_ZONE = Annotated[
    str, typer.Option("--time-zone", metavar="ZONE", help="Of days and hours, such as Europe/Vienna; by default UTC.")
]
_CSV = Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")]


def latency(
    runs: _RUNS = None,
    by: _BY = None,
    backend: _BACKEND = None,
    phase: _PHASE = None,
    since: _SINCE = None,
    time_zone: _ZONE = "UTC",
    as_csv: _CSV = False,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the median, 90th and 99th percentile of each phase per job, over all runs or some.

    For example: qorch latency --backend ionq --phase provider_queue --by hour --time-zone Europe/Vienna
    """
    from qorch.audit.latency import measure_latency
    from qorch.cli.database import open_database

    if as_csv and as_json:
        raise UsageError("give --csv or --json, not both")
    groupings, zone = _read_groupings(by), _find_zone(time_zone)
    first = _read_since(since, zone)
    wanted = None if phase is None else _find_phase(phase)
    with open_database(db) as store:
        chosen = _choose(store, runs or [], backend)
        groups = measure_latency(store, chosen, by=groupings, since=first, zone=zone)
    shown = [group for group in groups if wanted is None or group.phase == wanted]
    documents = [group.to_json(groupings) for group in shown]
    if as_json:
        print_json({"by": [*groupings, "phase"], "time_zone": time_zone, "since": since, "runs": len(chosen),
                    "latency": documents})  # fmt: skip
    elif as_csv:
        _print_csv(documents, groupings)
    elif shown:
        _print_groups(shown, groupings, time_zone)
    else:
        print("no such jobs; those of mocks count only with --backend mock, or if their runs are named")


def _read_groupings(text: str | None) -> list[str]:
    """Of ``GROUPINGS``, without the phase, which is always there."""
    from qorch.audit.latency import GROUPINGS

    names = [name.strip() for name in (text or "phase").split(",")]
    wrong = [name for name in names if name not in (*GROUPINGS, "phase")]
    if wrong:
        raise UsageError(f"--by has '{wrong[0]}'; it takes {', '.join((*GROUPINGS, 'phase'))}")
    return [name for name in GROUPINGS if name in names]


def _find_zone(name: str) -> datetime.tzinfo:
    from qorch.audit.latency import find_zone

    try:
        return find_zone(name)
    except (KeyError, ValueError, OSError) as error:
        raise UsageError(f"--time-zone is '{name}', which this machine does not know; try Europe/Vienna") from error


def _read_since(text: str | None, zone: datetime.tzinfo) -> datetime.datetime | None:
    if text is None:
        return None
    try:
        return datetime.datetime.fromisoformat(text).replace(tzinfo=zone)
    except ValueError as error:
        raise UsageError(f"--since is '{text}'; write a date such as 2026-11-30") from error


def _find_phase(text: str) -> str:
    from qorch.audit.phases import LABELS

    found = [phase.value for phase, label in LABELS.items() if text in (phase.value, label)]
    if not found:
        raise UsageError(f"there is no phase '{text}'; choose one of {', '.join(phase.value for phase in LABELS)}")
    return found[0]


def _choose(store: "Store", names: list[str], backend: str | None) -> "list[RunRecord]":
    from qorch.cli.database import require_run
    from qorch.model.backend_name import is_mock
    from qorch.model.budget import is_within

    beginning = (backend or "").lower()
    runs = [require_run(store, name) for name in names] if names else store.runs()
    takes_mocks = bool(names) or is_mock(beginning)
    return [
        run for run in runs if is_within(run.backend.lower(), beginning) and (takes_mocks or not is_mock(run.backend))
    ]


def _print_csv(documents: list[dict[str, Any]], groupings: list[str]) -> None:
    import csv
    import sys

    from qorch.cli.run_table import safe_cell

    columns = [*groupings, "phase_id", "phase", "count", "p50_seconds", "p90_seconds", "p99_seconds",
               "resolution_seconds"]  # fmt: skip
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([safe_cell(document[column]) for column in columns] for document in documents)


def _print_groups(groups: "list[LatencyGroup]", groupings: list[str], zone: str) -> None:
    from qorch.audit.phases import label_of
    from qorch.audit.resolution import describe

    headings = {"backend": "backend", "hour": f"hour ({printable(zone)})"}
    rows = [
        [
            *(f"{group.hour:02}" if name == "hour" else group.backend for name in groupings), label_of(group.phase),
            f"{group.count:,}", *(_seconds(each) for each in (group.p50_seconds, group.p90_seconds, group.p99_seconds)),
            describe(group.resolution_seconds, ()),
        ]
        for group in groups
    ]  # fmt: skip
    columns = [*(headings[name] for name in groupings), "phase", "count", "p50", "p90", "p99", "exact"]
    print_table(columns, rows, optional=["exact"])


def _seconds(value: float) -> str:
    return f"{value * 1e3:,.1f} ms" if value < 1.0 else f"{value:,.2f} s"
