"""A comparison as a picture: the metric over circuits, money and seconds, by matplotlib."""

from pathlib import Path
from typing import TYPE_CHECKING

from qorch.audit.plot import new_figure, plain_name, save_figure
from qorch.sweeps.comparison import Comparison, mean_curve
from qorch.sweeps.training_curve import CIRCUITS, MONEY, SECONDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOG_RATIO = 5.0
"""From this ratio of what variants used on, the axis is logarithmic."""


def draw_comparison(comparison: Comparison, file: Path, *, metric: str, sign: float, title: str) -> None:
    """Draw the mean of each variant with its interval, and each seed as a thin line, to a PNG or SVG file.

    Raises MissingPackageError without matplotlib, UsageError if the file cannot be written.
    """
    axes = comparison.axes
    figure = new_figure(width=1.0 + 4.4 * len(axes), height=4.2)
    pictures = figure.subplots(1, len(axes), squeeze=False, sharey=True)[0]
    for axis, picture in zip(axes, pictures, strict=True):
        _draw_axis(picture, comparison, axis, sign=sign)
    pictures[0].set_ylabel(plain_name(f"{metric} (best so far)"))
    pictures[-1].legend(fontsize="small")
    figure.suptitle(plain_name(title), fontsize="medium")
    save_figure(figure, file, option="--plot")


def _draw_axis(picture: "Axes", comparison: Comparison, axis: str, *, sign: float) -> None:
    ends = []
    for index, (variant, curves) in enumerate(comparison.curves.items()):
        color = f"C{index}"
        for curve in curves:
            picture.step(curve.budgets[axis], sign * curve.losses, where="post", color=color, alpha=0.25, linewidth=0.6)
        mean = mean_curve(curves, axis)
        picture.plot(mean.budgets, sign * mean.mean, color=color, label=plain_name(variant), linewidth=1.8)
        picture.fill_between(mean.budgets, sign * mean.low, sign * mean.high, color=color, alpha=0.2, linewidth=0)
        ends.append(mean.budgets[-1])
    if min(ends) > 0 and max(ends) / min(ends) >= _LOG_RATIO:
        picture.set_xscale("log")
    else:
        picture.locator_params(axis="x", nbins=6)
    picture.set_xlabel({CIRCUITS: "circuits", MONEY: f"money, {comparison.currency}", SECONDS: "seconds"}[axis])
    picture.grid(visible=True, alpha=0.3)
