"""`qorch audit reconcile`, as a user types it, on a database with a month of paid tasks."""

import datetime
import gzip
import json
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from planted_invoices import BEGIN, PlantedMonth, book_month, line, plant_month, task_arn, write_report

from qorch.cli.exit_codes import DONE, FAILED, WRONG_USAGE
from qorch.cli.main import run_command
from qorch.model.identity import Position
from qorch.model.job import JobState
from qorch.model.ledger import EntryKind, LedgerRecord
from qorch.model.usage import report_usage
from qorch.ports.clock import WallClock
from qorch.ports.records import JobRecord, RunRecord, UsageRecord, Write
from qorch_jobs_db import open_store

NOON = BEGIN + datetime.timedelta(days=3, hours=12)


@dataclass(frozen=True)
class Desk:
    """A folder with a database, a report, and the month that both are about."""

    folder: Path
    month: PlantedMonth
    capsys: pytest.CaptureFixture[str]

    @property
    def report(self) -> Path:
        """AWS's report."""
        return self.folder / "report.csv"

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """The exit code of `qorch audit reconcile …`, and what it printed."""
        code = run_command(["audit", "reconcile", *arguments, "--db", str(self.folder / "jobs.db")])
        printed = self.capsys.readouterr()
        return code, printed.out, printed.err

    def document(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """The same with ``--json``."""
        code, out, _ = self.run(*arguments, "--json")
        return code, json.loads(out)


def make_desk(folder: Path, n_tasks: int, capsys: pytest.CaptureFixture[str]) -> Desk:
    """Write the books of a planted month, and the report about it."""
    month = plant_month(n_tasks, seed=7)
    desk = Desk(folder, month, capsys)
    desk.report.write_bytes(month.report())
    with closing(open_store(str(folder / "jobs.db"), clock=WallClock())) as store:
        store.write(book_month(month)).result()
    return desk


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    """A month of 60 tasks, with every fate among them."""
    return make_desk(tmp_path, 60, capsys)


def check_document(code: int, document: dict[str, Any], month: PlantedMonth) -> None:
    """Exactly what was planted is found."""
    found = {job["provider_id"]: job["agreement"] for job in document["jobs"] if job["agreement"] != "matched"}
    assert found == {arn: agreement.value for arn, agreement in month.expected.items()}
    counts = Counter(job["agreement"] for job in document["jobs"])
    assert {name: group["jobs"] for name, group in document["groups"].items() if group["jobs"]} == counts
    assert (code, document["is_clean"]) == (FAILED, False)


def test_every_planted_difference_is_in_the_document(desk: Desk) -> None:
    """With every job, the matched ones too, and exact amounts."""
    code, document = desk.document(str(desk.report))
    check_document(code, document, desk.month)
    assert (document["from"], document["before"]) == ("2025-10-01T00:00:00+00:00", "2025-11-01T00:00:00+00:00")
    (differing,) = [job for job in document["jobs"] if job["agreement"] == "differs"][:1]
    assert differing["difference"] == "0.000001"
    held = [job["candidate"] for job in document["jobs"] if job["candidate"] is not None]
    assert held == [job.job_id for job in desk.month.ours if job.keys]
    assert {fee["what"] for fee in document["fees"]} == {"Tax", "Credit", "Notebook"}


@pytest.mark.soak
def test_a_month_of_10000_tasks_in_a_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same from end to end with 10,000 tasks."""
    desk = make_desk(tmp_path, 10_000, capsys)
    check_document(*desk.document(str(desk.report)), desk.month)


def test_the_table_has_all_but_the_matched(desk: Desk) -> None:
    """Totals count them; a packed report in two parts says the same."""
    code, out, _ = desk.run(str(desk.report))
    assert code == FAILED
    matched = [arn for arn, fate in desk.month.fates.items() if fate == "matched"]
    assert all(arn in out for arn in desk.month.expected)
    assert not any(arn in out for arn in matched)
    assert "There are differences." in out
    assert "of no job: Tax, 1 line: 12.34 USD" in out
    header, *rows = desk.report.read_bytes().splitlines(keepends=True)
    parts = [desk.folder / "1.csv.gz", desk.folder / "2.csv.gz"]
    for part, lines in zip(parts, (rows[::2], rows[1::2]), strict=True):
        part.write_bytes(gzip.compress(header + b"".join(lines)))
    again = desk.run(*map(str, parts))
    assert (again[0], sorted(again[1].splitlines())) == (code, sorted(out.splitlines()))


def test_a_clean_invoice_exits_with_0(desk: Desk) -> None:
    """Without the tasks that were planted, on a day of its own."""
    arn = next(arn for arn, fate in desk.month.fates.items() if fate == "matched")
    booked = next(job for job in desk.month.ours if job.provider_id == arn)
    rows = [row for row in desk.month.rows if arn in row]
    desk.report.write_bytes(write_report(rows))
    day = f"{BEGIN.replace(year=2024):%Y-%m-%d}"
    code, out, _ = desk.run(str(desk.report), "--from", day, "--to", day)
    assert code == DONE
    assert "Everything agrees." in out
    assert booked.job_id not in out


def test_hostile_texts_do_not_reach_the_terminal(desk: Desk) -> None:
    """Escapes and directions of writing are shown as escapes, in the table and in JSON."""
    bad = "\x1b]0;owned\x07\u202e\x9b31m=cmd|' /C calc'!A0"
    row = line(task_arn(999), "Task", Decimal(1), BEGIN, line_id="x")
    tax = [bad, bad, bad, *row[3:6], bad, bad, "1", bad, "1.00", bad]
    named = [*row[:6], bad, *row[7:9], "USD", "1.00", bad]
    desk.report.write_bytes(write_report([named, tax]))
    for arguments in ((), ("--json",)):
        _, out, _ = desk.run(str(desk.report), "--from", "2025-10-01", "--to", "2025-10-31", *arguments)
        assert not set(bad) & set(out) - set(map(chr, range(32, 127)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kind", "azure"], "there is no kind of invoice 'azure'"),
        (["--tolerance", "nan"], "--tolerance: 'nan' is not an amount of money"),
        (["--tolerance", "1 EUR"], "--tolerance is in EUR, and the invoice has another currency"),
        (["--from", "2025-10-02", "--to", "2025-10-01"], "the period ends"),
        (["--kind", "ionq"], "there is no column for a job's id"),
    ],
)
def test_wrong_calls_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """With one sentence, as wrong usage, before a database is opened."""
    desk = Desk(tmp_path, plant_month(13, seed=7), capsys)
    desk.report.write_bytes(desk.month.report())
    code, out, err = desk.run(str(desk.report), *arguments)
    assert (code, out) == (WRONG_USAGE, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_an_invoice_without_times_needs_them(desk: Desk) -> None:
    """Otherwise nobody knows which of our jobs should be in it."""
    desk.report.write_text("job_id,cost\nabc,1.50\n")
    code, _, err = desk.run(str(desk.report))
    assert (code, "--from and --to" in err) == (WRONG_USAGE, True)
    code, document = desk.document(str(desk.report), "--from", "2025-10-01", "--to", "2025-10-31")
    assert (code, [job["provider_id"] for job in document["jobs"]]) == (FAILED, ["abc"])


def test_jobs_of_other_accounts_are_left_out(desk: Desk) -> None:
    """With --account, only those that it pays for are expected."""
    _, document = desk.document(str(desk.report), "--account", "another")
    assert {job["agreement"] for job in document["jobs"]} == {"only_theirs"}


def test_ibms_seconds_are_compared_and_priced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the reported usage where there is some, else by the price card: 1.60 USD a second on the usual plan."""
    desk = Desk(tmp_path, PlantedMonth(), capsys)
    at = f"{NOON:%Y-%m-%dT%H:%M:%SZ}"
    usage = {"qpu_charge_time_seconds": 3, "status": "complete"}
    listed = [{"id": name, "mode": "job", "created": at, "ended": at, "usage": usage} for name in ("a", "b", "c")]
    desk.report.write_text(json.dumps({"workloads": listed, "total_count": 3, "limit": 50}))
    writes: list[Write] = [RunRecord("r", "r", "ibm:ibm_fez", 0, "resume", NOON, charges=True)]
    for name, micros in (("a", 4_800_000), ("b", 4_800_000), ("c", 3_200_000)):
        job = JobRecord(f"r/0.0.{name}", "r", Position(0, 0), JobState.DONE, 1, 100, NOON, provider_id=name)
        writes += [
            job,
            LedgerRecord("r", job.job_id, EntryKind.RESERVED, "USD", 10**7, NOON, account="ibm"),
            LedgerRecord("r", job.job_id, EntryKind.SPENT, "USD", micros, NOON, account="ibm"),
        ]
    writes.append(UsageRecord("r/0.0.b", "r", report_usage(device_seconds=2)))
    with closing(open_store(str(tmp_path / "jobs.db"), clock=WallClock())) as store:
        store.write(writes).result()
    code, document = desk.document(str(desk.report))
    jobs = {job["provider_id"]: job for job in document["jobs"]}
    assert code == FAILED
    assert {name: job["agreement"] for name, job in jobs.items()} == {"a": "matched", "b": "differs", "c": "differs"}
    assert (jobs["c"]["theirs"], jobs["c"]["difference"]) == ("4.80", "1.60")
    assert jobs["b"]["note"] == "3 s in the invoice, 2 s as reported before"
