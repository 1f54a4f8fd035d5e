"""The process in which `qorch quote SCRIPT.py` runs the user's program, and its order and answer."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from qorch.cli.exit_codes import INTERRUPTED
from qorch.config import REHEARSAL
from qorch.errors import QorchError, UsageError

_STDERR = 2


@dataclass(frozen=True)
class _Order:
    """What the process is to do; ``folder``: in which it leaves its answer, and which is thrown away."""

    script: str
    arguments: list[str]
    backend: str
    folder: str


@dataclass(frozen=True)
class _Answer:
    """The document of a quote, or the sentence why there is none."""

    document: dict[str, Any] | None = None
    problem: str | None = None


def quote_in_process(script: Path, arguments: Sequence[str], *, backend: str, is_quiet: bool) -> dict[str, Any]:
    """The document of a program's quote, which runs in a process of its own.

    ``is_quiet``: what it prints goes to standard error. Raises UsageError with the sentence why there is no quote.
    """
    if not script.is_file():
        raise UsageError(f"there is no program {script}")
    with tempfile.TemporaryDirectory(prefix="qorch-quote-") as folder:
        order = _Order(str(script), list(arguments), backend, folder)
        process = subprocess.run(
            [sys.executable, "-m", __name__, msgspec.json.encode(order).decode()],
            env=os.environ | {"QORCH_DB": str(_database(folder)), REHEARSAL: "1"},
            stdout=_STDERR if is_quiet else None,
            check=False,
        )
        file = _answer_file(folder)
        if not file.is_file():
            raise UsageError(f"{script} has ended its process (exit code {process.returncode}) before it was quoted")
        answer = msgspec.json.decode(file.read_bytes(), type=_Answer)
    if answer.document is None:
        raise UsageError(answer.problem or "there is no quote")
    return answer.document


def main(order: _Order) -> None:
    """Quote the program of an order, and leave the answer."""
    try:
        answer = _Answer(_quote(order))
    except QorchError as error:
        answer = _Answer(problem=str(error))
    sys.stdout.flush()
    _answer_file(order.folder).write_bytes(msgspec.json.encode(answer))


def _quote(order: _Order) -> dict[str, Any]:
    from qorch.backends import plan_offline
    from qorch.cli.quote_table import describe_script_quote
    from qorch.config import read_config
    from qorch.model.prices.book import decide_price
    from qorch.ports.clock import WallClock
    from qorch.prices import load_prices
    from qorch.workloads.script import quote_script

    config, clock = read_config(), WallClock()
    planner = plan_offline(order.backend, config=config, clock=clock)
    card = decide_price(order.backend, charges=planner.capabilities.charges, book=load_prices(config))
    quote = quote_script(Path(order.script), order.arguments, planner=planner, card=card, db=_database(order.folder))
    return describe_script_quote(quote, script=order.script, today=clock.now().date())


def _database(folder: str) -> Path:
    return Path(folder) / "rehearsal.db"


def _answer_file(folder: str) -> Path:
    return Path(folder) / "answer.json"


if __name__ == "__main__":
    try:
        main(msgspec.json.decode(sys.argv[1], type=_Order))
    except KeyboardInterrupt:
        # The command itself is interrupted, too, and ends with that.
        sys.exit(INTERRUPTED)
