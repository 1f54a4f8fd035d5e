"""The curves of a run: its metrics, what it executed and what it spent, over steps and over time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from qorch.audit.page.pictures import WIDTHS, Figure, FigureTable
from qorch.audit.page.records import RunCourse
from qorch.audit.page.reduction import sample
from qorch.audit.page.run_time import RunTime, run_time
from qorch.audit.page.scales import format_number, format_seconds
from qorch.audit.page.strips import Strip, StripAxis, StripLine, draw_strips
from qorch.model.arrays import FloatArray
from qorch.model.ledger import LedgerRecord
from qorch.model.money import Money

MOST_METRICS = 6
MOST_ROWS = 60
FIRST = ("loss", "train_loss", "training_loss")
"""Names of the metric that stands first, if it was logged."""


@dataclass(frozen=True)
class Curves:
    """A run's numbers at the ends of its steps, ``(S,)`` each; ``metrics`` with NaN where none was logged,
    and infinity for whatever is not finite.

    ``executed`` and ``from_cache`` are sums so far; ``spent`` is in units of ``currency``, None if nothing is booked
    or in several currencies. ``left_out``: how many metrics there are beside those that are shown.
    """

    steps: FloatArray
    seconds: FloatArray
    metrics: dict[str, FloatArray]
    executed: FloatArray
    from_cache: FloatArray
    spent: FloatArray | None
    currency: str
    left_out: int = 0


def make_curves(course: RunCourse) -> Curves:
    """The curves of a run. What was logged before the first step is left out."""
    places = {step.step: index for index, step in enumerate(course.steps)}
    names = _in_order(dict.fromkeys(metric.name for metric in course.metrics if metric.step in places))
    values = {name: np.full(len(places), np.nan) for name in names[:MOST_METRICS]}
    for metric in course.metrics:
        if metric.step in places and metric.name in values:
            # NaN stays for what was not logged: a loss that is NaN has to interrupt its curve.
            values[metric.name][places[metric.step]] = metric.value if math.isfinite(metric.value) else math.inf
    axis = run_time(course.sessions)
    seconds = np.maximum.accumulate(axis.at([step.ended_at for step in course.steps])) if places else np.zeros(0)
    spent = spent_at(course.ledger, axis, seconds)
    return Curves(
        steps=np.array([step.step for step in course.steps], dtype=np.float64),
        seconds=seconds,
        metrics=values,
        executed=np.cumsum([step.executions for step in course.steps], dtype=np.float64),
        from_cache=np.cumsum([step.executions_from_cache for step in course.steps], dtype=np.float64),
        spent=spent,
        currency=course.ledger[0].currency if spent is not None else "",
        left_out=max(0, len(names) - MOST_METRICS),
    )


def spent_at(ledger: Sequence[LedgerRecord], axis: RunTime, seconds: FloatArray) -> FloatArray | None:
    """What had been spent at each of ``seconds (S,)``; None without entries, or if they are in several currencies."""
    if len({entry.currency for entry in ledger}) != 1:
        return None
    entries = [entry for entry in ledger if entry.kind.debit == "spent"]
    booked = axis.at([entry.recorded_at for entry in entries])
    order = np.argsort(booked, kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(np.array([entry.micros for entry in entries], dtype=np.float64)[order])])
    spent: FloatArray = sums[np.searchsorted(booked[order], seconds, side="right")] / 1e6
    return spent


@dataclass(frozen=True)
class PageView:
    """What of a page's curves is looked at: one of ``OVER``, and one of ``WIDTHS``; None: both."""

    over: str | None = None
    width: int | None = None


WHOLE_PAGE = PageView()
OVER = ("steps", "time")


def progress_figures(course: RunCourse, view: PageView = WHOLE_PAGE) -> tuple[Figure, ...]:
    """One figure over steps and one over time, as far as they are looked at; none before the first step has ended."""
    curves = make_curves(course)
    if not len(curves.steps):
        return ()
    axis = run_time(course.sessions)
    by_step = StripAxis(float(curves.steps[0]), float(curves.steps[-1]), "step", format_number, is_whole=True)
    by_time = StripAxis(
        0.0, axis.seconds, "seconds of the run's sessions", format_seconds, is_time=True,
        borders=tuple(axis.borders.tolist()),
    )  # fmt: skip
    strips = _strips(curves, budget=course.run.budget)
    return tuple(
        Figure(
            name=f"progress-{kind}",
            title=f"progress over {kind}",
            summary=_summary(curves),
            pictures=tuple(
                draw_strips(_along(strips, x), shared, width=width) for width in WIDTHS if view.width in (width, None)
            ),
            table=_table(curves, _share(x, shared)),
            note=_note(curves, has_borders=kind == "time" and bool(shared.borders)),
            axis="x",
        )
        for kind, shared, x in zip(OVER, (by_step, by_time), (curves.steps, curves.seconds), strict=True)
        if view.over in (kind, None)
    )


def _in_order(names: dict[str, None]) -> list[str]:
    return sorted(names, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))


def _strips(curves: Curves, *, budget: Money | None) -> list[Strip]:
    """Without x, which differs between the figures."""
    nowhere = np.zeros(0)
    strips = []
    for index, (name, values) in enumerate(curves.metrics.items()):
        line = StripLine(nowhere, values, "metric")
        strips.append(Strip(name, (line,), "metric", height=170 if not index else 70, figure=_last(values)))
    asked = curves.executed + curves.from_cache
    lines = [StripLine(nowhere, curves.executed, "executions", is_filled=True)]
    figure = f"{curves.executed[-1]:,.0f}"
    if curves.from_cache[-1]:
        lines = [StripLine(nowhere, asked, "cache"), *lines]
        figure = f"{curves.executed[-1]:,.0f} + {curves.from_cache[-1]:,.0f} from the cache (dashed)"
    strips.append(Strip("executions", tuple(lines), "executions", height=80, figure=figure, begins_at_zero=True))
    if curves.spent is not None:
        limit = budget.micros / 1e6 if budget is not None and budget.currency == curves.currency else None
        strips.append(
            Strip(
                f"spent, {curves.currency}",
                (StripLine(nowhere, curves.spent, "money", is_filled=True),), "money", height=80,
                figure=f"{curves.spent[-1]:,.2f}" + ("" if limit is None else f" of {limit:,.2f} (dashed)"),
                begins_at_zero=True, limit=limit,
            )
        )  # fmt: skip
    return strips


def _along(strips: Sequence[Strip], x: FloatArray) -> list[Strip]:
    """The strips over x. A metric that was not logged in every step goes on through the steps without it."""
    return [replace(strip, lines=tuple(_logged(replace(line, x=x)) for line in strip.lines)) for strip in strips]


def _logged(line: StripLine) -> StripLine:
    if line.style != "metric":
        return line
    is_there = ~np.isnan(line.y)
    return replace(line, x=line.x[is_there], y=line.y[is_there])


def _share(x: FloatArray, axis: StripAxis) -> FloatArray:
    span = axis.high - axis.low
    shares: FloatArray = (x - axis.low) / span if span > 0 else np.zeros(len(x))
    return shares


def _table(curves: Curves, places: FloatArray) -> FigureTable:
    chosen = sample(len(curves.steps), MOST_ROWS).tolist()
    money = () if curves.spent is None else (f"spent, {curves.currency}",)
    rows = [
        (
            f"{curves.steps[index]:.0f}", format_seconds(float(curves.seconds[index])),
            *(_cell(float(values[index])) for values in curves.metrics.values()),
            f"{curves.executed[index]:,.0f}", f"{curves.from_cache[index]:,.0f}",
            *(() if curves.spent is None else (f"{curves.spent[index]:,.6f}",)),
        )
        for index in chosen
    ]  # fmt: skip
    columns = ("step", "time", *curves.metrics, "executions", "from the cache", *money)
    return FigureTable(columns, tuple(rows), tuple(places[chosen].tolist()))


def _cell(value: float) -> str:
    return "–" if math.isnan(value) else format_number(value)


def _last(values: FloatArray) -> str:
    finite = values[np.isfinite(values)]
    return format_number(float(finite[-1])) if len(finite) else "not finite"


def _summary(curves: Curves) -> str:
    parts = [f"{len(curves.steps):,} steps in {format_seconds(float(curves.seconds[-1]))}."]
    for name, values in curves.metrics.items():
        finite = values[np.isfinite(values)]
        if len(finite):
            parts.append(
                f"{name} went from {format_number(float(finite[0]))} to {format_number(float(finite[-1]))};"
                f" lowest {format_number(float(finite.min()))}, highest {format_number(float(finite.max()))}."
            )
    parts.append(f"{curves.executed[-1]:,.0f} executions and {curves.from_cache[-1]:,.0f} from the cache.")
    if curves.spent is not None:
        parts.append(f"{curves.spent[-1]:,.2f} {curves.currency} spent.")
    return " ".join(parts)


def _note(curves: Curves, *, has_borders: bool) -> str:
    notes = []
    if len(curves.steps) > MOST_ROWS:
        notes.append(f"The table has {MOST_ROWS} of {len(curves.steps):,} steps; the curves keep every extreme.")
    if curves.left_out:
        notes.append(f"{curves.left_out} more metrics were logged; `qorch plot` draws them.")
    if has_borders:
        notes.append("A dotted vertical line: the run was stopped there, and resumed; the time in between is left out.")
    gaps = sum(int(np.isinf(values).sum()) for values in curves.metrics.values())
    if gaps:
        notes.append(f"{gaps:,} values are not finite; the curves are interrupted there.")
    return " ".join(notes)
