"""Runs and reports as pictures in a notebook."""

from dataclasses import replace

from qorch.audit.page.html import write_notebook
from qorch.audit.page.page import Fact, make_facts
from qorch.audit.page.pictures import Figure
from qorch.audit.page.progress import progress_figures
from qorch.audit.page.records import PageSource, read_course
from qorch.audit.page.scales import format_seconds
from qorch.audit.page.shares import latency_figure, share_figure
from qorch.audit.report import Report, make_report
from qorch.errors import StoreError
from qorch.run.totals import state_now, total_money


def show_report(report: Report) -> str:
    """Where the time of a run went, as HTML."""
    run = report.run
    facts = (
        *(Fact(name, f"{value:.4g}") for name, value in report.metrics.items()),
        Fact("steps", f"{report.steps:,}"),
        Fact("wall time", format_seconds(report.wall_seconds)),
        Fact("executions", f"{report.executions:,}"),
        Fact("from the cache", f"{report.executions_from_cache:,}"),
        Fact("spent", str(report.spend or "unknown")),
    )
    return write_notebook(_heading(run.run_id, run.state, run.backend), facts, _present(_times(report)))


def show_run(store: PageSource, run_id: str) -> str | None:
    """The curves of a run and where its time went, as HTML; None if the run or its store cannot be read any more."""
    try:
        found = store.find_run(run_id)
        if found is None:
            return None
        run = replace(found, state=state_now(store, found))
        course, report = read_course(store, run), make_report(store, run_id)
        facts = make_facts(report, total_money(run, store.ledger_balances()), course)
    except StoreError:
        return None
    figures = _present((*progress_figures(course)[:1], *_times(report)))
    return write_notebook(_heading(run_id, run.state, run.backend), facts, figures)


def _times(report: Report) -> tuple[Figure | None, ...]:
    return share_figure(report), latency_figure(report)


def _present(figures: tuple[Figure | None, ...]) -> tuple[Figure, ...]:
    return tuple(figure for figure in figures if figure is not None)


def _heading(run_id: str, state: str, backend: str) -> str:
    return f"{run_id} ({state}) on {backend}"
