"""How `qorch dry-run` shows forecasts: as documents, one in full, or several beside each other in a table."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qorch.cli.output import format_amount, print_table
from qorch.model.text import format_count, printable

if TYPE_CHECKING:
    from qorch.dry_run.forecast import BudgetForecast, FailureShare, Forecast, Quantiles
    from qorch.model.money import Money

_LEAST_SHARE = 0.001
"""Phases below are left out of the text; the document has all."""


def describe_forecast(forecast: "Forecast") -> dict[str, Any]:
    """The document of a forecast. ``jobs``, ``rows``, ``shots``, ``retries`` and ``spend`` are medians over futures.

    ``spend_low`` and ``spend_high``: the ends between which nine of ten futures lie; all are null if no price is known.
    """
    spend = forecast.spend
    ends = (None, None, None) if spend is None else (spend.p05, spend.p50, spend.p95)
    low, expected, high = (None if end is None else _as_money(forecast, end).to_json() for end in ends)
    counts = {
        "jobs": forecast.jobs, "rows": forecast.executions, "shots": forecast.shots, "retries": forecast.retries,
    }  # fmt: skip
    return {
        "backend": forecast.backend,
        **{name: round(count.p50) for name, count in counts.items()},
        "spend": expected,
        "spend_low": low,
        "spend_high": high,
        "is_exact": spend is not None and spend.p05 == spend.p95,
        "price_certainty": forecast.certainty,
        "wall_seconds": forecast.wall_seconds.to_json(),
        "quantiles": {name: count.to_json() for name, count in counts.items()},
        "phases": [
            {"phase_id": part.phase_id, "phase": part.phase, "seconds": part.seconds, "share": part.share}
            for part in forecast.phases
        ],
        "budget": None if forecast.budget is None else _describe_budget(forecast.budget),
        "smallest_budget": None if forecast.needed is None else forecast.needed.to_json(),
        "futures": forecast.futures,
        "futures_failed": forecast.failed,
        "failures": [_describe_failure(part) for part in forecast.failures],
        "seed": forecast.seed,
        "profile": {
            "name": forecast.profile.name,
            "origin": forecast.profile.origin,
            "figures": forecast.profile.figures,
            "assumed": forecast.profile.assumed,
        },
    }


def _describe_budget(budget: "BudgetForecast") -> dict[str, Any]:
    return {
        "limit": budget.limit.to_json(),
        "suffices": budget.sufficient == budget.futures,
        "suffices_share": budget.sufficient / budget.futures,
        "stops_at_step": budget.median_step,
        "stops_at_step_first": budget.first_step,
    }


def _describe_failure(part: "FailureShare") -> dict[str, Any]:
    example = part.example
    return {"futures": part.futures, "error": example.error, "message": example.message, "step": example.step}


def print_forecast(forecast: "Forecast") -> None:
    """Print one forecast in full."""
    print(f"forecast from {_sampled(forecast)}")
    print(f"money    {_money_line(forecast)}")
    print(f"time     {_interval(forecast)}")
    print(f"jobs     {_work_line(forecast)}")
    for line in _budget_lines(forecast):
        print(f"budget   {line}")
    for part in forecast.failures:
        print(f"failure  {_failure_line(part, forecast)}")
    print(f"profile  {_profile_line(forecast)}")
    phases = [part for part in forecast.phases if part.share >= _LEAST_SHARE]
    if phases:
        print()
        shown = sorted(phases, key=lambda part: -part.seconds)
        print_table(
            ("where the time goes", "seconds", "share"),
            [(part.phase, f"{part.seconds:,.1f}", f"{part.share:.1%}") for part in shown],
        )


def print_what_ifs(base: "Forecast", others: Sequence[tuple[str, "Forecast"]]) -> None:
    """Print the forecast of what was recorded, and below it those of what else might be."""
    ends = "9 of 10 futures" if base.has_ends else "all futures"
    columns = ("what if", "money", "time", ends, "jobs", "executions", "smallest budget", "failing")
    rows = [("as it is", base), *others]
    print_table(columns, [_as_row(name, each) for name, each in rows], optional=("failing", "executions"))
    for name, forecast in others:
        for part in forecast.failures:
            print(f"{name}: {_failure_line(part, forecast)}")


def _as_row(name: str, forecast: "Forecast") -> list[object]:
    return [
        name,
        _money(forecast),
        _seconds(forecast.wall_seconds.p50),
        f"{_seconds(forecast.wall_seconds.p05)} to {_seconds(forecast.wall_seconds.p95)}",
        f"{round(forecast.jobs.p50):,}",
        f"{round(forecast.executions.p50):,}",
        None if forecast.needed is None else format_amount(forecast.needed.to_json()),
        f"{forecast.failed} of {forecast.futures}" if forecast.failed else None,
    ]


def _sampled(forecast: "Forecast") -> str:
    last = forecast.seed + forecast.futures - 1
    seeds = f"seed {forecast.seed}" if forecast.futures == 1 else f"seeds {forecast.seed} to {last}"
    return f"{format_count(forecast.futures, 'future')} ({seeds}) on {printable(forecast.backend)}"


def _money_line(forecast: "Forecast") -> str:
    spend = forecast.spend
    if spend is None:
        return "what it costs is not known; see `qorch prices`"
    interval = "" if spend.p05 == spend.p95 else f" ({_share(forecast)}: {_ends(forecast, spend)})"
    return f"{_money(forecast)}{interval}, by {forecast.certainty} prices"


def _money(forecast: "Forecast") -> str:
    return "not known" if forecast.spend is None else _amount(forecast, forecast.spend.p50)


def _ends(forecast: "Forecast", spend: "Quantiles") -> str:
    low = _amount(forecast, spend.p05).removesuffix(f" {forecast.currency}")
    return f"{low} to {_amount(forecast, spend.p95)}"


def _amount(forecast: "Forecast", micros: float) -> str:
    return format_amount(_as_money(forecast, micros).to_json())


def _as_money(forecast: "Forecast", micros: float) -> "Money":
    from qorch.model.money import Money

    return Money(forecast.currency, round(micros))


def _interval(forecast: "Forecast") -> str:
    seconds = forecast.wall_seconds
    if seconds.p05 == seconds.p95:
        return _seconds(seconds.p50)
    return f"{_seconds(seconds.p50)} ({_share(forecast)}: {_seconds(seconds.p05)} to {_seconds(seconds.p95)})"


def _share(forecast: "Forecast") -> str:
    """Of which futures an interval is."""
    return "9 of 10" if forecast.has_ends else format_count(forecast.counted, "future")


def _work_line(forecast: "Forecast") -> str:
    retries = forecast.retries
    executions, shots = round(forecast.executions.p50), round(forecast.shots.p50)
    often = f"{round(retries.p05)} to {round(retries.p95)}" if retries.p05 != retries.p95 else f"{round(retries.p50)}"
    return (
        f"{round(forecast.jobs.p50):,} with {format_count(executions, 'execution')} ({format_count(shots, 'shot')});"
        f" sent again: {often}"
    )


def _budget_lines(forecast: "Forecast") -> list[str]:
    if forecast.needed is None or not forecast.needed.micros:
        return []
    smallest = f"the smallest that suffices in all futures is {format_amount(forecast.needed.to_json())}"
    budget = forecast.budget
    if budget is None:
        return [smallest]
    if budget.first_step is None:
        return [f"{budget.limit} suffices in all {budget.futures} futures; {smallest}"]
    share = "in no future" if not budget.sufficient else f"in {budget.sufficient} of {budget.futures} futures"
    # Counted from 1, as the line of progress does; in documents from 0.
    median, first = (budget.median_step or 0) + 1, budget.first_step + 1
    where = f"at step {median}" if first == median else f"at step {median}, at the earliest at step {first}"
    return [f"{budget.limit} suffices {share}: it stops the run {where}; {smallest}"]


def _failure_line(part: "FailureShare", forecast: "Forecast") -> str:
    where = f", first at step {part.example.step + 1}" if part.example.step >= 0 else ""
    return f"{part.futures} of {forecast.futures} futures end with {part.example.error}{where}: {part.example.message}"


def _profile_line(forecast: "Forecast") -> str:
    profile = forecast.profile
    assumed = f"{profile.assumed} of its {format_count(profile.figures, 'figure')} are assumed"
    return f"{printable(profile.name)} ({printable(profile.origin) or 'not from a file'}): {assumed}"


def _seconds(seconds: float) -> str:
    from qorch.audit.page.scales import format_seconds

    return format_seconds(seconds)
