"""Reads what the pictures of a run show, once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

from qorch.audit.report import Report, ReportSource, make_report
from qorch.model.ledger import LedgerRecord
from qorch.model.prices.card import PriceCard
from qorch.ports.records import AttemptRecord, JobRecord, MetricRecord, RunRecord, SessionRecord, SpanRecord, StepRecord
from qorch.run.totals import MoneyTotals, total_money


class PageSource(ReportSource, Protocol):
    """What a page is read from."""


@dataclass(frozen=True)
class RunCourse:
    """What a run has come to step by step: what its curves show."""

    run: RunRecord
    sessions: Sequence[SessionRecord] = field(repr=False)
    steps: Sequence[StepRecord] = field(repr=False)
    metrics: Sequence[MetricRecord] = field(repr=False)
    ledger: Sequence[LedgerRecord] = field(repr=False)


@dataclass(frozen=True)
class RunWork:
    """What a run's jobs did, and its report."""

    report: Report
    money: MoneyTotals
    sessions: Sequence[SessionRecord] = field(repr=False)
    jobs: Sequence[JobRecord] = field(repr=False)
    spans: Sequence[SpanRecord] = field(repr=False)
    attempts: Sequence[AttemptRecord] = field(repr=False)


class _RememberedAnswers:
    """A store that is asked every question once. What it answers must not be changed."""

    def __init__(self, store: PageSource) -> None:
        self._store = store
        self._answers: dict[tuple[object, ...], object] = {}

    def __getattr__(self, name: str) -> object:
        found = getattr(self._store, name)
        if not callable(found):
            return found

        def ask(*arguments: object, **named: object) -> object:
            question = (name, *arguments, *sorted(named.items()))
            if question not in self._answers:
                self._answers[question] = found(*arguments, **named)
            return self._answers[question]

        return ask


def remember(store: PageSource) -> PageSource:
    """The store as it is now: a report and its pictures read the same records, which are tens of thousands."""
    return cast("PageSource", _RememberedAnswers(store))


def read_course(store: PageSource, run: RunRecord) -> RunCourse:
    """The course of a run."""
    run_id = run.run_id
    return RunCourse(
        run, store.sessions(run_id), store.steps(run_id), store.metrics(run_id), store.ledger(run_id)
    )  # fmt: skip


def read_work(store: PageSource, run: RunRecord, *, card: PriceCard | None = None) -> RunWork:
    """The work of a run. ``card``: see ``make_report``."""
    store = remember(store)
    return RunWork(
        report=make_report(store, run.run_id, card=card),
        money=total_money(run, store.ledger_balances()),
        sessions=store.sessions(run.run_id),
        jobs=store.jobs(run.run_id),
        spans=store.spans(run.run_id),
        attempts=store.run_attempts(run.run_id),
    )
