"""Checks the numbers that a training loop logs and keeps them until they are stored."""

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from numbers import Real
from typing import Any, SupportsFloat

from qorch.errors import UsageError
from qorch.ports.records import MetricRecord
from qorch.run.resources import Resources
from qorch.run.totals import newest_metrics

Metrics = Mapping[str, SupportsFloat]


def as_numbers(metrics: Metrics | None, more: Metrics) -> list[tuple[str, float]]:
    """All names with their numbers, in order. Raises UsageError for anything that is not one number with a name."""
    if metrics is not None and not isinstance(metrics, Mapping):
        raise UsageError(
            f"run.log got a {type(metrics).__name__}; give names,"
            " as in run.log(loss=0.3) or run.log({'val/loss': 0.3})"
        )
    pairs = [*(metrics or {}).items(), *more.items()]
    return [(_as_name(name), as_number(name, value)) for name, value in pairs]


def _as_name(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise UsageError(f"run.log got the name {name!r}; a name is a text that is not empty, such as 'val/loss'")
    return name


def as_number(name: str, value: Any) -> float:
    """A number of Python or NumPy, or a tensor or array with one element; a truth value is 0 or 1.

    NaN and infinity are numbers. Raises UsageError, with the name, for anything else.
    """
    item = getattr(value, "item", None)
    number = value
    if callable(item):
        try:
            number = item()
        except (ValueError, RuntimeError, TypeError):  # more or fewer elements than one, or none in memory
            raise _not_a_number(name, value) from None
    if not isinstance(number, Real | Decimal):
        raise _not_a_number(name, value)
    try:
        return float(number)
    except (OverflowError, ValueError):  # an integer beyond all floats; a signalling NaN
        raise _not_a_number(name, value) from None


def _not_a_number(name: str, value: Any) -> UsageError:
    shape = getattr(value, "shape", None)
    kind = f"a {type(value).__name__}"
    if shape is not None and math.prod(shape) != 1:
        kind += f" of shape {tuple(shape)}"
    elif isinstance(value, str | int | complex):
        kind += f", {value!r:.40}"
    return UsageError(f"metric '{name}' is {kind}, which is not a number; log a float, or a tensor with one element")


class MetricLog:
    """The numbers of a run: those of the step so far, those to be stored, and the newest of every name."""

    def __init__(self, resources: Resources) -> None:
        """The numbers of earlier sessions are read only if they are asked for: a long run has logged millions."""
        self._run_id = resources.record.run_id
        self._clock = resources.clock
        self._store = resources.store
        self._unstored: list[MetricRecord] = []
        self._before: dict[str, float] | None = None if resources.is_resumed else {}
        self._logged: dict[str, float] = {}
        self.of_step: dict[str, float] = {}
        self.count = 0

    @property
    def newest(self) -> dict[str, float]:
        """The newest value of every name."""
        if self._before is None:
            self._before = newest_metrics(self._store.metrics(self._run_id))
        return self._before | self._logged

    def begin_step(self) -> None:
        """Count the numbers of a new step from 0."""
        self.of_step = {}
        self.count = 0

    def go_back(self, newest: Mapping[str, float], count: int) -> None:
        """Go back to a checkpoint, before which ``count`` numbers of its step had been logged."""
        self._before, self._logged = dict(newest), {}
        self.of_step = {}
        self.count = count

    def add(self, numbers: list[tuple[str, float]], *, step: int, epoch: int | None) -> None:
        """Log numbers with a step."""
        now = self._clock.now()
        for name, value in numbers:
            self._unstored.append(MetricRecord(self._run_id, step, self.count, name, value, now, epoch))
            self.count += 1
            self.of_step[name] = self._logged[name] = value

    def drain(self) -> Iterator[MetricRecord]:
        """The numbers that are not stored yet; they count as stored afterwards."""
        unstored, self._unstored = self._unstored, []
        return iter(unstored)
