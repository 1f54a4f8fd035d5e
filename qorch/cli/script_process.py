"""The process in which `qorch quote` and `qorch dry-run` run the user's program, its order and its answer."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from qorch.cli.dry_run_order import DryRunOrder
from qorch.cli.exit_codes import INTERRUPTED
from qorch.config import REHEARSAL
from qorch.errors import QorchError, UsageError

_STDERR = 2


@dataclass(frozen=True)
class _Order:
    """What the process is to do; ``folder``: in which it leaves its answer, and which is thrown away.

    ``backend``: for which it is quoted; or else ``dry_run``.
    """

    script: str
    arguments: list[str]
    folder: str
    backend: str = ""
    dry_run: DryRunOrder | None = None

    @property
    def purpose(self) -> str:
        """What the process must not end before."""
        return "it was quoted" if self.dry_run is None else "its dry run was over"


@dataclass(frozen=True)
class _Answer:
    """The document that was asked for, or the sentence why there is none."""

    document: dict[str, Any] | None = None
    problem: str | None = None


def quote_in_process(script: Path, arguments: Sequence[str], *, backend: str, is_quiet: bool) -> dict[str, Any]:
    """The document of a program's quote, which runs in a process of its own.

    ``is_quiet``: what it prints goes to standard error. Raises UsageError with the sentence why there is no quote.
    """
    with _make_folder(script) as folder:
        return _ask(_Order(str(script), list(arguments), folder, backend), is_quiet=is_quiet)


def dry_run_in_process(script: Path, arguments: Sequence[str], order: DryRunOrder) -> dict[str, Any]:
    """The document of a program's dry run, in a process of its own, which prints the text if the order says so.

    Raises UsageError with the sentence why there is none.
    """
    with _make_folder(script) as folder:
        return _ask(_Order(str(script), list(arguments), folder, dry_run=order), is_quiet=not order.prints)


def main(order: _Order) -> None:
    """Run the program of an order, and leave the answer."""
    try:
        answer = _Answer(_quote(order) if order.dry_run is None else _simulate(order, order.dry_run))
    except QorchError as error:
        answer = _Answer(problem=str(error))
    sys.stdout.flush()
    _answer_file(order.folder).write_bytes(msgspec.json.encode(answer))


def _make_folder(script: Path) -> "tempfile.TemporaryDirectory[str]":
    if not script.is_file():
        raise UsageError(f"there is no program {script}")
    return tempfile.TemporaryDirectory(prefix="qorch-rehearsal-")


def _ask(order: _Order, *, is_quiet: bool) -> dict[str, Any]:
    process = subprocess.run(
        [sys.executable, "-m", __name__, msgspec.json.encode(order).decode()],
        env=os.environ | {"QORCH_DB": str(_database(order.folder)), REHEARSAL: "1"},
        stdout=_STDERR if is_quiet else None,
        check=False,
    )
    file = _answer_file(order.folder)
    if not file.is_file():
        raise UsageError(
            f"{order.script} has ended its process (exit code {process.returncode}) before {order.purpose}"
        )
    answer = msgspec.json.decode(file.read_bytes(), type=_Answer)
    if answer.document is None:
        raise UsageError(answer.problem or "there is no answer")
    return answer.document


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


def _simulate(order: _Order, wanted: DryRunOrder) -> dict[str, Any]:
    from qorch.cli.dry_run_work import dry_run_script

    return dry_run_script(Path(order.script), order.arguments, wanted, folder=Path(order.folder))


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
