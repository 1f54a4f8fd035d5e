"""Metrics as pictures, drawn by matplotlib without a display."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qorch.errors import MissingPackageError, UnknownNameError, UsageError
from qorch.model.arrays import FloatArray
from qorch.model.text import printable
from qorch.ports.records import MetricRecord, StepRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AXES = ("steps", "executions", "circuits", "seconds")
"""``circuits`` is the older name of ``executions``."""
Curve = tuple[str, Sequence[StepRecord], Sequence[MetricRecord]]
"""A run's name, its steps, and its logged numbers."""

_MOST_MARKED = 50


def draw(curves: Sequence[Curve], file: Path, *, metrics: Sequence[str] | None, axis: str) -> list[str]:
    """Draw metrics (all by default) of runs to a PNG or SVG file, one picture below the other; the metrics drawn.

    Raises MissingPackageError without matplotlib, UnknownNameError for a metric that no run logged, UsageError if
    nothing was logged or the file cannot be written.
    """
    names = _choose(curves, metrics)
    figure = new_figure(width=8.0, height=1.0 + 3.2 * len(names))
    pictures = figure.subplots(len(names), 1, squeeze=False, sharex=True)[:, 0]
    for name, picture in zip(names, pictures, strict=True):
        _draw_metric(picture, name, curves, axis=axis)
    pictures[-1].set_xlabel(axis)
    save_figure(figure, file, option="--out")
    return names


def new_figure(*, width: float, height: float) -> "Figure":
    """An empty figure, in inches, without a display. Raises MissingPackageError without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackageError("plots need matplotlib: pip install 'qorch[plot]'") from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: "Figure", file: Path, *, option: str) -> None:
    """Write a figure as its file's ending says. Raises UsageError, with the option of the file, if it cannot."""
    try:
        figure.savefig(file, dpi=120)
    except OSError as error:
        raise UsageError(f"cannot write {file} ({error.strerror}); choose another file with {option}") from error


def places(steps: Sequence[StepRecord], *, axis: str) -> dict[int, float]:
    """The place on an axis where each step ends: its number, executions asked for so far, or seconds in steps so far.

    The time between two sessions does not count. A step of older versions, whose begin is unknown, began when the step
    before it in its session ended.
    """
    if axis == "steps":
        return {step.step: float(step.step) for step in steps}
    amounts = _seconds(steps) if axis == "seconds" else [_executions(step) for step in steps]
    return dict(zip((step.step for step in steps), np.cumsum(amounts).tolist(), strict=True))


def _executions(step: StepRecord) -> float:
    return float(step.executions + step.executions_from_cache)


def _seconds(steps: Sequence[StepRecord]) -> list[float]:
    seconds = []
    for index, step in enumerate(steps):
        begun_at = step.begun_at
        if begun_at is None and index and steps[index - 1].session == step.session:
            begun_at = steps[index - 1].ended_at
        seconds.append(0.0 if begun_at is None else max(0.0, (step.ended_at - begun_at).total_seconds()))
    return seconds


def _choose(curves: Sequence[Curve], metrics: Sequence[str] | None) -> list[str]:
    logged = list(dict.fromkeys(record.name for _, _, records in curves for record in records))
    if not logged:
        raise UsageError("these runs logged no metrics, so there is nothing to draw")
    for name in metrics or ():
        if name not in logged:
            raise UnknownNameError(f"no run logged '{name}'; logged were: {printable(', '.join(logged))}")
    return list(dict.fromkeys(metrics or logged))


def _draw_metric(picture: "Axes", name: str, curves: Sequence[Curve], *, axis: str) -> None:
    for run, steps, records in curves:
        x, y = _points(name, steps, records, axis=axis)
        if len(x):
            picture.plot(x, y, label=plain_name(run), marker="." if len(x) <= _MOST_MARKED else "", linewidth=1.2)
    picture.set_ylabel(plain_name(name))
    picture.grid(visible=True, alpha=0.3)
    if picture.lines:
        picture.legend(fontsize="small")


def _points(
    name: str, steps: Sequence[StepRecord], records: Sequence[MetricRecord], *, axis: str
) -> tuple[FloatArray, FloatArray]:
    """Places and values of one metric. A step's number stands at its end; one before the first step, at the start."""
    ends = places(steps, axis=axis)
    start = -1.0 if axis == "steps" else 0.0
    found = [(ends.get(record.step, start if record.step < 0 else None), record.value) for record in records
             if record.name == name]  # fmt: skip
    known: list[Any] = [(x, y) for x, y in found if x is not None]
    points: FloatArray = np.array(known, dtype=np.float64).reshape(-1, 2)
    return points[:, 0], points[:, 1]


def plain_name(name: str) -> str:
    """The name with escapes for signs that matplotlib reads as mathematics."""
    return printable(name).replace("$", r"\$")
