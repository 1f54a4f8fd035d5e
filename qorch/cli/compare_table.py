"""What is shown of a comparison: its answer, its tables, its document and its curves."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from qorch.cli.output import print_table
from qorch.cli.run_table import safe_cell
from qorch.cli.sweep_table import format_metric, total_spent
from qorch.model.money import Money
from qorch.model.text import printable
from qorch.sweeps.answer import answer
from qorch.sweeps.comparison import Comparison, Contest, Race, mean_curve
from qorch.sweeps.interval import LEVEL, SeedInterval
from qorch.sweeps.stored_trial import StoredTrial
from qorch.sweeps.training_curve import CIRCUITS, MONEY
from qorch.sweeps.variant import Variant


@dataclass(frozen=True)
class ComparedVariants:
    """A comparison as it is shown. ``sign``: -1 if the metric is to be large; ``trials``: those that were begun."""

    name: str
    program: str
    metric: str
    sign: float
    variants: tuple[Variant, ...]
    comparison: Comparison
    trials: tuple[tuple[Variant, StoredTrial], ...]

    @property
    def title(self) -> str:
        """Of the picture."""
        return f"{self.program}: {len(self.comparison.seeds)} seeds, mean and {LEVEL:.0%} interval"

    def of(self, variant: Variant) -> list[StoredTrial]:
        """The trainings of a variant that are compared."""
        seeds = {str(seed) for seed in self.comparison.seeds}
        return [trial for own, trial in self.trials if own is variant and trial.options.get("seed") in seeds]

    @property
    def answer(self) -> str:
        """In one sentence."""
        return answer(self.comparison, metric=self.metric, sign=self.sign)


def describe_comparison(view: ComparedVariants) -> dict[str, Any]:
    """The JSON document of a comparison."""
    comparison = view.comparison
    return {
        "comparison": view.name,
        "workload": view.program,
        "metric": view.metric,
        "direction": "minimize" if view.sign > 0 else "maximize",
        "answer": view.answer,
        "seeds": list(comparison.seeds),
        "interval": {"kind": "t", "level": LEVEL},
        "variants": [_describe_variant(view, variant) for variant in view.variants],
        "at_end": _describe_contest(comparison.at_end, view.sign),
        "at_equal_budgets": [_describe_contest(contest, view.sign) for contest in comparison.at_equal_budgets],
        "to_reach": [_describe_race(race, view.sign) for race in comparison.races],
        "curves": {
            axis: {variant: _describe_curve(view, variant, axis) for variant in comparison.curves}
            for axis in comparison.axes
        },
    }


def _describe_variant(view: ComparedVariants, variant: Variant) -> dict[str, Any]:
    trials = view.of(variant)
    spent = total_spent(trials)
    names = sorted(set.intersection(*(set(trial.metrics) for trial in trials)))
    return {
        "variant": variant.label,
        "options": dict(variant.options),
        "trainings": len(trials),
        "steps": fmean(trial.steps for trial in trials),
        "circuits": fmean(trial.executions + trial.executions_from_cache for trial in trials),
        "spent": None if spent is None else spent.to_json(),
        "wall_seconds": fmean(trial.seconds for trial in trials),
        "metrics": {name: fmean(trial.metrics[name] for trial in trials) for name in names},
    }


def _describe_interval(interval: SeedInterval, sign: float = 1.0) -> dict[str, float | None]:
    low, high = (None if end is None else sign * end for end in (interval.low, interval.high))
    if sign < 0:
        low, high = high, low
    return {"mean": sign * interval.mean, "low": low, "high": high}


def _describe_contest(contest: Contest, sign: float) -> dict[str, Any]:
    return {
        "axis": contest.axis,
        "budget": contest.budget,
        "values": {name: _describe_interval(interval, sign) for name, interval in contest.values.items()},
        "best": contest.best,
        "next_best": contest.next_best,
        "difference": _describe_interval(contest.difference, sign),
        "is_clear": contest.is_clear,
    }


def _describe_race(race: Race, sign: float) -> dict[str, Any]:
    return {
        "axis": race.axis,
        "value": sign * race.loss,
        "budgets": dict(race.budgets),
        "best": race.best,
        "next_best": race.next_best,
        "times_fewer": _describe_interval(race.times_fewer),
        "is_clear": race.is_clear,
    }


def _describe_curve(view: ComparedVariants, variant: str, axis: str) -> dict[str, list[float]]:
    curve = mean_curve(view.comparison.curves[variant], axis)
    ends = (curve.low, curve.high) if view.sign > 0 else (curve.high, curve.low)
    low, high = (view.sign * end for end in ends)
    arrays = {axis: curve.budgets, "mean": view.sign * curve.mean, "low": low, "high": high}
    return {name: values.tolist() for name, values in arrays.items()}


def print_comparison(view: ComparedVariants) -> None:
    """A line for each variant, then for each equal budget, then the answer."""
    document = describe_comparison(view)
    metrics = [name for name in document["variants"][0]["metrics"] if name != view.metric]
    ends = document["at_end"]["values"]
    print_table(
        ["variant", f"{view.metric} reached", *map(printable, metrics), "circuits", "money", "seconds", "steps"],
        [
            [
                printable(_with_options(view, each)),
                _show(ends[each["variant"]]),
                *(format_metric(each["metrics"].get(name)) for name in metrics),
                f"{each['circuits']:,.0f}",
                None if each["spent"] is None else _mean_money(each["spent"], each["trainings"]),
                f"{each['wall_seconds']:.1f}",
                f"{each['steps']:,.0f}",
            ]
            for each in document["variants"]
        ],
        optional=("steps", *map(printable, metrics)),
    )
    print()
    print_table(
        ["within", *map(printable, ends), "difference"],
        [
            [_within(contest, view), *(_show(contest["values"][name]) for name in ends), _show(contest["difference"])]
            for contest in document["at_equal_budgets"]
        ],
    )
    print()
    print(printable(document["answer"]))


def _with_options(view: ComparedVariants, described: dict[str, Any]) -> str:
    """The variant, and the options that it alone was given."""
    own = [f"{name}={value}" for name, value in described["options"].items() if value != described["variant"]]
    return ", ".join([described["variant"], *own])


def _within(contest: dict[str, Any], view: ComparedVariants) -> str:
    if contest["axis"] == MONEY:
        return f"{contest['budget']:,.2f} {view.comparison.currency}"
    return f"{contest['budget']:,.{0 if contest['axis'] == CIRCUITS else 1}f} {contest['axis']}"


def _mean_money(spent: dict[str, Any], count: int) -> str:
    return str(Money(spent["currency"], round(spent["micros"] / count)))


def _show(interval: dict[str, float | None]) -> str:
    if interval["low"] is None:
        return f"{interval['mean']:.4g}"
    return f"{interval['mean']:.4g} ({interval['low']:.4g} to {interval['high']:.4g})"


def csv_of_comparison(view: ComparedVariants) -> str:
    """The mean curves as comma-separated values, one line for each axis, variant and budget."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["axis", "variant", "budget", "mean", "low", "high", "seeds"])
    for row in _curve_rows(view):
        writer.writerow([safe_cell(cell) for cell in row])
    return text.getvalue()


def _curve_rows(view: ComparedVariants) -> Iterator[Sequence[object]]:
    n_seeds = len(view.comparison.seeds)
    for axis in view.comparison.axes:
        for variant in view.comparison.curves:
            curve = _describe_curve(view, variant, axis)
            for values in zip(*curve.values(), strict=True):
                yield [axis, variant, *values, n_seeds]
