"""From values to places in a picture: scales, their ticks, and how values are written."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qorch.model.arrays import FloatArray

Format = Callable[[float], str]
_MINUTE, _HOUR, _DAY = 60.0, 3_600.0, 86_400.0


@dataclass(frozen=True)
class Scale:
    """Maps ``low`` to ``start`` and ``high`` to ``end`` (in pixels), linearly or by logarithms."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def place(self, values: FloatArray | float) -> FloatArray:
        """Where values are; those outside lie at the nearer end, NaN stays NaN."""
        low, high = self._map(self.low), self._map(self.high)
        shares = (self._map(np.clip(values, self.low, self.high)) - low) / (high - low)
        placed: FloatArray = np.asarray(self.start + shares * (self.end - self.start), dtype=np.float64)
        return placed

    def at(self, value: float) -> float:
        """Where one value is."""
        return float(self.place(value))

    def _map(self, values: FloatArray | float) -> FloatArray:
        return np.asarray(np.log10(values) if self.is_log else values, dtype=np.float64)


def linear(low: float, high: float, *, start: float, end: float) -> Scale:
    """A scale that is not empty, whatever the values."""
    if not low < high:
        pad = abs(low) * 0.05 or 0.5
        low, high = low - pad, high + pad
    return Scale(low, high, start, end)


def ticks(low: float, high: float, *, most: int) -> list[float]:
    """At most ``most`` round values (1, 2 or 5 times a power of ten apart) from ``low`` to ``high``."""
    reach = high - low
    if not (math.isfinite(reach) and reach > 0):
        return []
    power = 10.0 ** math.floor(math.log10(reach / most))
    found: list[float] = []
    for factor in (1, 2, 5, 10, 20, 50):
        found = _multiples(low, high, factor * power)
        if len(found) <= most:
            break
    return found


def time_ticks(high: float, *, low: float = 0.0, most: int) -> list[float]:
    """At most ``most`` round times from ``low`` to ``high`` seconds, in the units in which people count."""
    units = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, _HOUR, 2 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY)
    wanted = (high - low) / most
    if wanted < 1 or wanted > _DAY:
        return ticks(low, high, most=most)
    return _multiples(low, high, next(unit for unit in units if unit >= wanted))


def decades(low: float, high: float) -> list[float]:
    """The powers of ten from ``low`` to ``high``."""
    return [10.0**power for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]


def _multiples(low: float, high: float, step: float) -> list[float]:
    slack = step * 1e-9
    first, last = math.ceil((low - slack) / step), math.floor((high + slack) / step)
    return [index * step for index in range(first, last + 1)]


def format_number(value: float) -> str:
    """Four figures, or all of a large whole number."""
    if not math.isfinite(value):
        return "not finite"
    if abs(value) >= 1e9:
        return f"{value:.3e}"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def format_tick(value: float) -> str:
    """As short as a tick wants it, such as ``20k``."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if unit == 'k' else size):.3g}{unit}"
    return f"{value:.4g}"


def format_seconds(seconds: float) -> str:
    """A duration for people, such as ``12 ms``, ``1.25 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 1.0:
        return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} µs" if seconds else "0 s"
    if seconds < _MINUTE:
        return f"{seconds:.3g} s"
    units = ((_DAY, "d", _HOUR, "h"), (_HOUR, "h", _MINUTE, "min"), (_MINUTE, "min", 1.0, "s"))
    size, unit, small_size, small_unit = next(each for each in units if seconds >= each[0])
    whole, rest = divmod(round(seconds / small_size), round(size / small_size))
    return f"{whole} {unit} {rest} {small_unit}" if rest else f"{whole} {unit}"


def format_clock(seconds: float) -> str:
    """A moment of a run, such as ``1:23:05`` or ``0:00:12.5``."""
    tenths = round(seconds * 10)
    text = f"{tenths // 36_000}:{tenths // 600 % 60:02}:{tenths // 10 % 60:02}"
    return text if tenths % 10 == 0 else f"{text}.{tenths % 10}"


def format_share(share: float) -> str:
    """Such as ``12.5 %``; what is there and would be rounded to nothing is ``< 0.1 %``."""
    return "< 0.1 %" if 0 < share < 0.0005 else f"{share:.1%}".replace("%", " %")
