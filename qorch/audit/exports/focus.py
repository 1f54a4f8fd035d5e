"""The charges of the ledger as FOCUS 1.2 has them: the FinOps Open Cost and Usage Specification.

The rules are those of https://focus.finops.org/focus-specification/v1-2/. One row is one charge: an entry SPENT or
ADJUSTED; what is reserved or released was charged by nobody.
"""

import datetime
import json
from collections.abc import Iterable, Mapping
from decimal import Decimal

from qorch.audit.exports.ledger import LedgerLine, as_amount
from qorch.audit.exports.tables import Cell, CellKind, Table
from qorch.audit.money.sums import day_of, is_charge
from qorch.model.backend_name import kind_of, stem_of
from qorch.model.ledger import EntryKind, LedgerRecord

METADATA: Mapping[str, str] = {"FocusVersion": "1.2", "DataGenerator": "qorch"}
"""What the specification wants to be told of a dataset; CSV has no place for it."""
_PROVIDERS = {
    "ionq": ("IonQ", "IonQ Quantum Cloud"),
    "braket": ("Amazon Web Services", "Amazon Braket"),
    "ibm": ("IBM", "IBM Quantum Platform"),
}
"""By kind of backend: who provides it and sends the bill, and the name of the service."""
_TEXTS = (
    "BillingAccountId BillingAccountName BillingCurrency ChargeCategory ChargeClass ChargeDescription ChargeFrequency"
    " ConsumedUnit InvoiceId InvoiceIssuerName PricingCategory PricingUnit ProviderName PublisherName RegionId"
    " RegionName ResourceId ResourceName ResourceType ServiceCategory ServiceName ServiceSubcategory SkuId SkuPriceId"
    " SubAccountId SubAccountName Tags x_JobId x_JobState x_LedgerDigest x_Reason x_RunId x_RunName"
)
_AMOUNTS = (
    "BilledCost ConsumedQuantity ContractedCost ContractedUnitPrice EffectiveCost ListCost ListUnitPrice"
    " PricingQuantity"
)
_TIMES = "BillingPeriodEnd BillingPeriodStart ChargePeriodEnd ChargePeriodStart x_RecordedTime"
_INTEGERS = "x_Attempt x_Executions x_LedgerEntry x_Shots x_Step"
_KINDS = {
    **dict.fromkeys(_TEXTS.split(), CellKind.TEXT),
    **dict.fromkeys(_AMOUNTS.split(), CellKind.AMOUNT),
    **dict.fromkeys(_TIMES.split(), CellKind.TIME),
    **dict.fromkeys(_INTEGERS.split(), CellKind.INTEGER),
}
COLUMNS: Mapping[str, CellKind] = {name: _KINDS[name] for name in sorted(_KINDS)}
"""FOCUS's columns in the order of their names, then ours, which begin with ``x_``, as the specification wants it."""


def make_focus_table(lines: Iterable[LedgerLine]) -> Table:
    """The charges among the entries, in their order.

    The ledger prices whole jobs: a job is the unit of pricing, its price is the unit price, and executions are what is
    consumed. List, contracted, billed and effective cost are the same, as qorch knows of no discount. An adjustment of
    a job whose billing period is over when it is booked is a correction.
    """
    rows = [_describe(line) for line in lines if is_charge(line.entry.record)]
    return Table(COLUMNS, [[row.get(name) for name in COLUMNS] for row in rows])


def _describe(line: LedgerLine) -> dict[str, Cell]:
    record = line.entry.record
    cost = as_amount(record.micros)
    return {
        **_describe_parties(line),
        **_describe_periods(record),
        **(_describe_usage(line, cost) if record.kind is EntryKind.SPENT else _describe_adjustment(record)),
        **_describe_own(line),
        "BilledCost": cost,
        "ContractedCost": cost,
        "EffectiveCost": cost,
        "ListCost": cost,
        "BillingCurrency": record.currency,
        "ChargeDescription": _describe_charge(line),
        "ChargeFrequency": "Usage-Based",
        "ServiceCategory": "Compute",
        "ServiceSubcategory": "Quantum Compute",
        "SkuId": _sku(line),
        "Tags": json.dumps({"qorch/run": line.run_name or record.run_id}),
    }


def _describe_parties(line: LedgerLine) -> dict[str, Cell]:
    kind = kind_of(stem_of(line.backend))
    provider, service = _PROVIDERS.get(kind, (kind or "unknown", kind or "unknown"))
    resource = None if line.job is None else line.job.provider_id
    return {
        "BillingAccountId": line.entry.record.account or kind or "unknown",
        "InvoiceIssuerName": provider,
        "ProviderName": provider,
        "PublisherName": provider,
        "ServiceName": service,
        "ResourceId": resource or None,
        "ResourceType": "Job" if resource else None,
    }


def _describe_periods(record: LedgerRecord) -> dict[str, Cell]:
    """A charge is of its job's day, and of the bill of that month; a correction, of the bill of its own month."""
    day = day_of(record)
    billed = _month(_recorded_day(record) if _is_correction(record) else day)
    return {
        "BillingPeriodStart": _midnight(billed),
        "BillingPeriodEnd": _midnight(_month(billed + datetime.timedelta(days=31))),
        "ChargePeriodStart": _midnight(day),
        "ChargePeriodEnd": _midnight(day + datetime.timedelta(days=1)),
    }


def _describe_usage(line: LedgerLine, cost: Decimal) -> dict[str, Cell]:
    executions = _count_executions(line)
    return {
        "ChargeCategory": "Usage",
        "ConsumedQuantity": _count(executions or 1),
        "ConsumedUnit": "Executions" if executions else "Jobs",
        "ContractedUnitPrice": cost,
        "ListUnitPrice": cost,
        "PricingCategory": "Standard",
        "PricingQuantity": _count(1),
        "PricingUnit": "Jobs",
        "SkuPriceId": _sku(line),
    }


def _describe_adjustment(record: LedgerRecord) -> dict[str, Cell]:
    return {"ChargeCategory": "Adjustment", "ChargeClass": "Correction" if _is_correction(record) else None}


def _describe_own(line: LedgerLine) -> dict[str, Cell]:
    record, job = line.entry.record, line.job
    shots = None if job is None or job.shots is None else job.shots * job.n_executions
    return {
        "x_Attempt": record.attempt,
        "x_Executions": _count_executions(line),
        "x_JobId": record.job_id,
        "x_JobState": None if job is None else job.state.value,
        "x_LedgerDigest": line.entry.digest,
        "x_LedgerEntry": line.entry.number,
        "x_Reason": record.reason or None,
        "x_RecordedTime": record.recorded_at.replace(microsecond=0),
        "x_RunId": record.run_id,
        "x_RunName": line.run_name or None,
        "x_Shots": shots,
        "x_Step": record.step,
    }


def _describe_charge(line: LedgerLine) -> str:
    what = "charge for" if line.entry.record.kind is EntryKind.SPENT else "adjustment of the charge for"
    return f"{what} a job of run {line.entry.record.run_id} on {line.backend or 'an unknown backend'}"


def _count_executions(line: LedgerLine) -> int:
    return line.entry.record.executions or (0 if line.job is None else line.job.n_executions)


def _sku(line: LedgerLine) -> str:
    return stem_of(line.backend) or "unknown"


def _count(number: int) -> Decimal:
    """A quantity with as many places as an amount, so that a reader takes the whole column for decimals."""
    return Decimal(number).quantize(as_amount(1))


def _is_correction(record: LedgerRecord) -> bool:
    """Whether an entry adjusts a job of a month whose bill may be written already."""
    return record.kind is EntryKind.ADJUSTED and _month(_recorded_day(record)) > _month(day_of(record))


def _recorded_day(record: LedgerRecord) -> datetime.date:
    return record.recorded_at.astimezone(datetime.UTC).date()


def _month(day: datetime.date) -> datetime.date:
    return day.replace(day=1)


def _midnight(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time(), datetime.UTC)
