"""The rules of FOCUS 1.2 for a file of charges, read from the specification, not from the code that writes the file.

Source: FinOps Open Cost and Usage Specification 1.2, columns and attributes, and its requirements model (rules such as
``BilledCost-C-005-C``). Checked are presence, types, nullability, allowed values, what columns say of each other,
names, order, and formats of numbers, times, currencies, units and key-value pairs.
"""

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


MANDATORY = _words(
    "BilledCost BillingAccountId BillingAccountName BillingCurrency BillingPeriodEnd BillingPeriodStart ChargeCategory"
    " ChargeClass ChargeDescription ChargePeriodEnd ChargePeriodStart ContractedCost EffectiveCost InvoiceIssuerName"
    " ListCost PricingQuantity PricingUnit ProviderName PublisherName ServiceCategory ServiceName"
)
"""Columns that every dataset has."""
CONDITIONAL = _words(
    "AvailabilityZone BillingAccountType CapacityReservationId CapacityReservationStatus ChargeFrequency"
    " CommitmentDiscountCategory CommitmentDiscountId CommitmentDiscountName CommitmentDiscountQuantity"
    " CommitmentDiscountStatus CommitmentDiscountType CommitmentDiscountUnit ConsumedQuantity ConsumedUnit"
    " ContractedUnitPrice InvoiceId ListUnitPrice PricingCategory PricingCurrency PricingCurrencyContractedUnitPrice"
    " PricingCurrencyEffectiveCost PricingCurrencyListUnitPrice RegionId RegionName ResourceId ResourceName"
    " ResourceType ServiceSubcategory SkuId SkuMeter SkuPriceDetails SkuPriceId SubAccountId SubAccountName"
    " SubAccountType Tags"
)
"""Columns that a dataset has if its provider supports what they are about, and recommended ones."""
NEVER_NULL = _words(
    "BilledCost BillingAccountId BillingCurrency BillingPeriodEnd BillingPeriodStart ChargeCategory ChargeFrequency"
    " ChargePeriodEnd ChargePeriodStart ContractedCost EffectiveCost InvoiceIssuerName ListCost ProviderName"
    " PublisherName ServiceCategory ServiceName ServiceSubcategory"
)
PRICED = _words("ContractedUnitPrice ListUnitPrice PricingCategory PricingQuantity PricingUnit SkuId SkuPriceId")
"""Not null for usage that is no correction."""
ALLOWED: Mapping[str, Sequence[str]] = {
    "ChargeCategory": ("Usage", "Purchase", "Tax", "Credit", "Adjustment"),
    "ChargeClass": ("Correction",),
    "ChargeFrequency": ("One-Time", "Recurring", "Usage-Based"),
    "PricingCategory": ("Standard", "Dynamic", "Committed", "Other"),
    "ServiceCategory": (
        "AI and Machine Learning", "Analytics", "Business Applications", "Compute", "Databases", "Developer Tools",
        "Multicloud", "Identity", "Integration", "Internet of Things", "Management and Governance", "Media",
        "Migration", "Mobile", "Networking", "Security", "Storage", "Web", "Other",
    ),
    "ServiceSubcategory": (
        "Containers", "End User Computing", "Quantum Compute", "Serverless Compute", "Virtual Machines",
        "Other (Compute)",
    ),
}  # fmt: skip
"""Of subcategories, those of ``Compute``."""
NUMBERS = _words(
    "BilledCost ConsumedQuantity ContractedCost ContractedUnitPrice EffectiveCost ListCost ListUnitPrice"
    " PricingQuantity"
)
TIMES = _words("BillingPeriodEnd BillingPeriodStart ChargePeriodEnd ChargePeriodStart")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_UNIT = re.compile(r"([1-9][0-9]* )?[A-Z][A-Za-z]*([ /-][A-Z][A-Za-z]*)*")
Row = Mapping[str, str | None]


@dataclass(frozen=True)
class BrokenRule:
    """A rule that a row (-1: the header) breaks, named by the column that it is about."""

    row: int
    column: str
    rule: str


def broken_rules(columns: Sequence[str], rows: Sequence[Row]) -> list[BrokenRule]:
    """Every rule that a file breaks. ``rows``: texts by column, None where a cell is empty."""
    found = [BrokenRule(-1, column, rule) for column, rule in _check_names(list(columns))]
    for number, row in enumerate(rows):
        broken = [*_check_nulls(row), *_check_formats(row)]
        # Only cells that are what they must be can be compared.
        broken += [] if broken else [*_check_periods(row), *_check_costs(row), *_check_quantities(row)]
        found += [BrokenRule(number, column, rule) for column, rule in broken]
    return found


def _check_names(columns: list[str]) -> Iterator[tuple[str, str]]:
    own = [name for name in columns if name.startswith("x_")]
    focus = [name for name in columns if not name.startswith("x_")]
    yield from ((name, "must be present") for name in MANDATORY if name not in columns)
    yield from ((name, "is no column of FOCUS, and has no prefix x_") for name in focus if name not in _KNOWN)
    yield from ((name, "should be in Pascal case") for name in columns if not _is_pascal(name.removeprefix("x_")))
    if columns != sorted(focus) + sorted(own) or len(set(columns)) < len(columns):
        yield "", "FOCUS's columns should stand before own ones, both in the order of their names, each once"


_KNOWN = {*MANDATORY, *CONDITIONAL}


def _is_pascal(name: str) -> bool:
    return re.fullmatch(r"([A-Z][a-z0-9]+)+", name) is not None and len(name) <= 50


def _check_nulls(row: Row) -> Iterator[tuple[str, str]]:
    yield from ((name, "must not be null") for name in NEVER_NULL if name in row and row[name] is None)
    yield from ((name, "must not be empty") for name, cell in row.items() if cell is not None and not cell.strip())
    if _is_priced(row):
        yield from ((name, "must not be null for usage") for name in PRICED if name in row and row[name] is None)
    if row.get("ChargeCategory") == "Tax":
        yield from ((name, "must be null for taxes") for name in PRICED if row.get(name) is not None)


def _check_formats(row: Row) -> Iterator[tuple[str, str]]:
    for name, allowed in ALLOWED.items():
        if row.get(name) is not None and row[name] not in allowed:
            yield name, "must be one of the allowed values"
    yield from ((name, "must be a plain number") for name in NUMBERS if not _fits(row, name, _NUMBER))
    yield from ((name, "must be a time in UTC") for name in TIMES if not _fits(row, name, _TIME))
    yield from ((name, "must be a unit") for name in ("ConsumedUnit", "PricingUnit") if not _fits(row, name, _UNIT))
    if not _fits(row, "BillingCurrency", re.compile("[A-Z]{3}")):
        yield "BillingCurrency", "must be a code of ISO 4217"
    if row.get("Tags") is not None and not _is_key_values(row["Tags"] or ""):
        yield "Tags", "must be a JSON object of keys and plain values"


def _check_periods(row: Row) -> Iterator[tuple[str, str]]:
    starts_at, ends_at = (dt.datetime.fromisoformat(row[f"BillingPeriod{end}"] or "") for end in ("Start", "End"))
    begun_at, over_at = (dt.datetime.fromisoformat(row[f"ChargePeriod{end}"] or "") for end in ("Start", "End"))
    if not starts_at < ends_at:
        yield "BillingPeriodEnd", "must be after its start, which belongs to it, while the end does not"
    if not begun_at < over_at:
        yield "ChargePeriodEnd", "must be after its start"
    if row["ChargeClass"] is None and not starts_at <= begun_at < ends_at:
        yield "ChargeClass", "must be Correction for a charge of an earlier billing period"


def _check_costs(row: Row) -> Iterator[tuple[str, str]]:
    for cost, unit in (("ListCost", "ListUnitPrice"), ("ContractedCost", "ContractedUnitPrice")):
        price, quantity = row.get(unit), row.get("PricingQuantity")
        if price is not None and Decimal(price) < 0:
            yield unit, "must not be negative"
        if (
            row["ChargeClass"] is None
            and price
            and quantity
            and Decimal(price) * Decimal(quantity) != _number(row, cost)
        ):
            yield cost, "must be unit price times quantity"
        if price is None and _number(row, cost) != _number(row, "BilledCost"):
            yield cost, "must match BilledCost without a unit price"
    if row["ProviderName"] != row["InvoiceIssuerName"] and _number(row, "BilledCost"):
        yield "BilledCost", "must be 0 if a third party is paid"


def _check_quantities(row: Row) -> Iterator[tuple[str, str]]:
    for unit, quantity in (("PricingUnit", "PricingQuantity"), ("ConsumedUnit", "ConsumedQuantity")):
        if (row.get(unit) is None) != (row.get(quantity) is None):
            yield unit, f"must be null exactly where {quantity} is"
    consumed = row.get("ConsumedQuantity")
    if row["ChargeCategory"] != "Usage" and consumed is not None:
        yield "ConsumedQuantity", "must be null unless something was used"
    if _is_priced(row) and "ConsumedQuantity" in row and (consumed is None or Decimal(consumed) <= 0):
        yield "ConsumedQuantity", "must be positive for usage"
    if (row.get("ResourceId") is None) != (row.get("ResourceType") is None):
        yield "ResourceType", "must be null exactly where ResourceId is"
    if row["ChargeCategory"] == "Purchase" and row.get("ChargeFrequency") == "Usage-Based":
        yield "ChargeFrequency", "must not be Usage-Based for a purchase"
    if row["ServiceCategory"] != "Compute" and row.get("ServiceSubcategory") in ALLOWED["ServiceSubcategory"]:
        yield "ServiceSubcategory", "must be one of its category"


def _is_priced(row: Row) -> bool:
    return row["ChargeCategory"] in ("Usage", "Purchase") and row["ChargeClass"] is None


def _fits(row: Row, name: str, pattern: re.Pattern[str]) -> bool:
    cell = row.get(name)
    return cell is None or pattern.fullmatch(cell) is not None


def _number(row: Row, name: str) -> Decimal:
    return Decimal(row[name] or "NaN")


def _is_key_values(text: str) -> bool:
    try:
        found = json.loads(text)
    except ValueError:
        return False
    return isinstance(found, dict) and not any(isinstance(value, dict | list) for value in found.values())
