"""The command line in a process of its own."""

import os
from pathlib import Path

from forked import Started, start_python


def start(db: Path, *arguments: str) -> Started:
    """The command line in a process of its own, which need not load torch, so that a kill strikes work."""
    return start_python("qorch.cli.main", arguments, cwd=db.parent, environment=os.environ | {"QORCH_DB": str(db)})
