"""Reads what IBM Quantum charged: lists of workloads or jobs with their seconds, and tables with such columns.

Documented are the lists of ``GET /workloads`` and ``GET /jobs``. The console's tables of usage are not: one is taken if
it has columns of a job's id and its seconds. None of them has money; seconds are priced by the card.
"""

from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal

import msgspec

from qorch.errors import InvoiceError
from qorch.model.invoices.files import InvoiceDocument, InvoiceTable
from qorch.model.invoices.line import InvoiceLine, LineKind, check_charge, check_number, read_number, read_time
from qorch_providers.ibm.labels import read_tags

ID_COLUMNS = ("workload_id", "job_id", "id")
SECONDS_COLUMNS = (
    "qpu_charge_time_seconds", "usage_seconds", "usage_qpu_charge_time_seconds", "quantum_seconds", "usage_s", "usage",
)  # fmt: skip
BEGIN_COLUMNS = ("created", "created_at", "date", "start")
END_COLUMNS = ("ended", "ended_at", "completed", "completed_at", "end")
MODE_COLUMNS = ("mode", "execution_mode", "type")
TAG_COLUMNS = ("tags",)
_ALONE = "job"
"""The mode of a job that is charged for by itself; the others are charged with their session or batch."""
_SECONDS = "the usage in seconds"
_PENDING = "pending"
_UNCOUNTED = "not counted yet"


class _UsageWire(msgspec.Struct):
    qpu_charge_time_seconds: Decimal | None = None
    status: str = ""


class _WorkloadWire(msgspec.Struct):
    """A workload, or a job's document. ``usage`` is null as long as the workload goes on, and may be pending later."""

    id: str
    mode: str = _ALONE
    created: str | None = None
    ended: str | None = None
    tags: list[str] | None = None
    usage: _UsageWire | msgspec.UnsetType | None = msgspec.UNSET
    usage_seconds: Decimal | msgspec.UnsetType | None = msgspec.UNSET


class _PageWire(msgspec.Struct):
    workloads: list[_WorkloadWire] = []
    jobs: list[_WorkloadWire] = []


class IbmInvoices:
    """See InvoiceFormat."""

    name = "ibm"
    title = "a list of IBM Quantum's workloads or jobs (JSON), or a table of their usage (CSV)"

    def fits(self, names: Collection[str]) -> bool:
        """See InvoiceFormat."""
        if "workloads" in names or ({"jobs", "count"} <= set(names)):
            return True
        return any(name in names for name in ID_COLUMNS) and any(name in names for name in SECONDS_COLUMNS)

    def read_table(self, table: InvoiceTable) -> Iterator[InvoiceLine]:
        """See InvoiceFormat."""
        job, seconds = table.find(*ID_COLUMNS), table.find(*SECONDS_COLUMNS)
        if job is None or seconds is None:
            missing = ("a job's id", ID_COLUMNS) if job is None else ("its seconds", SECONDS_COLUMNS)
            raise InvoiceError(
                f"{table.name}, line 1: there is no column for {missing[0]}; name it {' or '.join(missing[1])}"
            )
        mode, tags = table.find(*MODE_COLUMNS), table.find(*TAG_COLUMNS)
        begin, end = table.find(*BEGIN_COLUMNS), table.find(*END_COLUMNS)

        def read_row(row: Sequence[str]) -> InvoiceLine:
            begun = "" if begin is None else row[begin]
            return _charge(
                row[job],
                _ALONE if mode is None else row[mode],
                read_number(row[seconds] or "0", _SECONDS),
                times=(begun, begun if end is None else row[end]),
                tags=[] if tags is None else row[tags].split(","),
            )

        return table.read(read_row)

    def read_document(self, document: InvoiceDocument) -> Iterator[InvoiceLine]:
        """See InvoiceFormat."""
        page = document.decode(_PageWire) if document.names & {"workloads", "jobs"} else None
        items = [*page.workloads, *page.jobs] if page is not None else document.decode(list[_WorkloadWire])
        return document.read("workload", items, _read_workload)


def _read_workload(item: _WorkloadWire) -> InvoiceLine:
    if item.usage is msgspec.UNSET and item.usage_seconds is msgspec.UNSET:
        raise InvoiceError("it has no usage; ask for GET /workloads")
    usage = item.usage if isinstance(item.usage, _UsageWire) else None
    found = item.usage_seconds if usage is None else usage.qpu_charge_time_seconds
    if not isinstance(found, Decimal) or (usage is not None and usage.status == _PENDING):
        return InvoiceLine(LineKind.FEE, what=_UNCOUNTED)
    seconds = check_number(found, _SECONDS)
    return _charge(item.id, item.mode, seconds, times=(item.created or "", item.ended or ""), tags=item.tags or [])


def _charge(job_id: str, mode: str, seconds: Decimal, *, times: tuple[str, str], tags: Sequence[str]) -> InvoiceLine:
    began_at, ended_at = read_time(times[0], "the time"), read_time(times[1] or times[0], "the time")
    check_charge(seconds, _SECONDS)
    if mode.strip().lower() not in ("", _ALONE) or not job_id.strip():
        return InvoiceLine(
            LineKind.FEE, what=mode, seconds=seconds, began_at=began_at, ended_at=ended_at, is_collective=True
        )
    key, label = read_tags([tag.strip() for tag in tags])
    return InvoiceLine(
        LineKind.JOB,
        job_id=job_id.strip(),
        what="seconds of the device",
        seconds=seconds,
        began_at=began_at,
        ended_at=ended_at,
        key=key,
        name=label.job_id or "",
    )


INVOICES = IbmInvoices()
