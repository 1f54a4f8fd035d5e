"""The files of AWS, IonQ and IBM: what is read of them, and that a damaged one is refused with file and line."""

import gzip
import json
import tracemalloc
from decimal import Decimal
from pathlib import Path

import pytest
from planted_invoices import BEGIN, COLUMNS, line, task_arn, write_report

from qorch.audit.invoice_sums import BilledTotal, sum_lines
from qorch.audit.invoices import invoice_formats, read_invoice
from qorch.errors import InvoiceError, QorchError, UnknownNameError
from qorch.model.invoices.files import plain_name

KEY = "ab" * 32
UUID = "0197379a-c3b8-7548-9da4-bbb7067311c1"


def read(path: Path, content: bytes | str, *, kind: str | None = None) -> tuple[str, BilledTotal]:
    """The kind of backend and the sums of a file with this content."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    backends, lines = read_invoice([path], kind=kind)
    return backends, sum_lines(lines)


def report(*rows: list[str]) -> bytes:
    """A report about two charges for a task, or with other rows."""
    charges = [line(task_arn(1), what, Decimal(amount), BEGIN, line_id=what, key=KEY) for what, amount in
               (("Task", "0.3"), ("Shots", "1.45"))]  # fmt: skip
    return write_report(rows or charges)


def test_the_formats_of_the_adapters_are_found() -> None:
    """Each by its package, without loading the adapters that have none."""
    assert {each.kind: each.format.name for each in invoice_formats()} == {
        "braket": "aws", "ibm": "ibm", "ionq": "ionq",
    }  # fmt: skip


def test_a_task_of_a_legacy_report(tmp_path: Path) -> None:
    """Its lines are summed, its key is read from the tags, and a byte order mark is no part of the first column."""
    kind, billed = read(tmp_path / "r.csv", b"\xef\xbb\xbf" + report())
    job = billed.jobs[task_arn(1)]
    assert (kind, job.amount, job.currency, job.n_lines, job.key) == ("braket", Decimal("1.75"), "USD", 2, KEY)
    assert billed.unit == Decimal("1e-10")


def test_a_gzipped_report_is_the_same(tmp_path: Path) -> None:
    """As AWS delivers them."""
    plain, packed = read(tmp_path / "r.csv", report()), read(tmp_path / "r.csv.gz", gzip.compress(report()))
    assert plain == packed


def test_a_report_of_the_second_generation(tmp_path: Path) -> None:
    """Its columns have other names, and its tags stand in one column."""
    columns = [plain_name(column) for column in COLUMNS[:-1]] + ["resource_tags"]
    row = line(task_arn(1), "Task", Decimal("0.3"), BEGIN, line_id="1")
    tags = json.dumps({"user_qorch_key": KEY, "user_qorch-job": "run/1.2.0", "other": "x"})
    _, billed = read(tmp_path / "r.csv", write_report([[*row[:-1], tags]], columns=columns))
    job = billed.jobs[task_arn(1)]
    assert (job.amount, job.key) == (Decimal("0.3"), KEY)


def test_a_focus_export_of_aws(tmp_path: Path) -> None:
    """The same by FOCUS's columns; a credit is of no job."""
    columns = [
        "ResourceId", "x_ServiceCode", "ChargeCategory", "x_UsageType", "BilledCost", "BillingCurrency",
        "ChargePeriodStart", "ChargePeriodEnd", "ConsumedQuantity", "Tags",
        "ChargeClass",
    ]  # fmt: skip
    times = ["2026-10-02T00:00:00.000Z", "2026-10-02T01:00:00.000Z", "1"]
    rows = [
        [task_arn(1), "AmazonBraket", "Usage", "Task", "0.3", "USD", *times, json.dumps({"user:qorch-key": KEY}), ""],
        [task_arn(1), "AmazonBraket", "Usage", "Task", "-0.1", "USD", *times, "", "Correction"],
        [task_arn(1), "AmazonBraket", "Credit", "Task", "-0.3", "USD", *times, "", ""],
        ["bucket", "AmazonS3", "Usage", "Requests", "nonsense", "USD", *times, "", ""],
    ]
    kind, billed = read(tmp_path / "focus.csv", write_report(rows, columns=columns))
    assert (kind, billed.jobs[task_arn(1)].amount, billed.jobs[task_arn(1)].key) == ("braket", Decimal("0.3"), KEY)
    assert [(fee.what, fee.amount) for fee in billed.fees] == [
        ("Correction", Decimal("-0.1")), ("Credit", Decimal("-0.3")),
    ]  # fmt: skip
    assert (billed.n_other, billed.n_lines) == (1, 4)


def test_ionqs_usage_report_by_job(tmp_path: Path) -> None:
    """A job's amounts of several days are summed; the days are the period."""
    days = [
        {"from": f"2026-10-0{day}", "job_count": 1, "amount": 1.5, "group_usages": [
            {"group_id": UUID, "group_name": "qorch abc", "amount": 1.50, "time_us": 5}]}
        for day in (1, 2)
    ]  # fmt: skip
    document = {"group_type": "job", "modality": "daily", "usage_unit": "USD", "usage_data": days, "amount_total": 3.0}
    kind, billed = read(tmp_path / "usage.json", json.dumps(document))
    job = billed.jobs[UUID]
    assert (kind, job.amount, job.currency, job.name) == ("ionq", Decimal("3.0"), "USD", "qorch abc")
    assert billed.period is not None
    assert (billed.period.begin.day, billed.period.end.day) == (1, 3)
    assert billed.unit == Decimal("0.01")
    with pytest.raises(InvoiceError, match="grouped by project; ask for it with group_by=job"):
        read(tmp_path / "usage.json", json.dumps({**document, "group_type": "project"}))


@pytest.mark.parametrize(
    "document",
    [
        {"jobs": [{"id": UUID, "cost_usd": 24.83, "request": 1790932820, "response": 1790932834,
                   "metadata": {"qorch_key": KEY}}], "next": None},
        [{"id": UUID, "cost": {"value": 24.83, "unit": "usd"}, "submitted_at": "2026-10-02T13:20:20Z",
          "metadata": {"qorch_key": KEY}, "estimated_cost": {"value": 30, "unit": "usd"}}],
    ],
)  # fmt: skip
def test_ionqs_jobs_with_their_costs(tmp_path: Path, document: object) -> None:
    """The list of v0.3, and documents of ``/jobs/{id}/cost`` that were put together with the ids."""
    kind, billed = read(tmp_path / "jobs.json", json.dumps(document, indent=1))
    job = billed.jobs[UUID]
    assert (kind, job.amount, job.currency, job.key) == ("ionq", Decimal("24.83"), "USD", KEY)
    assert billed.period is not None
    assert billed.period.begin.date().isoformat() == "2026-10-02"


def test_a_table_of_ionqs_jobs(tmp_path: Path) -> None:
    """Columns are found by name, however they are written."""
    kind, billed = read(tmp_path / "jobs.csv", f"Job ID,Completed At,Cost\n{UUID},2026-10-02,24.83\n,2026-10-03,1\n")
    assert (kind, billed.jobs[UUID].amount) == ("ionq", Decimal("24.83"))
    assert [fee.amount for fee in billed.fees] == [Decimal(1)]


def test_ibms_workloads(tmp_path: Path) -> None:
    """Jobs have seconds, but for those that are not counted yet; a session's are of no single job."""
    times = {"created": "2026-10-02T10:00:00Z", "ended": "2026-10-02T10:05:00Z", "backend": "ibm_fez"}
    workloads = [
        {"id": "j1", "mode": "job", "usage": {"qpu_charge_time_seconds": 3, "status": "complete"},
         "tags": [f"qorch-key:{KEY}"], **times},
        {"id": "j2", "mode": "job", "usage_seconds": 2.5, **times},
        {"id": "j3", "mode": "job", "usage": {"qpu_charge_time_seconds": 0}, **times},
        {"id": "j4", "mode": "job", "usage": None, **times},
        {"id": "j5", "mode": "job", "usage": {"qpu_charge_time_seconds": 1, "status": "pending"}, **times},
        {"id": "s1", "mode": "session", "usage": {"qpu_charge_time_seconds": 60}, **times},
    ]  # fmt: skip
    kind, billed = read(tmp_path / "w.json", json.dumps({"workloads": workloads, "total_count": 4, "limit": 50}))
    assert kind == "ibm"
    assert {job.job_id: job.seconds for job in billed.jobs.values()} == {
        "j1": Decimal(3), "j2": Decimal("2.5"), "j3": Decimal(0),
    }  # fmt: skip
    assert billed.jobs["j1"].key == KEY
    assert billed.is_collective
    assert [(fee.what, fee.n_lines, fee.seconds) for fee in billed.fees] == [
        ("not counted yet", 2, None), ("session", 1, Decimal(60)),
    ]  # fmt: skip
    assert billed.jobs["j1"].amount is None


def test_a_table_of_ibms_workloads(tmp_path: Path) -> None:
    """By the names of its columns."""
    kind, billed = read(tmp_path / "w.csv", "Workload ID,Created,Usage seconds\nj1,2026-10-02T10:00:00Z,3\n")
    assert (kind, billed.jobs["j1"].seconds) == ("ibm", Decimal(3))


def altered(place: int, text: str) -> bytes:
    """A report whose third line has another field."""
    good = line(task_arn(1), "Task", Decimal("0.3"), BEGIN, line_id="1")
    row = line(task_arn(2), "Task", Decimal("0.3"), BEGIN, line_id="2")
    row[place] = text
    return write_report([good, row])


AMOUNT, QUANTITY, START = 10, 8, 3
DAMAGED = {
    "NaN": (altered(AMOUNT, "NaN"), "line 3: the cost is 'NaN'"),
    "infinite": (altered(AMOUNT, "1e99"), "line 3: the cost is '1e99'"),
    "empty cost": (altered(AMOUNT, ""), "line 3: the cost is ''"),
    "negative cost": (altered(AMOUNT, "-0.3"), "line 3: the cost is -0.3"),
    "negative usage": (altered(QUANTITY, "-1"), "line 3: the usage is -1"),
    "other digits": (altered(AMOUNT, "٣"), "line 3: the cost is '٣'"),
    "no time": (altered(START, "yesterday"), "line 3: the time of usage is 'yesterday'"),
    "control": (altered(START, "\x1b[2J\x9b31m"), r"line 3: the time of usage is '\\x1b\[2J\\x9b31m'"),
    "cut row": (report()[:-140], "line 3: it has .* fields, and the first line names 12 columns"),
    "cut quote": (report() + b'"never closed', "line 4: it is no CSV"),
    "not UTF-8": (report() + b"\xff\xfe\n", "line 4: it is not UTF-8"),
    "UTF-16": (report().decode().encode("utf-16"), "line 1: it is not UTF-8"),
    "cut gzip": (gzip.compress(report() * 50)[:-20], "it cannot be read further"),
    "broken gzip": (gzip.compress(report())[:20] + b"garbage", "it cannot be read further"),
    "no resource ids": (report().replace(b"lineItem/ResourceId", b"x"), "line 1: there is no column 'line_item_res"),
    "Parquet": (b"PAR1" + bytes(10), "export the report as CSV"),
    "ZIP": (b"PK\x03\x04" + bytes(10), "unpack it"),
    "empty": (b"", "it is empty"),
    "other table": (b"a,b\n1,2\n", "line 1: its columns are of no invoice"),
    "JSON that is cut": (b'{"workloads": [\n{"id": "j1"', "line 2: "),
    "JSON of a wrong kind": (b'{"workloads": [{"id": 3}]}', r"Expected `str`, got `int` - at `\$.workloads\[0\].id`"),
    "JSON with a negative": (
        b'{"workloads": [{"id": "j", "usage_seconds": -1}]}',
        "workload 1: the usage in seconds is",
    ),
    "no costs": (b'{"jobs": [{"id": "a"}], "next": null}', "job 1: it has neither cost nor cost_usd"),
    "no usage": (b'{"jobs": [{"id": "a"}], "count": 1}', "workload 1: it has no usage"),
    "deep JSON": (b"[" * 100_000, "download it again"),
    "both": (b"job_id,cost,usage\n1,2,3\n", "it may be of ibm or ionq; say which with --kind"),
    "long line": (b"job_id,cost\n" + b"1" * 5_000_000, "line 2: it is no CSV"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_refused_with_a_sentence(tmp_path: Path, name: str) -> None:
    """One line without control characters, which names the file, and the line where there are lines."""
    content, message = DAMAGED[name]
    with pytest.raises(InvoiceError, match=message) as caught:
        read(tmp_path / "damaged.csv", content)
    assert str(caught.value).startswith(str(tmp_path / "damaged.csv"))
    assert str(caught.value).isprintable()


def test_every_prefix_of_a_report_is_read_or_refused(tmp_path: Path) -> None:
    """A file that was cut anywhere raises nothing but an InvoiceError, which names it."""
    content = report()
    refusals = []
    for end in range(0, len(content), 29):
        try:
            read(tmp_path / "cut.csv", content[:end])
        except InvoiceError as error:
            refusals.append(str(error))
    assert len(refusals) > 10
    assert all("cut.csv" in refusal for refusal in refusals)


def test_kinds_that_are_not_known_are_refused(tmp_path: Path) -> None:
    """And a file that is missing; a kind that is forced reads what would fit two."""
    path = tmp_path / "r.csv"
    with pytest.raises(UnknownNameError, match="choose one of: aws, ibm, ionq"):
        read(path, report(), kind="azure")
    with pytest.raises(InvoiceError, match="cannot be read: No such file"):
        read_invoice([tmp_path / "missing.csv"])
    with pytest.raises(QorchError, match="cannot be read"):
        read_invoice([tmp_path])
    assert read(path, "job_id,cost,usage\nj,2,3\n", kind="ibm")[1].jobs["j"].seconds == 3
    assert read(path, "job_id,cost,usage\nj,2,3\n", kind="ionq")[1].jobs["j"].amount == 2


def test_files_of_two_providers_are_refused(tmp_path: Path) -> None:
    """An invoice is of one."""
    first, second = tmp_path / "1.csv", tmp_path / "2.csv"
    first.write_bytes(report())
    second.write_text("job_id,cost\nj,2\n")
    with pytest.raises(InvoiceError, match="several providers"):
        read_invoice([first, second])


def test_other_services_take_no_memory(tmp_path: Path) -> None:
    """The lines are read one by one: what is kept does not grow with them."""
    path = tmp_path / "large.csv"
    row = line("bucket", "Requests", Decimal("0.01"), BEGIN, line_id="x" * 52)
    body = write_report([[*row[:5], "AmazonS3", *row[6:]]]).split(b"\n", 1)
    path.write_bytes(body[0] + b"\n" + body[1] * 5_000)
    size = path.stat().st_size
    first = tmp_path / "first.csv"
    first.write_bytes(report())
    sum_lines(read_invoice([first])[1])  # what is loaded once is not counted
    tracemalloc.start()
    try:
        billed = sum_lines(read_invoice([path])[1])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert billed.n_other == 5_000
    assert peak < size / 2
