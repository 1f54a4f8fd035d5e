"""The work of `qorch dry-run`: a training is simulated once, and its forecasts are made, printed or described."""

import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from qorch.audit.page.scales import format_seconds
from qorch.cli.dry_run_order import DryRunOrder
from qorch.cli.forecast_table import describe_forecast, print_forecast, print_what_ifs
from qorch.config import read_config
from qorch.dry_run.forecast import Forecast, forecast_mock
from qorch.dry_run.program import (
    Replacements,
    SimulatedTraining,
    rehearsing,
    simulate_script,
    simulate_workload,
)
from qorch.dry_run.recorder import with_shots
from qorch.dry_run.recording import RecordedRun
from qorch.dry_run.what_if import WhatIf, parse_what_if
from qorch.model.money import parse_money
from qorch.model.text import format_count
from qorch.ports.clock import Clock, WallClock
from qorch.ports.progress import Progress
from qorch.progress.stream import SafeStream
from qorch.workloads.base import Options, Workload

LINE_SECONDS = 5.0
"""Real time between two lines of progress, on a terminal a tenth of it."""
_Simulate = Callable[[WhatIf], SimulatedTraining]
"""Runs the training, with other gradients if the WhatIf has some."""


def dry_run_script(script: Path, arguments: Sequence[str], order: DryRunOrder, *, folder: Path) -> dict[str, Any]:
    """The document of a program's dry run. The process should be its own: see ``simulate_script``."""

    def simulate(_: WhatIf) -> SimulatedTraining:
        with closing(ProgressLines()) as show:
            return simulate_script(script, arguments, _replacements(order, show), folder=folder)

    with rehearsing(folder):
        return _foretell(simulate, _read_what_ifs(order), order, title={"script": str(script)})


def dry_run_workload(workload: Workload, options: Options, order: DryRunOrder) -> dict[str, Any]:
    """The document of a workload's dry run."""
    workload.check(options)
    what_ifs = _read_what_ifs(order)
    for what_if in what_ifs:
        workload.check(_change(options, what_if))

    def simulate(what_if: WhatIf) -> SimulatedTraining:
        with tempfile.TemporaryDirectory(prefix="qorch-dry-run-") as folder, closing(ProgressLines()) as show:
            changed = _change(options, what_if)
            return simulate_workload(workload, changed, _replacements(order, show), folder=Path(folder))

    with tempfile.TemporaryDirectory(prefix="qorch-dry-run-") as folder, rehearsing(Path(folder)):
        return _foretell(simulate, what_ifs, order, title={"workload": workload.name})


def _read_what_ifs(order: DryRunOrder) -> list[WhatIf]:
    return [parse_what_if(text) for text in order.what_ifs]


def _replacements(order: DryRunOrder, show: Callable[[Progress], None]) -> Replacements:
    budget = None if order.budget is None else parse_money(order.budget)
    return Replacements(order.backend, order.compute_seconds, budget, show)


def _change(options: Options, what_if: WhatIf) -> Options:
    return options if what_if.gradient is None else replace(options, gradient=what_if.gradient)


def _foretell(
    simulate: _Simulate, what_ifs: Sequence[WhatIf], order: DryRunOrder, *, title: dict[str, str]
) -> dict[str, Any]:
    """Simulate the training, and again where other circuits are executed; print the forecasts, or describe them."""
    training = simulate(WhatIf())
    runs = tuple(run.recording for run in training.runs)
    base = _forecast(runs, training.backend, order)
    others = []
    for what_if in what_ifs:
        changed = runs
        if what_if.gradient is not None:
            changed = tuple(run.recording for run in simulate(what_if).runs)
        if what_if.shots is not None:
            changed = tuple(with_shots(run, what_if.shots) for run in changed)
        others.append((str(what_if), _forecast(changed, what_if.rename(training.backend), order)))
    if order.prints:
        _print(next(iter(title.values())), training, base, others)
    return {
        **title,
        "as": order.backend,
        **describe_forecast(base),
        **_describe_training(training),
        "compute_seconds": order.compute_seconds,
        "what_ifs": [{"what_if": name, **describe_forecast(other)} for name, other in others],
        "problem": None,
    }


def _forecast(runs: Sequence[RecordedRun], mock: str, order: DryRunOrder) -> Forecast:
    config = replace(read_config(), is_rehearsal=False)
    with closing(ProgressLines()) as lines:
        show = partial(lines.show_future, of=order.futures)
        return forecast_mock(runs, mock, config=config, seed=order.seed, futures=order.futures, show=show)


def _describe_training(training: SimulatedTraining) -> dict[str, Any]:
    """``simulated``: the one course that was simulated, in which nothing goes wrong."""
    reports = training.reports
    return {
        "runs": len(reports),
        "steps": sum(report.steps for report in reports),
        "simulated": {
            "wall_seconds": training.wall_seconds,
            "executions": sum(report.executions for report in reports),
            "executions_from_cache": sum(report.executions_from_cache for report in reports),
            "metrics": {report.run.name: report.metrics for report in reports},
        },
    }


def _print(subject: str, training: SimulatedTraining, base: Forecast, others: list[tuple[str, Forecast]]) -> None:
    reports = training.reports
    steps = format_count(sum(report.steps for report in reports), "step")
    print(f"{subject} as {training.backend}: {steps} in {format_count(len(reports), 'run')}, nothing was sent")
    print_forecast(base)
    if others:
        print()
        print_what_ifs(base, others)


@dataclass(eq=False)
class ProgressLines:
    """Says on standard error how far a dry run is: now and then a line, which replaces the one before on a terminal."""

    clock: Clock = field(default_factory=WallClock)

    def __post_init__(self) -> None:
        """Nothing is said yet."""
        self._begun_ns = self.clock.monotonic_ns()
        self._stream = SafeStream(sys.stderr)
        self._said_ns: int | None = None
        self._is_open = False

    def __call__(self, now: Progress) -> None:
        """Called after every step."""
        if self._said_ns is None or now.is_last or self._is_due():
            total = "" if now.total_steps is None else f"/{now.total_steps}"
            self._say(f"step {now.step + 1}{total}, {format_seconds(now.elapsed_seconds)} on the virtual clock")

    def show_future(self, number: int, *, of: int) -> None:
        """Called after each future; nothing is said of those that are drawn at once."""
        if self._said_ns is None:
            self._said_ns = self._begun_ns
        if self._is_due():
            self._say(f"future {number}/{of}")

    def _is_due(self) -> bool:
        pause = LINE_SECONDS / 10 if self._stream.is_terminal else LINE_SECONDS
        return self.clock.monotonic_ns() - (self._said_ns or 0) >= pause * 1e9

    def _say(self, what: str) -> None:
        self._said_ns = self.clock.monotonic_ns()
        self._is_open, line = self._stream.is_terminal, f"dry run: {what}"
        self._stream.write(f"\r\x1b[K{line}" if self._is_open else f"{line}\n")

    def close(self) -> None:
        """Let what is printed next begin on a line of its own."""
        if self._is_open:
            self._stream.write("\n")
