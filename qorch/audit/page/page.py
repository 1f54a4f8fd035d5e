"""What stands on the page of a run."""

from collections.abc import Sequence
from dataclasses import dataclass

from qorch.audit.money.text import money_lines
from qorch.audit.page.attempts import attempt_figure, cache_figure, error_table
from qorch.audit.page.bars import BarRow, draw_bars
from qorch.audit.page.job_figures import gantt_figures, load_figure
from qorch.audit.page.job_times import time_jobs
from qorch.audit.page.latency_hours import hours_figure
from qorch.audit.page.pictures import WIDTHS, Figure, FigureTable
from qorch.audit.page.progress import WHOLE_PAGE, PageView, progress_figures
from qorch.audit.page.records import PageSource, RunCourse, RunWork, read_course, read_work, remember
from qorch.audit.page.remaining import time_left
from qorch.audit.page.run_time import run_time
from qorch.audit.page.scales import format_number, format_seconds, format_share
from qorch.audit.page.shares import latency_figure, share_figure
from qorch.audit.report import Report
from qorch.model.money import Money
from qorch.model.prices.card import PriceCard
from qorch.ports.records import RunRecord
from qorch.run.totals import MoneyTotals, newest_metrics

STATE_SIGNS = {"done": "✓", "running": "▶", "failed": "✕", "cancelled": "■", "stopped": "■", "interrupted": "!"}
_MOST_METRICS = 3


@dataclass(frozen=True)
class Fact:
    """A figure that stands at the top of a page. ``style``: a class of the style sheet, for its colour."""

    name: str
    value: str
    detail: str = ""
    style: str = ""


@dataclass(frozen=True)
class WorkPart:
    """What is costly to compute of a page: all that is made of jobs and spans. None: there is nothing to show."""

    report: Report
    money_totals: MoneyTotals
    shares: Figure | None
    latency: Figure | None
    hours: Figure | None
    gantts: tuple[Figure, ...]
    load: Figure | None
    attempts: Figure | None
    cache: Figure | None
    money: Figure | None
    errors: FigureTable
    errors_left_out: int
    states: FigureTable
    anchor: str
    money_text: tuple[str, ...]


@dataclass(frozen=True)
class RunPage:
    """The page of a run. ``progress``: over steps and over time, or nothing before the first step."""

    run: RunRecord
    heading: str
    sign: str
    facts: tuple[Fact, ...]
    progress: tuple[Figure, ...]
    work: WorkPart

    @property
    def title(self) -> str:
        """What the browser's tab says."""
        return f"{self.run.name} · qorch"


def make_page(store: PageSource, run: RunRecord, *, card: PriceCard | None = None) -> RunPage:
    """The page of a stored run, whose ``state`` is what it is now (see ``state_now``).

    ``card``: see ``make_report``.
    """
    store = remember(store)
    return lay_out(read_course(store, run), make_work(read_work(store, run, card=card)))


def lay_out(course: RunCourse, work: WorkPart, *, view: PageView = WHOLE_PAGE) -> RunPage:
    """The page from its parts, of which ``work`` may be a moment older; of its curves, those of ``view``."""
    run = course.run
    heading = f"{run.workload or run.name} on {run.backend}"
    facts = make_facts(work.report, work.money_totals, course)
    return RunPage(run, heading, STATE_SIGNS.get(run.state, "•"), facts, progress_figures(course, view), work)


def make_work(work: RunWork) -> WorkPart:
    """The figures of jobs, time and money."""
    report = work.report
    axis = run_time(work.sessions)
    times = time_jobs(work.jobs, work.spans, axis)
    errors, left_out = error_table(work.jobs, work.attempts)
    return WorkPart(
        report=report,
        money_totals=work.money,
        shares=share_figure(report),
        latency=latency_figure(report),
        hours=hours_figure(work.spans, work.sessions),
        gantts=gantt_figures(times, axis),
        load=load_figure(times, axis),
        attempts=attempt_figure(work.attempts),
        cache=cache_figure(report.executions, report.executions_from_cache, report.executions_open),
        money=money_figure(work.money, report.run.budget),
        errors=errors,
        errors_left_out=left_out,
        states=FigureTable(
            ("state of jobs", "jobs"), tuple((k, f"{v:,}") for k, v in sorted(report.jobs_by_state.items()))
        ),
        money_text=tuple(money_lines(report.money)[1:]),
        anchor=""
        if report.anchor is None or not report.anchor.count
        else f"{report.anchor.count}:{report.anchor.head}",
    )


def money_figure(money: MoneyTotals, budget: Money | None) -> Figure | None:
    """What of the budget is spent, reserved and left; None if nothing is booked or it is not known."""
    spent, reserved = money.spent, money.reserved
    if spent is None or reserved is None or not (spent.micros or reserved.micros or budget):
        return None
    booked = spent.micros + reserved.micros
    left = None if budget is None or budget.currency != spent.currency else max(0, budget.micros - booked)
    total = booked + (left or 0) or 1
    parts = [("spent", spent, "money"), ("reserved, not settled yet", reserved, "reserved")]
    if left is not None:
        parts.append(("left of the budget", Money(spent.currency, left), "left"))
    rows = [
        BarRow(name, amount.micros / total, style, format_share(amount.micros / total), str(amount))
        for name, amount, style in parts
    ]
    of_budget = "" if budget is None else f", of a budget of {budget}"
    return Figure(
        name="money",
        title="What was spent and reserved",
        summary=f"{spent} spent and {reserved} reserved{of_budget}.",
        pictures=tuple(draw_bars(rows, width=width) for width in WIDTHS),
        table=FigureTable(("what", "amount", "share"), tuple((row.name, row.detail, row.figure) for row in rows)),
    )


def make_facts(report: Report, money: MoneyTotals, course: RunCourse) -> tuple[Fact, ...]:
    """What stands at the top of a page, of which ``course`` may be newer than the report."""
    asked = report.executions + report.executions_from_cache
    newest = report.metrics | newest_metrics(course.metrics)
    metrics = sorted(newest.items(), key=lambda pair: pair[0] != "loss")
    step = "" if report.step_seconds is None else f"{format_seconds(report.step_seconds.p50)} in the median"
    return (
        *(Fact(name, format_number(value), style="metric") for name, value in metrics[:_MOST_METRICS]),
        Fact("steps", f"{len(course.steps):,}", step),
        Fact("wall time", format_seconds(report.wall_seconds), _sessions(report)),
        *_left(course),
        Fact("executions", f"{report.executions:,}", f"in {report.jobs:,} jobs", "executions"),
        Fact(
            "from the cache", format_share(report.executions_from_cache / asked) if asked else "–",
            f"{report.executions_from_cache:,} of {asked:,}", "cache",
        ),
        Fact("spent", _spent(report.spend, money), _money_detail(report, money), "money"),
    )  # fmt: skip


def _left(course: RunCourse) -> tuple[Fact, ...]:
    found = time_left(course)
    if found is None:
        return ()
    return (
        Fact(
            "time left", format_seconds(found.expected), f"{format_seconds(found.low)} to {format_seconds(found.high)}"
        ),
    )


def _spent(spend: Money | None, money: MoneyTotals) -> str:
    found = spend if spend is not None else money.spent
    return "unknown" if found is None else str(found)


def _money_detail(report: Report, money: MoneyTotals) -> str:
    parts: Sequence[str] = [
        *([f"{money.reserved} reserved"] if money.reserved is not None and money.reserved.micros else []),
        *([f"of {report.run.budget}"] if report.run.budget is not None else []),
    ]
    return ", ".join(parts)


def _sessions(report: Report) -> str:
    return f"in {report.sessions} sessions" if report.sessions > 1 else ""
