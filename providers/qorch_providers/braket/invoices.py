"""Reads what AWS charged: cost and usage reports (CUR, both generations) and FOCUS exports, as CSV.

A report has to be made with resource ids: the id of a quantum task's lines is its ARN.
"""

import datetime
import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from qorch.errors import InvoiceError
from qorch.model.invoices.files import InvoiceDocument, InvoiceTable, plain_name
from qorch.model.invoices.line import InvoiceLine, LineKind, check_charge, read_number, read_time
from qorch_providers.braket.labels import JOB_TAG, KEY_TAG, read_tags

SERVICE = "AmazonBraket"
_TASK = re.compile(r"arn:aws[a-z-]*:braket:[a-z0-9-]+:[0-9]{12}:quantum-task/[A-Za-z0-9-]+")
_OF_JOBS = frozenset({"Usage", "DiscountedUsage"})
"""The types of lines that charge for usage; tax, credits, refunds, discounts and fees have their own."""
_TAGS = {plain_name(tag): tag for tag in (KEY_TAG, JOB_TAG)}
_ADVICE = "it must be a report with resource ids: see the export's settings in AWS"


@dataclass(frozen=True)
class ReportColumns:
    """The plain names of columns; those of the type and the quantity of usage, the line's id and tags may lack."""

    resource: str
    service: str
    category: str
    what: str
    amount: str
    currency: str
    began: str
    ended: str
    quantity: str
    line_id: str
    tags: str
    """A column with all tags as JSON, and what the names of columns with one tag begin with."""


CUR = ReportColumns(
    resource="line_item_resource_id",
    service="line_item_product_code",
    category="line_item_line_item_type",
    what="line_item_usage_type",
    amount="line_item_unblended_cost",
    currency="line_item_currency_code",
    began="line_item_usage_start_date",
    ended="line_item_usage_end_date",
    quantity="line_item_usage_amount",
    line_id="identity_line_item_id",
    tags="resource_tags",
)
"""Legacy reports write ``lineItem/ResourceId`` where later ones write ``line_item_resource_id``: as plain names they
are the same."""
FOCUS = ReportColumns(
    resource="resource_id",
    service="x_service_code",
    category="charge_category",
    what="x_usage_type",
    amount="billed_cost",
    currency="billing_currency",
    began="charge_period_start",
    ended="charge_period_end",
    quantity="consumed_quantity",
    line_id="",
    tags="tags",
)

CLASS_COLUMN = "charge_class"
"""FOCUS's: it has a word only in corrections of earlier invoices, which may be negative."""
OTHER_WORDS = ("charge_description",)
"""Columns that say what was charged, if the one for the type of usage is missing."""


class AwsInvoices:
    """See InvoiceFormat."""

    name = "aws"
    title = "an AWS cost and usage report or FOCUS export (CSV)"

    def fits(self, names: Collection[str]) -> bool:
        """See InvoiceFormat."""
        return any(columns.service in names and columns.amount in names for columns in (CUR, FOCUS))

    def read_table(self, table: InvoiceTable) -> Iterator[InvoiceLine]:
        """See InvoiceFormat."""
        columns = FOCUS if FOCUS.amount in table.names and CUR.amount not in table.names else CUR
        needed = (
            columns.resource, columns.service, columns.category, columns.amount, columns.currency, columns.began,
            columns.ended,
        )  # fmt: skip
        table.require(needed, advice=_ADVICE)
        return table.read(RowReader(table, columns).read)

    def read_document(self, document: InvoiceDocument) -> Iterator[InvoiceLine]:
        """Raise InvoiceError: AWS exports no JSON."""
        raise InvoiceError(f"{document.name}: it is JSON; export the report as CSV")


class RowReader:
    """Reads the rows of one table."""

    def __init__(self, table: InvoiceTable, columns: ReportColumns) -> None:
        """Find the columns once."""
        places = table.places
        self._resource, self._service = places[columns.resource], places[columns.service]
        self._category, self._what = places[columns.category], table.find(columns.what, *OTHER_WORDS)
        self._amount, self._currency = places[columns.amount], places[columns.currency]
        self._began, self._ended = places[columns.began], places[columns.ended]
        self._class = table.find(CLASS_COLUMN)
        self._quantity, self._line_id = table.find(columns.quantity), table.find(columns.line_id)
        self._all_tags = table.find(columns.tags)
        single = {tag: table.find(f"{columns.tags}_user_{plain}") for plain, tag in _TAGS.items()}
        self._tags = {tag: place for tag, place in single.items() if place is not None}

    def read(self, row: Sequence[str]) -> InvoiceLine:
        """The line in a row. Raises InvoiceError, without the place, for a field that is not as it must be."""
        category = (row[self._class] if self._class is not None else "") or row[self._category]
        if row[self._service] != SERVICE:
            return self._read_other(row, category)
        if category in _OF_JOBS and _TASK.fullmatch(row[self._resource]):
            return self._read_task(row)
        return InvoiceLine(
            LineKind.FEE,
            what=self._describe(row) if category in _OF_JOBS else category,
            amount=read_number(row[self._amount] or "0", "the cost"),
            currency=row[self._currency],
            began_at=self._time(row, self._began) if category in _OF_JOBS else None,
            ended_at=self._time(row, self._ended) if category in _OF_JOBS else None,
            line_id=self._id(row),
        )

    def _read_task(self, row: Sequence[str]) -> InvoiceLine:
        if self._quantity is not None:
            check_charge(read_number(row[self._quantity] or "0", "the usage"), "the usage")
        key, name = self._read_tags(row)
        return InvoiceLine(
            LineKind.JOB,
            job_id=row[self._resource],
            what=self._describe(row),
            amount=check_charge(read_number(row[self._amount], "the cost"), "the cost"),
            currency=row[self._currency],
            began_at=self._time(row, self._began),
            ended_at=self._time(row, self._ended),
            key=key,
            name=name,
            line_id=self._id(row),
        )

    def _read_other(self, row: Sequence[str], category: str) -> InvoiceLine:
        """Tax and fees of a month cover days that are yet to come, so only usage tells which days the report covers."""
        if category not in _OF_JOBS:
            return InvoiceLine(LineKind.OTHER)
        return InvoiceLine(LineKind.OTHER, began_at=self._time(row, self._began), ended_at=self._time(row, self._ended))

    def _time(self, row: Sequence[str], place: int) -> datetime.datetime | None:
        return read_time(row[place], "the time of usage")

    def _describe(self, row: Sequence[str]) -> str:
        return "" if self._what is None else row[self._what]

    def _id(self, row: Sequence[str]) -> str:
        return "" if self._line_id is None else row[self._line_id]

    def _read_tags(self, row: Sequence[str]) -> tuple[str | None, str]:
        """The idempotency key and the job's id of ours, if the report has their tags as cost allocation tags."""
        tags = {tag: row[place] for tag, place in self._tags.items()}
        if self._all_tags is not None:
            tags = _parse_tags(row[self._all_tags]) | tags
        if not any(tags.values()):
            return None, ""
        key, label = read_tags(tags)
        return key, label.job_id or ""


def _parse_tags(text: str) -> dict[str, str]:
    """Ours of the tags in a JSON object, whose names may begin with ``user:`` or ``user_``; none of another text."""
    try:
        found = json.loads(text) if text.startswith("{") else {}
    except (ValueError, RecursionError):
        return {}
    plain = {plain_name(name).removeprefix("user_"): value for name, value in found.items()}
    return {tag: str(plain[name]) for name, tag in _TAGS.items() if name in plain}


INVOICES = AwsInvoices()
