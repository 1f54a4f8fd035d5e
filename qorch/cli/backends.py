"""`qorch backends`: where circuits can run."""

import asyncio
from typing import Any

from qorch.cli.options import JsonOption
from qorch.cli.output import print_json, print_table
from qorch.errors import QorchError


def backends(as_json: JsonOption = False) -> None:
    """List the backends and their limits.

    For a backend that cannot be opened it says what to install.
    """
    from qorch.wiring import backend_entry_points

    documents = [_describe(name) for name in backend_entry_points()]
    if as_json:
        print_json({"backends": documents})
        return
    print_table(
        ("backend", "qubits", "shots", "rows per job", "at once", "exact", "charges", "note"),
        [_as_row(document) for document in documents],
    )


def _describe(name: str) -> dict[str, Any]:
    """A backend's document; ``limits`` is null and ``problem`` a sentence where it cannot be opened."""
    from qorch.config import read_config
    from qorch.ports import WallClock
    from qorch.wiring import open_backend

    try:
        backend = open_backend(name, config=read_config(), clock=WallClock())
    except QorchError as error:
        return {"name": name, "available": False, "limits": None, "problem": str(error)}
    try:
        return {"name": name, "available": True, "limits": vars(backend.capabilities), "problem": None}
    finally:
        asyncio.run(backend.close())


def _as_row(document: dict[str, Any]) -> list[object]:
    limits = document["limits"]
    if limits is None:
        return [document["name"], *[None] * 6, document["problem"]]
    numbers = [f"{limits[key]:,}" for key in ("max_qubits", "max_shots", "max_rows_per_job", "slots")]
    flags = ["yes" if limits[key] else "no" for key in ("exact", "charges")]
    return [document["name"], *numbers, *flags, None]
