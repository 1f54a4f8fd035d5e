"""What is shown of a sweep: its document, its table, best trial first, and the line of each trial that ends."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qorch.cli.output import print_table
from qorch.cli.run_table import as_number, safe_cell
from qorch.model.money import Money
from qorch.model.text import format_count, printable
from qorch.sweeps.ranking import Ranking, choose_ranking
from qorch.sweeps.stored_trial import StoredTrial
from qorch.sweeps.trial import Trial

_NOT_BEGUN, _FAILED = "not begun", "failed"
_MOST_LETTERS = 9
_OPTIONAL = ("trial", "seconds", "steps", "from cache", "money")


@dataclass(frozen=True)
class SweepView:
    """A sweep as it is shown: its trials best first, those that were never begun last.

    ``names``: the options whose values differ; ``problems``: by the trial's name, the sentence why it is not done.
    """

    sweep: str
    trials: Sequence[StoredTrial]
    ranking: Ranking
    names: Sequence[str]
    waiting: Sequence[Trial] = ()
    problems: Mapping[str, str] = field(default_factory=dict)


def view_sweep(
    sweep: str,
    trials: Sequence[StoredTrial],
    *,
    metric: str | None,
    direction: str | None,
    names: Sequence[str] | None = None,
    planned: Iterable[Trial] = (),
    problems: Mapping[str, str] | None = None,
) -> SweepView:
    """Order trials. ``names``: the options that are swept, by default those that differ; ``planned``: all trials.

    Raises UnknownNameError for a metric that no trial logged.
    """
    ranking = choose_ranking(trials, metric=metric, direction=direction)
    begun = {trial.run_name for trial in trials}
    waiting = [trial for trial in planned if trial.run_name not in begun]
    return SweepView(sweep, ranking.order(trials), ranking, names or differing(trials), waiting, dict(problems or {}))


def differing(trials: Sequence[StoredTrial]) -> list[str]:
    """The options in which trials differ."""
    names = list(dict.fromkeys(name for trial in trials for name in trial.options))
    return [name for name in names if len({trial.options.get(name) for trial in trials}) > 1]


def describe_sweep(view: SweepView) -> dict[str, Any]:
    """The JSON document of a sweep."""
    best = view.ranking.best(view.trials)
    return {
        "sweep": view.sweep,
        "program": next((trial.program for trial in view.trials), None),
        "metric": view.ranking.metric,
        "direction": view.ranking.direction,
        "options": list(view.names),
        "best": None if best is None else best.run_name,
        "executions": sum(trial.executions for trial in view.trials),
        "executions_from_cache": sum(trial.executions_from_cache for trial in view.trials),
        "spent": _as_json(total_spent(view.trials)),
        "trials": [
            *(_describe_trial(trial, view) for trial in view.trials),
            *(_describe_waiting(trial, view) for trial in view.waiting),
        ],
    }


def _describe_trial(trial: StoredTrial, view: SweepView) -> dict[str, Any]:
    return {
        "trial": trial.run_name,
        "run": trial.run_id,
        "state": trial.state,
        "problem": None if trial.is_done else view.problems.get(trial.run_name),
        "options": {name: trial.options.get(name) for name in view.names},
        "metrics": dict(trial.metrics),
        "steps": trial.steps,
        "executions": trial.executions,
        "executions_from_cache": trial.executions_from_cache,
        "spent": _as_json(trial.spent),
        "wall_seconds": round(trial.seconds, 3),
    }


def _describe_waiting(trial: Trial, view: SweepView) -> dict[str, Any]:
    return {
        "trial": trial.run_name,
        "run": None,
        "state": _FAILED if trial.run_name in view.problems else _NOT_BEGUN,
        "problem": view.problems.get(trial.run_name),
        "options": {name: trial.value_of(name) for name in view.names},
        "metrics": {},
        "steps": 0,
        "executions": 0,
        "executions_from_cache": 0,
        "spent": None,
        "wall_seconds": 0.0,
    }


def print_sweep(view: SweepView) -> None:
    """The table, best first, what all trials came to, and the sentence of each that failed."""
    document = describe_sweep(view)
    metrics = _metric_columns(document["trials"], first=view.ranking.metric)
    headings = [*view.names, *metrics, "state", "executions", "from cache", "money", "steps", "seconds", "trial"]
    print_table(
        [printable(heading) for heading in headings],
        [_row(trial, view.names, metrics) for trial in document["trials"]],
        optional=_OPTIONAL,
    )
    print(_sum_up(view, document))
    for trial in document["trials"]:
        if trial["problem"]:
            print(printable(f"{_values(trial['options'])}: {trial['state']}: {trial['problem']}"))


def _row(trial: Mapping[str, Any], names: Sequence[str], metrics: Sequence[str]) -> list[object]:
    spent = trial["spent"]
    return [
        *(_short(trial["options"][name]) for name in names),
        *(format_metric(trial["metrics"].get(name)) for name in metrics),
        trial["state"],
        f"{trial['executions']:,}",
        f"{trial['executions_from_cache']:,}",
        None if spent is None else str(Money(**spent)),
        trial["steps"],
        f"{trial['wall_seconds']:.1f}",
        trial["trial"],
    ]


def _short(value: str | None) -> str | None:
    """A number that a sampler chose, with six digits; any other text as it is."""
    number = None if value is None or len(value) <= _MOST_LETTERS else as_number(value)
    return value if number is None else f"{number:.6g}"


def _metric_columns(trials: Sequence[Mapping[str, Any]], *, first: str) -> list[str]:
    names = dict.fromkeys(name for trial in trials for name in trial["metrics"])
    return [first, *(name for name in names if name != first)]


def format_metric(value: float | None) -> str | None:
    """A metric with four digits."""
    return None if value is None else f"{value:.4g}"


def _sum_up(view: SweepView, document: Mapping[str, Any]) -> str:
    done = sum(trial["state"] == "done" for trial in document["trials"])
    spent = total_spent(view.trials)
    parts = [
        f"{done} of {format_count(len(document['trials']), 'trial')} done",
        f"{document['executions']:,} executions",
        f"{document['executions_from_cache']:,} from the cache",
        *([] if spent is None else [f"{spent} spent"]),
    ]
    best = view.ranking.best(view.trials)
    if best is not None:
        value = format_metric(view.ranking.value_of(best))
        options = _values({name: best.options.get(name) for name in view.names})
        parts.append(f"best {view.ranking.metric} {value} ({view.ranking.direction}d): {options}")
    return printable("; ".join(parts))


def _values(options: Mapping[str, str | None]) -> str:
    return " ".join(f"{name}={_short(value)}" for name, value in options.items() if value is not None) or "defaults"


def total_spent(trials: Iterable[StoredTrial]) -> Money | None:
    """What all trials have spent; None if one that executed something does not know, or in several currencies."""
    total: Money | None = None
    for trial in trials:
        if trial.spent is None and trial.executions == 0:
            continue
        if trial.spent is None or (total is not None and total.currency != trial.spent.currency):
            return None
        total = trial.spent if total is None else total + trial.spent
    return total


def _as_json(money: Money | None) -> dict[str, object] | None:
    return None if money is None else money.to_json()


def csv_of_sweep(view: SweepView) -> str:
    """The table as comma-separated values, options and metrics by their dotted names."""
    document = describe_sweep(view)
    metrics = _metric_columns(document["trials"], first=view.ranking.metric)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    plain = ("trial", "run", "state", "steps", "executions", "executions_from_cache", "wall_seconds", "spent")
    headings = [*plain, *(f"options.{name}" for name in view.names), *(f"metrics.{name}" for name in metrics)]
    writer.writerow([safe_cell(heading) for heading in headings])
    for trial in document["trials"]:
        spent = trial["spent"]
        cells = [
            *(trial[name] for name in plain[:-1]),
            None if spent is None else str(Money(**spent)),
            *(trial["options"][name] for name in view.names),
            *(trial["metrics"].get(name) for name in metrics),
        ]
        writer.writerow([safe_cell(cell) for cell in cells])
    return text.getvalue()
