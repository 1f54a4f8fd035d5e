"""What is swept: the values of each option, or the range they come from, as the command line or a study has them."""

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from qorch.errors import UsageError
from qorch.sweeps.trial import canonical

_OPTION = re.compile(r"(?:^|,)\s*(?:--)?([A-Za-z][A-Za-z0-9_-]*)\s*=")
_LOG = "log"
_EXAMPLE = "--grid lr=0.01,0.05 --grid layers=1,2"


@dataclass(frozen=True)
class GridRange:
    """An interval, both ends included, from which a sampler takes values: whole numbers if both ends are.

    ``is_log``: their logarithms are spread evenly.
    """

    low: float
    high: float
    is_whole: bool
    is_log: bool = False

    def __str__(self) -> str:
        """As it is written: ``0.001..0.1:log``."""
        return f"{canonical(repr(self.low))}..{canonical(repr(self.high))}{':log' if self.is_log else ''}"


Values = tuple[str, ...] | GridRange
"""Of one option."""


def read_grid(texts: Iterable[str]) -> dict[str, Values]:
    """``lr=0.01,0.05``, ``lr=0.01:0.05,layers=1:2`` or ``lr=0.001..0.1:log``, any number of them, by option.

    Commas or colons divide the values of an option: colons if it has one, so that values may have commas
    (``classes=3,6:1,7``). Values with colons of their own need a study file. Raises UsageError for anything else, for
    an option that is there twice, and for one with equal values.
    """
    grid: dict[str, Values] = {}
    for text in texts:
        found = list(_OPTION.finditer(text))
        if not found or found[0].start() != 0:
            raise UsageError(f"--grid '{text}' names no option and its values; write for example {_EXAMPLE}")
        ends = [match.start() for match in found[1:]] + [len(text)]
        for match, end in zip(found, ends, strict=True):
            add_values(grid, match[1], _read_values(match[1], text[match.end() : end]))
    return grid


def add_values(grid: dict[str, Values], name: str, values: Values) -> None:
    """Add an option to a grid. Raises UsageError for one that it has already, and for equal values."""
    if name in grid:
        raise UsageError(f"the grid has {name} twice; give all its values at once: --grid {name}=…")
    if not isinstance(values, GridRange):
        _check_values(name, values)
    grid[name] = values


def _read_values(name: str, text: str) -> Values:
    parts = [part.strip() for part in text.split(":" if ":" in text else ",")]
    if ".." in parts[0]:
        return _read_range(name, parts)
    if any("=" in part for part in parts[1:]):
        raise UsageError(
            f"the grid has {name}={text}, in which colons divide values; a value that has colons itself, as"
            ' spsa:directions=4, stands in a study file: gradient = ["spsa:directions=4"], and --study FILE'
        )
    return tuple(parts)


def _read_range(name: str, parts: Sequence[str]) -> GridRange:
    low, _, high = parts[0].partition("..")
    if parts[1:] not in ([], [_LOG]):
        raise UsageError(f"the grid has {name}={':'.join(parts)}; a range is written LOW..HIGH, or LOW..HIGH:log")
    try:
        ends = float(low), float(high)
    except ValueError:
        raise UsageError(f"the grid has {name}={parts[0]}, which is no range of numbers: write LOW..HIGH") from None
    is_whole = all(re.fullmatch(r"-?\d+", end.strip()) for end in (low, high))
    return make_range(name, *ends, is_whole=is_whole, is_log=len(parts) > 1)


def make_range(name: str, low: float, high: float, *, is_whole: bool, is_log: bool) -> GridRange:
    """The range of an option. Raises UsageError if it is empty, or has no logarithm."""
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"the range of {name} goes from {low:g} to {high:g}; the first must be the smaller number")
    if is_log and low <= 0:
        raise UsageError(f"the range of {name} begins with {low:g}; with :log it must begin above 0")
    return GridRange(low, high, is_whole, is_log)


def _check_values(name: str, values: Sequence[str]) -> None:
    if "" in values or not values:
        raise UsageError(f"the grid has no value, or an empty one, for {name}; write for example {_EXAMPLE}")
    seen: dict[str, str] = {}
    for value in values:
        if (same := canonical(value)) in seen:
            raise UsageError(f"the grid has the value {value} of {name} twice; give each once")
        seen[same] = value


def combinations(grid: Mapping[str, Values]) -> Iterator[dict[str, str]]:
    """All combinations of the values, the last option changing fastest. Raises UsageError for a range."""
    for name, values in grid.items():
        if isinstance(values, GridRange):
            raise UsageError(
                f"{name}={values} is a range, from which a sampler takes values: say how many trials, as in --trials 20"
            )
    lists = [values for values in grid.values() if not isinstance(values, GridRange)]
    for chosen in itertools.product(*lists):
        yield dict(zip(grid, chosen, strict=True))


def count_combinations(grid: Mapping[str, Values]) -> int | None:
    """How many there are; None if an option has a range."""
    if any(isinstance(values, GridRange) for values in grid.values()):
        return None
    return math.prod(len(values) for values in grid.values() if not isinstance(values, GridRange))
