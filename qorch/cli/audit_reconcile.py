"""`qorch audit reconcile`: a provider's invoice against the ledger, job by job."""

import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qorch.cli.exit_codes import FAILED
from qorch.cli.options import DbOption, JsonOption
from qorch.cli.output import print_json, print_table
from qorch.errors import MoneyError, UsageError
from qorch.model.text import format_count

if TYPE_CHECKING:
    from qorch.audit.invoice_sums import BilledTotal, FeeTotal, Period
    from qorch.audit.reconciliation import Agreement, PriceSeconds, ReconciledJob, Reconciliation, Rules
    from qorch.model.money import Money

_DAYS = ["%Y-%m-%d"]
_LABELS = {
    "matched": "matched",
    "differs": "differing",
    "billed_twice": "billed twice",
    "only_ours": "only ours",
    "only_theirs": "only theirs",
    "elsewhere": "may stand in another invoice",
}


def reconcile(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="The invoice: a file, or all parts of one.")],
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="aws, ionq or ibm; by default it is seen by the columns.")
    ] = None,
    begin: Annotated[
        datetime.datetime | None,
        typer.Option("--from", formats=_DAYS, metavar="DAY", help="First day in UTC; by default the invoice's own."),
    ] = None,
    end: Annotated[
        datetime.datetime | None,
        typer.Option("--to", formats=_DAYS, metavar="DAY", help="Last day in UTC; by default the invoice's own."),
    ] = None,
    tolerance: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help='What may differ in a job, such as "0.01 USD".')
    ] = None,
    account: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only jobs that this account pays for, as the ledger names it.")
    ] = None,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare a provider's invoice with the ledger, job by job: matched, only ours, only theirs, differing.

    Takes AWS cost and usage reports and FOCUS exports (CSV, also gzipped, with resource ids), IonQ's usage report by
    job, and IBM Quantum's lists of workloads (JSON); IonQ's and IBM's also as CSV with a job's id and its cost or
    seconds. Jobs that ended on the last day of the period, or are not settled, may stand in another invoice, and are no
    difference. Exits with 1 if there are differences, with 0 if there are none.
    """
    from qorch.audit.booked_jobs import read_booked_jobs
    from qorch.audit.invoice_sums import sum_lines
    from qorch.audit.invoices import read_invoice
    from qorch.audit.reconciliation import reconcile_jobs
    from qorch.cli.database import open_database
    from qorch.ports.clock import WallClock

    allowed = None if tolerance is None else _read_tolerance(tolerance)
    backends, lines = read_invoice(files, kind=kind)
    billed = sum_lines(lines)
    period = _find_period(billed, begin=begin, end=end, now=WallClock().now())
    rules = _make_rules(billed, allowed)
    with open_database(db) as store:
        ours = read_booked_jobs(store, backends, account=account)
    result = reconcile_jobs(ours, billed, period=period, rules=rules)
    if as_json:
        print_json(_document(result, billed))
    else:
        _print(result, billed)
    if not result.is_clean:
        raise typer.Exit(FAILED)


def _read_tolerance(text: str) -> "Money":
    from qorch.model.money import parse_money

    try:
        return parse_money(text)
    except MoneyError as error:
        raise MoneyError(f"--tolerance: {error}") from error


def _find_period(
    billed: "BilledTotal",
    *,
    begin: datetime.datetime | None,
    end: datetime.datetime | None,
    now: datetime.datetime,
) -> "Period":
    """The days that were asked for, else those of the invoice, which cannot tell of days that are to come."""
    from qorch.audit.invoice_sums import Period

    own = billed.period
    first = own.begin if own is not None else None
    last = min(own.end, now) if own is not None else None
    if begin is not None:
        first = begin.replace(tzinfo=datetime.UTC)
    if end is not None:
        last = end.replace(tzinfo=datetime.UTC) + datetime.timedelta(days=1)
    if first is None or last is None:
        raise UsageError("the invoice tells no times; say with --from and --to which days it is about")
    return Period(first, last)


def _make_rules(billed: "BilledTotal", tolerance: "Money | None") -> "Rules":
    from qorch.audit.reconciliation import Rules, to_units

    currencies = {job.currency for job in billed.jobs.values() if job.amount is not None}
    if tolerance is not None and currencies and currencies != {tolerance.currency}:
        raise UsageError(f"--tolerance is in {tolerance.currency}, and the invoice has another currency")
    allowed = Decimal(0) if tolerance is None else to_units(tolerance.micros)
    return Rules(allowed, billed.unit) if currencies else Rules(allowed, billed.unit, _load_prices())


def _load_prices() -> "PriceSeconds":
    """Prices seconds of a device by the card that applies to a backend."""
    from qorch.audit.reconciliation import to_units
    from qorch.config import read_config
    from qorch.model.job import Interval, Usage
    from qorch.model.prices.book import decide_price
    from qorch.planning.pricing import price
    from qorch.prices import load_prices

    book = load_prices(read_config())

    def price_seconds(backend: str, seconds: Decimal) -> Decimal | None:
        exact = float(seconds)
        usage = Usage(executions=0, shots=0, seconds=Interval(exact, exact, exact))
        cost = price(usage, decide_price(backend, charges=True, book=book))
        return None if cost is None else to_units(cost.expected_micros)

    return price_seconds


def _document(result: "Reconciliation", billed: "BilledTotal") -> dict[str, Any]:
    """The JSON document; amounts are texts of exact decimals."""
    from qorch.audit.reconciliation import Agreement

    return {
        "is_clean": result.is_clean,
        "from": result.period.begin.isoformat(),
        "before": result.period.end.isoformat(),
        "groups": {each.value: _describe_group(result, each) for each in Agreement},
        "jobs": [_describe_job(job) for job in result.jobs],
        "fees": [_describe_fee(fee) for fee in billed.fees],
        "lines": billed.n_lines,
        "lines_of_other_services": billed.n_other,
        "repeated_lines": billed.n_repeated,
        "jobs_outside": result.n_outside,
        "jobs_free": result.n_free,
    }


def _describe_group(result: "Reconciliation", agreement: "Agreement") -> dict[str, Any]:
    from qorch.audit.reconciliation import sum_amounts

    jobs = result.of(agreement)
    sums = sum_amounts(jobs)
    amounts = {name: {"ours": _text(ours), "theirs": _text(theirs)} for name, (ours, theirs) in sums.items() if name}
    return {"jobs": len(jobs), "amounts": amounts}


def _describe_job(job: "ReconciledJob") -> dict[str, Any]:
    ours, theirs = job.ours, job.theirs
    return {
        "agreement": job.agreement.value,
        "provider_id": job.provider_id or None,
        "job_id": None if ours is None else ours.job_id,
        "run": None if ours is None else ours.run_name,
        "backend": None if ours is None else ours.backend,
        "currency": job.currency or None,
        "ours": _text(job.ours_amount),
        "theirs": _text(job.theirs_amount),
        "difference": _text(job.difference),
        "theirs_seconds": None if theirs is None else _text(theirs.seconds),
        "lines": 0 if theirs is None else theirs.n_lines,
        "candidate": None if job.candidate is None else job.candidate.job_id,
        "note": job.note or None,
    }


def _describe_fee(fee: "FeeTotal") -> dict[str, Any]:
    return {
        "what": fee.what,
        "currency": fee.currency or None,
        "amount": _text(fee.amount),
        "seconds": _text(fee.seconds),
        "lines": fee.n_lines,
    }


def _text(amount: Decimal | None) -> str | None:
    """An exact decimal without needless zeros: at least the cents."""
    if amount is None:
        return None
    whole, _, decimals = f"{amount:f}".partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


def _print(result: "Reconciliation", billed: "BilledTotal") -> None:
    from qorch.audit.reconciliation import Agreement

    shown = [job for agreement in Agreement for job in result.of(agreement) if agreement is not Agreement.MATCHED]
    if shown:
        print_table(
            ("", "job at the provider", "our job", "ours", "theirs", "difference", "note"),
            [_as_row(job) for job in shown],
            optional=("our job", "difference"),
        )
        print()
    days = f"{result.period.begin:%Y-%m-%d} to {result.period.end - datetime.timedelta(microseconds=1):%Y-%m-%d}"
    print(f"{format_count(billed.n_lines, 'line')} about {days} (UTC)")
    print_table(
        ("jobs", "", "ours", "theirs"), [row for agreement in Agreement for row in _sum_rows(result, agreement)]
    )
    for fee in billed.fees:
        print(f"of no job: {fee.what}, {format_count(fee.n_lines, 'line')}: {_fee_amount(fee)}")
    print(_describe_rest(result, billed))


def _as_row(job: "ReconciledJob") -> list[object]:
    ours = None if job.ours is None else job.ours.job_id
    amounts = (_money(amount, job.currency) for amount in (job.ours_amount, job.theirs_amount, job.difference))
    return [_LABELS[job.agreement], job.provider_id or None, ours, *amounts, job.note or None]


def _sum_rows(result: "Reconciliation", agreement: "Agreement") -> list[list[object]]:
    """A line for each currency; one for a group without jobs."""
    from qorch.audit.reconciliation import sum_amounts

    jobs = result.of(agreement)
    sums = sum_amounts(jobs) or {"": (Decimal(0), Decimal(0))}
    counts = {currency: sum(job.currency == currency for job in jobs) for currency in sums}
    return [
        [f"{counts[currency]:,}", _LABELS[agreement], _money(ours, currency), _money(theirs, currency)]
        for currency, (ours, theirs) in sums.items()
    ]


def _fee_amount(fee: "FeeTotal") -> str:
    parts = [_money(fee.amount, fee.currency), None if fee.seconds is None else f"{_text(fee.seconds)} s"]
    return ", ".join(part for part in parts if part) or "nothing"


def _money(amount: Decimal | None, currency: str) -> str | None:
    return None if amount is None or not currency else f"{_text(amount)} {currency}"


def _describe_rest(result: "Reconciliation", billed: "BilledTotal") -> str:
    parts = [
        (billed.n_other, "line", "about other services"),
        (billed.n_repeated, "line", "that stood there already"),
        (result.n_free, "job", "of ours that cost nothing and is not in it"),
        (result.n_outside, "job", "of ours outside of these days"),
    ]
    told = [f"{format_count(count, noun)} {words}" for count, noun, words in parts if count]
    verdict = "Everything agrees." if result.is_clean else "There are differences."
    return f"{verdict}{' Not counted: ' + '; '.join(told) + '.' if told else ''}"
