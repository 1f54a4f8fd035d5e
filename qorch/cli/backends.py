"""`qorch backends`: where circuits can run, and whether they can run now."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qorch.cli.options import JsonOption
from qorch.cli.output import print_json, print_table
from qorch.errors import QorchError

if TYPE_CHECKING:
    from qorch.model.job import Availability
    from qorch.ports.backend import Backend


def backends(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[BACKEND]...", help="Full names, such as ionq:qpu.forte-1; providers are asked."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the backends and their limits; of those that are named, also whether they take jobs now, and their queue.

    For a backend that cannot be opened it says what is missing.
    """
    from qorch.backends import backend_entry_points

    documents = [asyncio.run(_describe(name)) for name in names or backend_entry_points()]
    if as_json:
        print_json({"backends": documents})
        return
    print_table(
        ("backend", "qubits", "shots", "rows per job", "at once", "exact", "charges", "takes jobs", "queue", "note"),
        [_as_row(document) for document in documents],
        optional=("at once", "rows per job", "queue", "shots", "exact"),
    )


async def _describe(name: str) -> dict[str, Any]:
    """A backend's document; ``limits`` is null and ``problem`` a sentence if it cannot be opened.

    ``status`` is null for what runs on this machine, and always takes jobs.
    """
    from qorch.backends import open_backend
    from qorch.config import read_config
    from qorch.ports.clock import WallClock

    try:
        backend = open_backend(name, config=read_config(), clock=WallClock())
    except QorchError as error:
        return _problem(name, error)
    try:
        status = await _ask(backend)
    except QorchError as error:
        return _problem(name, error)
    else:
        return {
            "name": name,
            "available": True,
            "limits": vars(backend.capabilities),
            "status": None if status is None else vars(status),
            "problem": None,
        }
    finally:
        await backend.close()


async def _ask(backend: "Backend") -> "Availability | None":
    from qorch.ports.backend import RemoteBackend

    if not isinstance(backend, RemoteBackend):
        return None
    await backend.open()
    return await backend.availability()


def _problem(name: str, error: QorchError) -> dict[str, Any]:
    return {"name": name, "available": False, "limits": None, "status": None, "problem": str(error)}


def _as_row(document: dict[str, Any]) -> list[object]:
    limits, status = document["limits"], document["status"]
    if limits is None:
        return [document["name"], *[None] * 8, document["problem"]]
    numbers = [f"{limits[key]:,}" for key in ("max_qubits", "max_shots", "max_rows_per_job", "slots")]
    flags = ["yes" if limits[key] else "no" for key in ("exact", "charges")]
    if status is None:
        return [document["name"], *numbers, *flags, "yes", None, None]
    queue = None if status["queue_seconds"] is None else f"{status['queue_seconds']:,.0f} s"
    return [document["name"], *numbers, *flags, "yes" if status["is_open"] else "no", queue, status["reason"] or None]
