"""A run's progress as one line of text, whole or shortened to the width of a terminal."""

import math
from collections.abc import Collection
from dataclasses import dataclass

from qorch.model.money import MICROS_PER_UNIT, Money
from qorch.ports.progress import Progress

MAX_NAME = 24
"""Longest name of a metric in a line that has to be shortened."""
_ESSENTIAL = 2
"""Largest rank of the parts that are kept before any metric: step, queue, run's name, time that is left."""
_FIRST_METRICS = 2
"""How many metrics are kept before the spend and the pace of the run; the others are left out first."""


@dataclass(frozen=True, eq=False)
class _Part:
    """A part of the line; those with the largest ``rank`` are left out first.

    ``adds_to_last``: it belongs to the part before it, which has a smaller rank.
    """

    text: str
    rank: int
    is_metric: bool = False
    adds_to_last: bool = False


def describe(progress: Progress | None, *, name: str = "", queue: str = "") -> str:
    """One line: the run's name if it is given, step, metrics, executions per second and from the cache, spend, time.

    ``queue``: where the run's jobs stand in their provider's queue; stands behind the step. ``progress``: None before
    the first step.
    """
    parts = _parts(progress, name, queue, longest=None)
    return _join(parts, parts)


def fit(progress: Progress | None, *, width: int, name: str = "", queue: str = "") -> str:
    """The line of ``describe`` in at most ``width`` columns of a terminal; the least important parts are left out.

    Metrics that are left out are counted, as in ``+3 metrics``.
    """
    from rich.cells import cell_len, set_cell_size

    parts = _parts(progress, name, queue, longest=MAX_NAME)
    kept: set[_Part] = set()
    for part in sorted(parts, key=lambda item: item.rank):
        # An essential part is kept even if the count of the metrics that are left out then does not fit.
        text = _join if part.rank <= _ESSENTIAL else _shortened
        if not kept or cell_len(text(parts, kept | {part})) <= width:
            kept.add(part)
    line = _shortened(parts, kept)
    if cell_len(line) > width:
        line = _join(parts, kept)
    return line if cell_len(line) <= width else set_cell_size(line, width)


def _parts(progress: Progress | None, name: str, queue: str, *, longest: int | None) -> list[_Part]:
    named = [_Part(name, 1)] if name else []
    queued = [_Part(queue, 1)] if queue else []
    if progress is None:
        return [*named, *queued]
    total = "?" if progress.total_steps is None else str(progress.total_steps)
    rate = progress.totals.executions / max(progress.elapsed_seconds, 1e-9)
    metrics = [
        _Part(f"{_printable(key, longest)} {value:.4g}", 3 if place < _FIRST_METRICS else 6, is_metric=True)
        for place, (key, value) in enumerate(progress.metrics.items())
    ]
    return [
        *named,
        _Part(f"step {progress.step + 1}/{total}", 0),
        *queued,
        *metrics,
        _Part(f"{rate:,.0f} executions/s", 5),
        _Part(f"{progress.totals.executions_from_cache:,} from the cache", 7),
        _Part(_money(progress), 4),
        *_left(progress),
    ]


def _left(progress: Progress) -> list[_Part]:
    """What is left: ``3.10 USD more (2.90–3.40)``, ``12:10 left (10:02–15:31)``; the time stands last.

    The last line of a run stays on the screen, and has no more of it.
    """
    parts, money, time = [], progress.money_left, progress.time_left
    if progress.remaining_money is not None and not progress.is_last:
        amount = _rounded(progress.remaining_money)
        span = "" if money is None else f" ({_rounded(money.low, bare=True)}–{_rounded(money.high, bare=True)})"
        parts.append(_Part(f"{amount} more{span}", 4))
    if progress.budget_step is not None:
        parts.append(_Part(f"budget reached at about step {progress.budget_step + 1}", 3))
    remaining = 0.0 if progress.is_last else progress.remaining_seconds
    if remaining is not None:
        parts.append(_Part(f"{_minutes(remaining)} left", 2))
        if time is not None and not progress.is_last:
            parts.append(_Part(f"({_minutes(time.low)}–{_minutes(time.high)})", 2, adds_to_last=True))
    return parts


def _rounded(money: Money, *, bare: bool = False) -> str:
    """To two decimals, or the first two digits of less than one; ``bare``: without the currency."""
    units = money.micros / MICROS_PER_UNIT
    digits = 2 if units >= 1.0 or not units else max(2, 1 - math.floor(math.log10(units)))
    return f"{units:,.{min(6, digits)}f}" + ("" if bare else f" {money.currency}")


def _money(progress: Progress) -> str:
    """Such as ``spend 12.42 USD + 6.21 USD reserved of 25.00 USD``."""
    reserved = f" + {progress.reserved} reserved" if progress.reserved and progress.reserved.micros else ""
    spend, budget = progress.spend, progress.budget
    limit = f" of {budget}" if spend and budget and spend.currency == budget.currency else ""
    return f"spend {spend or 'unknown'}{reserved}{limit}"


def _shortened(parts: list[_Part], kept: Collection[_Part]) -> str:
    """The line of the parts that are kept, with the number of metrics that are left out."""
    left_out = sum(part.is_metric and part not in kept for part in parts)
    shown = [part for part in parts if part in kept]
    if left_out:
        place = sum(part.rank <= 1 or part.is_metric for part in shown)
        shown.insert(place, _Part(f"+{left_out} metric{'s' if left_out > 1 else ''}", 0))
    return _join(shown, shown)


def _join(parts: list[_Part], kept: Collection[_Part]) -> str:
    texts: list[str] = []
    for part in parts:
        if part in kept:
            texts += [" " if part.adds_to_last else " · ", part.text]
    return "".join(texts[1:])


def _printable(name: str, longest: int | None) -> str:
    clean = "".join(letter if letter.isprintable() else "?" for letter in name)
    return clean if longest is None or len(clean) <= longest else f"{clean[: longest - 1]}…"


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
