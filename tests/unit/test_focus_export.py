"""The FOCUS export keeps the rules of the specification, and the checker of these rules finds whatever breaks one."""

import csv
import datetime as dt
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet
import pytest
from focus_rules import MANDATORY, Row, broken_rules
from hypothesis import given
from hypothesis import strategies as st
from paid_run import MONTH_LATER, NOON, SPENT_MICROS, make_entry, make_paid_job, make_paid_run, paid_writes

from qorch.audit.exports.focus import METADATA, make_focus_table
from qorch.audit.exports.ledger import LedgerLine, read_lines
from qorch.audit.exports.tables import Table, write_table
from qorch.model.job import JobState
from qorch.model.ledger import EntryKind, LedgerEntry
from qorch.ports.clock import WallClock
from qorch.ports.records import JobRecord, Write
from qorch.testing.fakes.store import MemoryStore


def table_of(*writes: Write) -> Table:
    """The charges of a store with these records."""
    with closing(MemoryStore(WallClock())) as store:
        for write in writes:
            store.write([write]).result()
        return make_focus_table(read_lines(store))


def read_csv(file: Path) -> tuple[list[str], list[Row]]:
    """The columns and rows of a CSV file; empty cells are None."""
    with file.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        rows: list[Row] = [{name: cell or None for name, cell in row.items()} for row in reader]
        return list(reader.fieldnames or ()), rows


@pytest.fixture
def written(tmp_path: Path) -> tuple[list[str], list[Row]]:
    """The CSV file of a paid run with an adjustment in the month after."""
    write_table(table_of(*paid_writes()), tmp_path / "focus.csv")
    return read_csv(tmp_path / "focus.csv")


def test_the_file_of_a_paid_run_keeps_every_rule(written: tuple[list[str], list[Row]]) -> None:
    """One row for each charge, which sum to what was spent; what is only reserved is no charge."""
    columns, rows = written
    assert broken_rules(columns, rows) == []
    assert set(MANDATORY) <= set(columns)
    assert [row["ChargeCategory"] for row in rows] == [*["Usage"] * 4, "Adjustment"]
    assert sum(Decimal(row["BilledCost"] or "") for row in rows) == Decimal(SPENT_MICROS).scaleb(-6)
    assert {(row["ProviderName"], row["ServiceName"]) for row in rows} == {("Amazon Web Services", "Amazon Braket")}


def test_an_adjustment_after_its_month_is_a_correction_in_the_bill_of_its_own(
    written: tuple[list[str], list[Row]],
) -> None:
    """Its charge period stays that of the job; one within the month is none."""
    late = written[1][-1]
    assert (late["ChargeClass"], late["ChargePeriodStart"]) == ("Correction", "2026-11-29T00:00:00Z")
    assert (late["BillingPeriodStart"], late["BillingPeriodEnd"]) == ("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z")
    run, job = make_paid_run(), make_paid_job("cats-1", 0, 0, JobState.DONE)
    table = table_of(run, job, make_entry(job, EntryKind.ADJUSTED, 5, at=NOON + dt.timedelta(hours=30)))
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert (row["ChargeClass"], row["BillingPeriodStart"]) == (None, dt.datetime(2026, 11, 1, tzinfo=dt.UTC))


def _set(**cells: str | None) -> Callable[[list[str], list[dict[str, str | None]]], None]:
    def change(_: list[str], rows: list[dict[str, str | None]]) -> None:
        rows[0] |= cells

    return change


def _drop(columns: list[str], rows: list[dict[str, str | None]]) -> None:
    columns.remove("BilledCost")


def _swap(columns: list[str], rows: list[dict[str, str | None]]) -> None:
    columns.reverse()


def _invent(columns: list[str], rows: list[dict[str, str | None]]) -> None:
    columns[columns.index("Tags")] = "TagsOfOurs"


@pytest.mark.parametrize(
    "change",
    [
        _drop, _swap, _invent, _set(BillingCurrency="usd"), _set(BilledCost="1e3"), _set(BilledCost="1,000"),
        _set(BilledCost=None), _set(ListUnitPrice="-1"), _set(ListCost="9"), _set(ContractedCost="9"),
        _set(ChargeCategory="Usages"), _set(ChargeClass="correction"), _set(ServiceCategory="Quantum"),
        _set(ServiceSubcategory="Quantum"), _set(ChargePeriodStart="2026-11-29"), _set(ChargePeriodEnd=None),
        _set(ChargePeriodStart="2026-10-29T00:00:00Z"), _set(BillingPeriodEnd="2026-11-01T00:00:00Z"),
        _set(ConsumedQuantity="0"), _set(ConsumedUnit=None), _set(PricingQuantity=None), _set(PricingUnit="jobs"),
        _set(SkuId=None), _set(SkuPriceId=None), _set(PricingCategory=None), _set(InvoiceIssuerName="IonQ"),
        _set(ResourceType=None), _set(Tags="run=cats"), _set(ProviderName=" "), _set(ChargeFrequency="Often"),
        _set(ChargeCategory="Adjustment"),
    ],
)  # fmt: skip
def test_the_checker_finds_whatever_breaks_a_rule(
    written: tuple[list[str], list[Row]], change: Callable[[list[str], list[dict[str, str | None]]], None]
) -> None:
    """A file with one fault is not taken; so the test above means something."""
    columns, rows = list(written[0]), [dict(row) for row in written[1]]
    change(columns, rows)
    assert broken_rules(columns, rows)


def test_parquet_has_decimals_and_times_and_no_floats(tmp_path: Path) -> None:
    """The same rows as in CSV, with their types."""
    table = table_of(*paid_writes())
    write_table(table, tmp_path / "focus.parquet", head={**METADATA, "run": None})
    found = pyarrow.parquet.read_table(tmp_path / "focus.parquet")
    assert found.schema.metadata == {b"FocusVersion": b"1.2", b"DataGenerator": b"qorch", b"run": b"null"}
    assert found.column_names == list(table.columns)
    types = {str(field.type) for field in found.schema}
    assert types == {"string", "decimal128(38, 6)", "timestamp[us, tz=UTC]", "int64"}
    assert found.to_pylist() == [dict(zip(table.columns, row, strict=True)) for row in table.rows]


_JOB = make_paid_job("r", 0, 0, JobState.DONE)
_DAYS = st.dates(dt.date(2025, 12, 1), dt.date(2026, 12, 31))
_KINDS = st.sampled_from([EntryKind.SPENT, EntryKind.ADJUSTED])


@given(
    day=_DAYS,
    days_later=st.integers(0, 70),
    kind=_KINDS,
    micros=st.integers(0, 10**15),
    is_less=st.booleans(),
    executions=st.integers(0, 5),
    backend=st.sampled_from(["ionq:qpu.forte-1,rows=5", "ibm:ibm_fez", "mine", "", "braket:arn:aws:x"]),
    job=st.sampled_from([None, _JOB, replace(_JOB, provider_id=None), replace(_JOB, shots=None)]),
    account=st.sampled_from(["", "account"]),
)  # fmt: skip
def test_every_charge_keeps_every_rule(
    day: dt.date, days_later: int, kind: EntryKind, micros: int, is_less: bool, executions: int, backend: str,
    job: JobRecord | None, account: str, tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    """On every day of a year, settled or adjusted at once or months later, of whatever backend, job and account."""
    at = dt.datetime.combine(day, dt.time(23, 59, 59, 999_999), dt.UTC) + dt.timedelta(days=days_later)
    amount = -micros if is_less and kind is EntryKind.ADJUSTED else micros
    record = replace(
        make_entry(_JOB, kind, amount, at=at, account=account),
        day=day, executions=executions, job_id=None if job is None else job.job_id,
    )  # fmt: skip
    line = LedgerLine(LedgerEntry(1, record, "previous", "digest"), "", backend, job)
    file = tmp_path_factory.getbasetemp() / "charge.csv"
    write_table(make_focus_table([line]), file)
    assert broken_rules(*read_csv(file)) == []


def test_charges_of_a_month_are_those_of_its_bill() -> None:
    """The sum by billing period is what each month's bill should say."""
    assert MONTH_LATER.month == 12
    table = table_of(*paid_writes())
    place = list(table.columns).index
    sums: dict[object, Decimal] = {}
    for row in table.rows:
        month, cost = row[place("BillingPeriodStart")], row[place("BilledCost")]
        assert isinstance(cost, Decimal)
        sums[month] = sums.get(month, Decimal(0)) + cost
    assert sorted(sums.values()) == [Decimal("-0.25"), Decimal("6.60")]
