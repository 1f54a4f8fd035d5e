"""What went wrong: attempts at submitting jobs by how they ended, jobs by state, and the errors that were recorded."""

from collections import Counter
from collections.abc import Sequence

from qorch.audit.page.bars import BarRow, draw_bars
from qorch.audit.page.pictures import WIDTHS, Figure, FigureTable
from qorch.audit.page.scales import format_share
from qorch.model.job import AttemptOutcome
from qorch.model.text import format_count
from qorch.ports.records import AttemptRecord, JobRecord

MOST_ERRORS = 12
MOST_LETTERS = 240
_GOOD = (AttemptOutcome.ACCEPTED, AttemptOutcome.FOUND)
OUTCOMES = {
    AttemptOutcome.ACCEPTED: "accepted",
    AttemptOutcome.FOUND: "found at the provider",
    AttemptOutcome.REFUSED: "refused by the provider",
    AttemptOutcome.UNANSWERED: "without an answer, sent again",
    AttemptOutcome.WITHDRAWN: "not sent after all",
    AttemptOutcome.FAILED: "failed in this process",
    AttemptOutcome.INTENT: "on the way, or unknown",
}


def attempt_figure(attempts: Sequence[AttemptRecord]) -> Figure | None:
    """Attempts by outcome; None if there were none."""
    counts = Counter(attempt.outcome for attempt in attempts)
    if not counts:
        return None
    again = sum(attempt.ordinal > 1 for attempt in attempts)
    found = [(outcome, counts[outcome]) for outcome in OUTCOMES if counts[outcome]]
    rows = [
        BarRow(
            OUTCOMES[outcome], count / len(attempts), "good" if outcome in _GOOD else "fault",
            format_share(count / len(attempts)), f"{count:,}",
        )
        for outcome, count in found
    ]  # fmt: skip
    return Figure(
        name="attempts",
        title="Attempts at submitting jobs, by how they ended",
        summary=f"{format_count(len(attempts), 'attempt')}, of which {again:,} tried a job again: "
        + ", ".join(f"{count:,} {OUTCOMES[outcome]}" for outcome, count in found)
        + ".",
        pictures=tuple(draw_bars(rows, width=width) for width in WIDTHS),
        table=FigureTable(
            ("how it ended", "attempts", "share"), tuple((row.name, row.detail, row.figure) for row in rows)
        ),
    )  # fmt: skip


def cache_figure(executed: int, from_cache: int, still_open: int) -> Figure | None:
    """Executions by where their results came from; None if nothing was asked for."""
    total = executed + from_cache + still_open
    if not total:
        return None
    found = (
        ("executed", executed, "executions"), ("from the cache", from_cache, "cache"),
        ("in open jobs", still_open, "waiting"),
    )  # fmt: skip
    rows = [
        BarRow(name, count / total, style, format_share(count / total), f"{count:,}")
        for name, count, style in found
        if count or style != "waiting"
    ]
    return Figure(
        name="cache",
        title="Where results came from",
        summary=f"Of {total:,} executions, {executed:,} were executed and {from_cache:,} came from the cache.",
        pictures=tuple(draw_bars(rows, width=width) for width in WIDTHS),
        table=FigureTable(
            ("where from", "executions", "share"), tuple((row.name, row.detail, row.figure) for row in rows)
        ),
    )


def error_table(jobs: Sequence[JobRecord], attempts: Sequence[AttemptRecord]) -> tuple[FigureTable, int]:
    """The most frequent errors of attempts and jobs, and how many others there are."""
    errors: Counter[tuple[str, str]] = Counter()
    for attempt in attempts:
        if attempt.error:
            errors["attempt", _shorten(attempt.error)] += 1
    for job in jobs:
        if job.error:
            errors["job", _shorten(job.error)] += 1
    rows = tuple((what, text, f"{count:,}") for (what, text), count in errors.most_common(MOST_ERRORS))
    return FigureTable(("of", "error", "times"), rows), max(0, len(errors) - MOST_ERRORS)


def _shorten(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else text[:MOST_LETTERS] + " …"
