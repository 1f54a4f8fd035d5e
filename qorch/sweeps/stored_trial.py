"""Reads the trials of a sweep back from the database, those of other processes too, also while they work."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qorch.model.money import Money
from qorch.ports.records import RunState
from qorch.ports.store import Store
from qorch.stored_run import StoredRun, list_runs
from qorch.sweeps.trial import sweep_of

_HIDDEN = frozenset({"name", "workload", "sweep_budget", "budget", "cache", "own", "options", "script"})
"""Settings that do not tell one trial of a sweep from another."""


@dataclass(frozen=True)
class StoredTrial:
    """A trial as the database has it.

    ``state``: of its run (see ``StoredRun.state``). ``options``: as text, by the names of the command line;
    ``seed`` and ``backend`` are among them. ``metrics``: the newest value of each. ``executions``: without those from
    the cache. ``spent``: None if it is not known. ``seconds``: of wall time, in all sessions.
    """

    run_name: str
    run_id: str
    program: str
    state: str
    options: Mapping[str, str]
    metrics: Mapping[str, float]
    steps: int
    executions: int
    executions_from_cache: int
    spent: Money | None
    seconds: float

    @property
    def is_done(self) -> bool:
        """Whether it was trained to its end, and is not trained again."""
        return self.state == RunState.DONE


def read_trials(store: Store, sweep: str) -> list[StoredTrial]:
    """The trials of a sweep that were begun, oldest first; of several runs of one name the newest."""
    found = {run.name: run for run in reversed(list_runs(store, store)) if sweep_of(run.name) == sweep}
    return [_as_trial(run) for run in found.values()]


def list_sweeps(store: Store) -> dict[str, int]:
    """The sweeps that have trials in the database, the newest first, and how many trials each has."""
    counts: dict[str, int] = {}
    for name in dict.fromkeys(run.name for run in store.runs()):
        if sweep := sweep_of(name):
            counts[sweep] = counts.get(sweep, 0) + 1
    return counts


def _as_trial(run: StoredRun) -> StoredTrial:
    record, totals, settings = run.record, run.totals, run.settings
    return StoredTrial(
        run_name=run.name,
        run_id=run.run_id,
        program=record.workload or str(settings.get("script", "")),
        state=run.state,
        # A program's own option of that name, such as --seed, is what was swept, whatever the run does with it.
        options={"backend": record.backend, "seed": str(record.seed)} | _options_of(settings),
        metrics=run.metrics,
        steps=totals.steps,
        executions=totals.executions,
        executions_from_cache=totals.executions_from_cache,
        spent=run.money.spent,
        seconds=totals.wall_seconds,
    )


def _options_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings of `qorch train` as options of the command line; of a program, those that the sweep gave it."""
    plain = {
        name.replace("_", "-"): value
        for name, value in settings.items()
        if name not in _HIDDEN and not isinstance(value, dict)
    }
    own = (settings.get("own") or {}) | (settings.get("options") or {})
    return {name: str(value) for name, value in (plain | own).items() if value is not None}
