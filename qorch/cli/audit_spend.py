"""`qorch audit spend`: what was spent over all runs of a database, by run, backend, account, day, month or epoch."""

import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from qorch.cli.options import DbOption, JsonOption
from qorch.cli.output import print_json, print_table
from qorch.errors import UsageError
from qorch.model.text import format_count

if TYPE_CHECKING:
    from qorch.audit.money.sums import SpendLine
    from qorch.ports.store import Store

_EPOCH = "epoch"
_BY = Annotated[str, typer.Option("--by", metavar="run|backend|account|day|month|epoch", help="What is summed up.")]
_SINCE = Annotated[
    str | None,
    typer.Option("--since", metavar="DATE", help="Only of jobs that were reserved on that day (UTC) or later."),
]


def spend(by: _BY = "run", since: _SINCE = None, db: DbOption = None, as_json: JsonOption = False) -> None:
    """Show what was spent and what is reserved over all runs, deleted ones too.

    Days are those of UTC on which jobs were reserved, as budgets count them. Jobs without a known price are not in it.
    """
    from qorch.audit.verification import anchor_json, anchor_lines, read_anchor
    from qorch.cli.database import open_database

    first = _read_date(since)
    _check_grouping(by)
    with open_database(db) as store:
        lines = _sum_up(store, by, since=first)
        unpriced = _count_unpriced(store, since=first)
        anchor = read_anchor(store)
    if as_json:
        documents = [{**({"run": run} if by == _EPOCH else {}), **line.to_json(by)} for run, line in lines]
        print_json({"by": by, "spend": documents, "jobs_without_price": unpriced, "ledger": anchor_json(anchor)})
        return
    if lines:
        columns = ["run", by][by != _EPOCH :]
        rows = [[run, line.group, line.spent, line.reserved][by != _EPOCH :] for run, line in lines]
        print_table((*columns, "spent", "reserved"), rows)
        _print_totals([line for _, line in lines])
    elif not unpriced:
        print("nothing was spent or reserved")
    if unpriced:
        print(f"no price was known for {format_count(unpriced, 'job')}: what they cost stands in the provider's bill")
    for line in anchor_lines(anchor):
        print(line.strip())


def _check_grouping(by: str) -> None:
    from qorch.audit.money.sums import GROUPINGS

    if by not in (*GROUPINGS, _EPOCH):
        raise UsageError(f"--by is '{by}'; choose one of {', '.join((*GROUPINGS, _EPOCH))}")


def _read_date(text: str | None) -> datetime.date:
    """A date, or the first that there is. Raises UsageError."""
    if text is None:
        return datetime.date.min
    try:
        return datetime.date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--since is '{text}'; write a date such as 2026-11-30") from error


def _sum_up(store: "Store", by: str, *, since: datetime.date) -> "list[tuple[str, SpendLine]]":
    """The lines, those of epochs with their run."""
    from qorch.audit.money.sums import day_of, sum_balances, sum_epochs

    balances = store.ledger_balances(since=since)
    if by != _EPOCH:
        return [("", line) for line in sum_balances(balances, by=by)]
    return [
        (run_id, line)
        for run_id in dict.fromkeys(balance.run_id for balance in balances)
        for line in sum_epochs([each for each in store.ledger(run_id) if day_of(each) >= since], store.steps(run_id))
    ]


def _count_unpriced(store: "Store", *, since: datetime.date) -> int:
    """How many jobs may be billed of which the ledger knows nothing."""
    count = 0
    for run in store.runs():
        if run.may_charge:
            booked = {entry.job_id for entry in store.ledger(run.run_id)}
            jobs = (job for job in store.jobs(run.run_id) if job.may_be_billed and job.changed_at.date() >= since)
            count += sum(job.job_id not in booked for job in jobs)
    return count


def _print_totals(lines: "list[SpendLine]") -> None:
    from qorch.model.money import Money

    for currency in sorted({line.currency for line in lines}):
        own = [line for line in lines if line.currency == currency]
        spent, reserved = sum(line.spent_micros for line in own), sum(line.reserved_micros for line in own)
        kept = f", and {Money(currency, reserved)} reserved" if reserved else ""
        print(f"together {Money(currency, spent)} spent{kept}")
