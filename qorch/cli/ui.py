"""`qorch ui`: the runs of a database in a browser, live."""

import json
import os
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Annotated

import typer

from qorch.cli.options import DbOption, JsonOption
from qorch.errors import MissingPackageError, UsageError

_PORT = Annotated[int, typer.Option(metavar="P", min=0, max=65535, help="Port; 0 picks a free one.")]
_PATIENT = 10
"""Added to the process's niceness: whoever only looks takes the processors that a run leaves."""


def ui(port: _PORT = 0, db: DbOption = None, as_json: JsonOption = False) -> None:
    """Show all runs in a browser, live while they run, until Ctrl-C; on this machine only, and without writing."""
    import asyncio

    from qorch.cli.database import database_url, find_missing
    from qorch.ports.clock import WallClock
    from qorch.stores import open_reader

    try:
        from qorch.ui.server import PageServer, serve
    except ImportError as error:
        raise MissingPackageError(f"qorch ui needs {error.name}: pip install 'qorch[ui]'") from error
    if missing := find_missing(db):
        raise UsageError(f"there is no database at {missing}; `qorch train digits` makes one")
    with suppress(OSError):
        os.nice(_PATIENT)
    with closing(open_reader(database_url(db))) as reader, suppress(KeyboardInterrupt):
        asyncio.run(
            serve(
                PageServer(reader, clock=WallClock()),
                port=port,
                announce=make_announcer(sys.stdout.write, as_json=as_json),
            )
        )


def make_announcer(write: Callable[[str], object], *, as_json: bool) -> Callable[[str], None]:
    """Writes the address as one line, in one piece: a program that waits for the line must never read half of it."""

    def announce(url: str) -> None:
        write(json.dumps({"url": url, "pid": os.getpid()}) + "\n" if as_json else f"open {url} until Ctrl-C\n")
        sys.stdout.flush()

    return announce
