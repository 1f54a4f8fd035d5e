"""A sweep as a picture: its metric against each option, one small picture an option, by matplotlib."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qorch.audit.plot import new_figure, plain_name, save_figure
from qorch.sweeps.ranking import Ranking
from qorch.sweeps.stored_trial import StoredTrial

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 3
_MOST_TICKS = 8
_LOG_RATIO = 20.0
"""From this ratio of the largest to the smallest value on, an axis is logarithmic."""


def draw_sweep(trials: Sequence[StoredTrial], ranking: Ranking, names: Sequence[str], file: Path) -> None:
    """Draw the metric of all trials that have one against each option, to a PNG or SVG file; the best is ringed.

    An option whose values are all numbers has an axis of numbers, any other one place a value. Raises
    MissingPackageError without matplotlib, UsageError if the file cannot be written.
    """
    shown = [trial for trial in trials if ranking.value_of(trial) is not None]
    drawn = list(names) or ["seed"]
    columns = min(_COLUMNS, len(drawn))
    rows = -(-len(drawn) // columns)
    figure = new_figure(width=1.0 + 3.2 * columns, height=0.6 + 2.8 * rows)
    pictures = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for name, picture in zip(drawn, pictures, strict=False):
        _draw_option(picture, name, shown, ranking)
    for picture in pictures[len(drawn) :]:
        picture.set_visible(False)
    for row in range(rows):
        pictures[row * columns].set_ylabel(plain_name(ranking.metric))
    save_figure(figure, file, option="--plot")


def _draw_option(picture: "Axes", name: str, trials: Sequence[StoredTrial], ranking: Ranking) -> None:
    texts = [trial.options.get(name, "–") for trial in trials]
    numbers = [_as_number(text) for text in texts]
    known = [number for number in numbers if number is not None]
    is_numeric = len(known) == len(numbers)
    places = known if is_numeric else _places(texts)
    values = [ranking.value_of(trial) or 0.0 for trial in trials]
    picture.scatter(places, values, s=28, alpha=0.7)
    best = ranking.best(trials)
    if best is not None:
        index = [trial.run_name for trial in trials].index(best.run_name)
        picture.scatter([places[index]], [values[index]], s=120, facecolors="none", edgecolors="black")
    if is_numeric and known and min(known) > 0 and max(known) / min(known) >= _LOG_RATIO:
        picture.set_xscale("log")
    elif is_numeric and len(set(known)) <= _MOST_TICKS:
        picture.set_xticks(sorted(set(known)))
    if not is_numeric:
        labels = list(dict.fromkeys(texts))
        picture.set_xticks(range(len(labels)), [plain_name(label) for label in labels])
    picture.set_xlabel(plain_name(name))
    picture.grid(visible=True, alpha=0.3)


def _places(texts: Sequence[str]) -> list[float]:
    """The place of each text among the different ones."""
    order = {text: float(index) for index, text in enumerate(dict.fromkeys(texts))}
    return [order[text] for text in texts]


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
