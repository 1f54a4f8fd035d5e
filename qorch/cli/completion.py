"""Completion by the Tab key, for workloads, backends and runs; nothing is loaded before the shell asks."""

from contextlib import suppress

import typer


def complete_workloads(incomplete: str) -> list[str]:
    """The names of the workloads, those of other packages too."""
    from qorch.workloads import workload_names

    return [name for name in workload_names() if name.startswith(incomplete)]


def complete_backends(incomplete: str) -> list[str]:
    """The names of the installed backends, without their options.

    ``qorch.backends`` has them too, but loads NumPy, for which a shell should not wait.
    """
    from importlib.metadata import entry_points

    names = sorted(entry.name for entry in entry_points(group="qorch.backends"))
    return [name for name in names if name.startswith(incomplete)]


def complete_runs(context: typer.Context, incomplete: str) -> list[str]:
    """``latest``, and the ids of the runs in the database, newest first."""
    from qorch.config import LATEST

    names = [LATEST, *_run_ids(context.params.get("db"))]
    return [name for name in names if name.startswith(incomplete)]


def _run_ids(db: str | None) -> list[str]:
    from qorch.cli.database import find_missing, open_database

    with suppress(Exception):  # a shell that waits for names has no use for an error
        if find_missing(db) is None:
            with open_database(db) as store:
                return [run.run_id for run in store.runs()]
    return []
