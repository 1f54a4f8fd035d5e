"""Reads what IonQ charged: its usage report by job, lists of jobs with their costs, and tables with such columns.

Documented are the report of ``GET /organizations/{id}/usage?group_by=job`` (v0.4), the fields ``cost_usd`` of the job
documents of v0.3, and ``cost`` of ``GET /jobs/{id}/cost``. No export of the console is: a table is taken if it has
columns of a job's id and its cost.
"""

import datetime
from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal

import msgspec

from qorch.errors import InvoiceError
from qorch.model.invoices.files import InvoiceDocument, InvoiceTable
from qorch.model.invoices.line import InvoiceLine, LineKind, check_charge, check_number, read_number, read_time
from qorch_providers.ionq.labels import KEY_FIELD

ID_COLUMNS = ("job_id", "job_uuid", "uuid", "id", "group_id")
COST_COLUMNS = ("cost", "amount", "actual_cost", "total_cost", "cost_usd", "amount_usd")
CURRENCY_COLUMNS = ("currency", "unit", "usage_unit")
TIME_COLUMNS = ("completed_at", "date", "from", "usage_date", "submitted_at", "created_at")
NAME_COLUMNS = ("job_name", "name", "group_name")
Times = tuple[datetime.datetime | None, datetime.datetime | None]
"""When the usage began and ended."""
_QPU = "QPU usage"
_PERIODS = {"daily": 1, "weekly": 7}
_COST = "the cost"


class _GroupWire(msgspec.Struct):
    group_id: str
    amount: Decimal | None = None
    group_name: str | None = None


class _DayWire(msgspec.Struct):
    start: str = msgspec.field(name="from", default="")
    group_usages: list[_GroupWire] = []


class _ReportWire(msgspec.Struct):
    """The answer of ``GET /organizations/{id}/usage``."""

    group_type: str
    usage_data: list[_DayWire]
    usage_unit: str = ""
    modality: str = ""


class _CostWire(msgspec.Struct):
    value: Decimal | None = None
    unit: str = ""


class _JobWire(msgspec.Struct):
    """A job's document; ``request`` and ``response`` are seconds of the Unix clock, as v0.3 writes them."""

    id: str
    name: str | None = None
    metadata: dict[str, str | None] | None = None
    cost_usd: Decimal | msgspec.UnsetType | None = msgspec.UNSET
    cost: _CostWire | msgspec.UnsetType | None = msgspec.UNSET
    submitted_at: str | None = None
    completed_at: str | None = None
    request: float | None = None
    response: float | None = None


class _ListWire(msgspec.Struct):
    jobs: list[_JobWire]


class IonqInvoices:
    """See InvoiceFormat."""

    name = "ionq"
    title = "IonQ's usage report by job, or jobs with their costs (JSON or CSV)"

    def fits(self, names: Collection[str]) -> bool:
        """See InvoiceFormat. A list of IBM's workloads has ``usage`` and no cost."""
        if {"usage_data", "group_type"} <= set(names) or {"jobs", "next"} <= set(names):
            return True
        return _has_one(names, ID_COLUMNS) and _has_one(names, COST_COLUMNS)

    def read_table(self, table: InvoiceTable) -> Iterator[InvoiceLine]:
        """See InvoiceFormat."""
        job, cost = table.find(*ID_COLUMNS), table.find(*COST_COLUMNS)
        if job is None or cost is None:
            missing = ("a job's id", ID_COLUMNS) if job is None else ("its cost", COST_COLUMNS)
            raise InvoiceError(
                f"{table.name}, line 1: there is no column for {missing[0]}; name it {' or '.join(missing[1])}"
            )
        currency, time, name = (table.find(*each) for each in (CURRENCY_COLUMNS, TIME_COLUMNS, NAME_COLUMNS))
        key = table.find(KEY_FIELD)

        def read_row(row: Sequence[str]) -> InvoiceLine:
            at = None if time is None else read_time(row[time], "the time")
            return _charge(
                row[job],
                read_number(row[cost], _COST),
                currency="USD" if currency is None else row[currency],
                times=(at, at),
                key=None if key is None else row[key],
                name="" if name is None else row[name],
            )

        return table.read(read_row)

    def read_document(self, document: InvoiceDocument) -> Iterator[InvoiceLine]:
        """See InvoiceFormat."""
        if "usage_data" in document.names:
            return _read_report(document)
        if "jobs" in document.names:
            return document.read("job", document.decode(_ListWire).jobs, _read_job)
        return document.read("job", document.decode(list[_JobWire]), _read_job)


def _has_one(names: Collection[str], wanted: Sequence[str]) -> bool:
    return any(name in names for name in wanted)


def _charge(
    job_id: str, amount: Decimal, *, currency: str, times: Times, key: str | None = None, name: str | None = None
) -> InvoiceLine:
    currency = currency.strip().upper() or "USD"
    if not job_id.strip():
        return InvoiceLine(LineKind.FEE, what="without a job's id", amount=amount, currency=currency)
    return InvoiceLine(
        LineKind.JOB,
        job_id=job_id.strip(),
        what=_QPU,
        amount=check_charge(amount, _COST),
        currency=currency,
        began_at=times[0],
        ended_at=times[1] or times[0],
        key=key,
        name=name or "",
    )


def _read_report(document: InvoiceDocument) -> Iterator[InvoiceLine]:
    report = document.decode(_ReportWire)
    if report.group_type != "job":
        raise InvoiceError(
            f"{document.name}: its usage is grouped by {report.group_type}; ask for it with group_by=job"
        )
    pairs = ((day, group) for day in report.usage_data for group in day.group_usages)

    def read_group(pair: tuple[_DayWire, _GroupWire]) -> InvoiceLine:
        day, group = pair
        began_at = read_time(day.start, "from")
        days = _PERIODS.get(report.modality)
        ended_at = began_at + datetime.timedelta(days=days) if began_at and days else began_at
        amount = check_number(group.amount, "amount")
        return _charge(
            group.group_id, amount, currency=report.usage_unit, times=(began_at, ended_at), name=group.group_name
        )

    return document.read("usage", pairs, read_group)


def _read_job(job: _JobWire) -> InvoiceLine:
    if job.cost is msgspec.UNSET and job.cost_usd is msgspec.UNSET:
        raise InvoiceError(
            "it has neither cost nor cost_usd, as no list of v0.4 has; ask for"
            " /organizations/{id}/usage?group_by=job instead"
        )
    cost = job.cost if isinstance(job.cost, _CostWire) else None
    amount = job.cost_usd if cost is None else cost.value
    return _charge(
        job.id,
        check_number(amount, _COST) if isinstance(amount, Decimal) else Decimal(0),
        currency="USD" if cost is None else cost.unit,
        times=(
            _job_time(job.submitted_at, job.request, "submitted_at"),
            _job_time(job.completed_at, job.response, "completed_at"),
        ),
        key=(job.metadata or {}).get(KEY_FIELD),
        name=job.name,
    )


def _job_time(text: str | None, seconds: float | None, name: str) -> datetime.datetime | None:
    if text:
        return read_time(text, name)
    if seconds is None or not 0 <= seconds < 1e11:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


INVOICES = IonqInvoices()
