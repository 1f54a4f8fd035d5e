"""A month of tasks on Amazon Braket with planted differences: our books, AWS's report, and what is to be found."""

import csv
import datetime
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

import numpy as np

from qorch.audit.booked_jobs import BookedJob
from qorch.audit.reconciliation import Agreement
from qorch.model.identity import Position
from qorch.model.job import JobState
from qorch.model.ledger import EntryKind, LedgerRecord
from qorch.ports.records import AttemptRecord, JobRecord, RunRecord, RunState, Write
from qorch_providers.braket.labels import KEY_TAG

BEGIN = datetime.datetime(2025, 10, 1, tzinfo=datetime.UTC)
END = datetime.datetime(2025, 11, 1, tzinfo=datetime.UTC)
TASK_FEE, SHOT_FEE = Decimal("0.30"), Decimal("0.00145")
COLUMNS = (
    "identity/LineItemId", "lineItem/UsageAccountId", "lineItem/LineItemType", "lineItem/UsageStartDate",
    "lineItem/UsageEndDate", "lineItem/ProductCode", "lineItem/UsageType", "lineItem/ResourceId",
    "lineItem/UsageAmount", "lineItem/CurrencyCode", "lineItem/UnblendedCost", f"resourceTags/user:{KEY_TAG}",
)  # fmt: skip
FATES = (
    "matched", "free", "outside", "repeated line", "split", "missing", "billed twice", "differs", "only theirs",
    "held", "last day", "first hour", "unsettled",
)  # fmt: skip
SHARES = (0.88, *(0.01 for _ in FATES[1:]))
FOUND = {
    "missing": Agreement.ONLY_OURS,
    "billed twice": Agreement.BILLED_TWICE,
    "differs": Agreement.DIFFERS,
    "only theirs": Agreement.ONLY_THEIRS,
    "held": Agreement.ONLY_THEIRS,
    "last day": Agreement.ELSEWHERE,
    "first hour": Agreement.ELSEWHERE,
    "unsettled": Agreement.ELSEWHERE,
}
"""What is found of each fate; of the others, nothing is reported."""


@dataclass
class PlantedMonth:
    """``ours``: the books; ``rows`` of the report; ``expected``: what is to be found, by task, but for the matched."""

    ours: list[BookedJob] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    expected: dict[str, Agreement] = field(default_factory=dict)
    fates: dict[str, str] = field(default_factory=dict)

    def report(self) -> bytes:
        """The report as a file."""
        return write_report(self.rows)


def write_report(rows: Sequence[Sequence[str]], *, columns: Sequence[str] = COLUMNS) -> bytes:
    """Rows as a report in CSV."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue().encode()


def task_arn(number: int) -> str:
    """The ARN of a task."""
    return f"arn:aws:braket:us-east-1:123456789012:quantum-task/00000000-0000-4000-8000-{number:012d}"


def line(
    arn: str, what: str, amount: Decimal, at: datetime.datetime, *, line_id: str, quantity: int = 1, key: str = ""
) -> list[str]:
    """A row of the report: usage in one hour."""
    start = at.replace(minute=0, second=0, microsecond=0)
    return [
        line_id, "123456789012", "Usage", f"{start:%Y-%m-%dT%H:%M:%SZ}",
        f"{start + datetime.timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}", "AmazonBraket", what, arn,
        f"{quantity}.0000000000", "USD", f"{amount:.10f}", key,
    ]  # fmt: skip


def foreign_rows() -> list[list[str]]:
    """Rows that are about no task: another service on each day, storage of notebooks, tax and a credit."""
    rows = []
    for day in range(31):
        at = BEGIN + datetime.timedelta(days=day)
        row = line("bucket", "Requests-Tier1", Decimal("0.01"), at, line_id=f"s3-{day}")
        rows.append([*row[:5], "AmazonS3", *row[6:]])
        rows.append(line("arn:aws:sagemaker:…:notebook", "Notebook", Decimal("0.05"), at, line_id=f"nb-{day}"))
    tax = line("", "", Decimal("12.34"), BEGIN, line_id="tax")
    credit = line("", "", Decimal(-5), BEGIN, line_id="credit")
    return [*rows, [*tax[:2], "Tax", *tax[3:]], [*credit[:2], "Credit", *credit[3:]]]


def plant_month(n_tasks: int, *, seed: int) -> PlantedMonth:
    """A month of ``n_tasks`` tasks, some 12 % of which are not simply matched."""
    random = np.random.default_rng(seed)
    month = PlantedMonth(rows=foreign_rows())
    fates = random.choice(FATES, size=n_tasks, p=np.array(SHARES) / sum(SHARES))
    fates[: len(FATES)] = FATES
    seconds = random.uniform(2 * 3600.0, 29 * 86_400.0, size=n_tasks)
    shots = random.integers(1, 100_000, size=n_tasks)
    for number, (fate, second, count) in enumerate(zip(fates, seconds, shots, strict=True)):
        began_at = BEGIN + datetime.timedelta(seconds=float(second))
        _plant(month, number, str(fate), began_at=began_at, shots=int(count))
    order = random.permutation(len(month.rows))
    month.rows = [month.rows[place] for place in order]
    return month


def _plant(month: PlantedMonth, number: int, fate: str, *, began_at: datetime.datetime, shots: int) -> None:
    arn, key = task_arn(number), f"{number:064x}"
    micros = 300_000 + 1_450 * shots
    job = BookedJob(
        job_id=f"run-1/0.{number}.0", run_name="run", backend="braket:garnet", account="123456789012",
        provider_id=arn, micros=micros, currency="USD", began_at=began_at,
        ended_at=began_at + datetime.timedelta(minutes=5),
    )  # fmt: skip
    rows = [
        line(arn, "USE1-Task-Garnet", TASK_FEE, began_at, line_id=f"t{number}", key=key),
        line(arn, "USE1-Shot-Garnet", SHOT_FEE * shots, began_at, line_id=f"s{number}", quantity=shots, key=key),
    ]
    ours, billed = _alter(fate, job, rows, key=key)
    month.ours.extend(ours)
    month.rows.extend(billed)
    month.fates[arn] = fate
    if fate in FOUND:
        month.expected[arn] = FOUND[fate]


def _alter(fate: str, job: BookedJob, rows: list[list[str]], *, key: str) -> tuple[list[BookedJob], list[list[str]]]:
    """What the books and the report have of a task with this fate."""
    fee, shot = rows
    hour = datetime.timedelta(hours=1)
    again = [f"again-{fee[0]}", *fee[1:]]
    altered = [*shot[:10], f"{Decimal(shot[10]) + Decimal('0.000001'):.10f}", *shot[11:]]
    half = [f"half-{shot[0]}", *shot[1:10], f"{Decimal(shot[10]) / 2:.10f}", *shot[11:]]
    other_half = [f"other-{shot[0]}", *half[1:]]
    cases: dict[str, tuple[list[BookedJob], list[list[str]]]] = {
        "matched": ([job], rows),
        "free": ([replace(job, micros=0)], []),
        "outside": ([replace(job, began_at=BEGIN - 3 * hour, ended_at=BEGIN - 2 * hour)], []),
        "repeated line": ([job], [fee, fee, shot]),
        "split": ([job], [fee, half, other_half]),
        "missing": ([job], []),
        "billed twice": ([job], [fee, again, shot]),
        "differs": ([job], [fee, altered]),
        "only theirs": ([], [[*row[:11], ""] for row in rows]),
        "held": ([replace(job, provider_id=None, micros=None, ended_at=None, keys=(key,))], rows),
        "last day": ([replace(job, began_at=END - 4 * hour, ended_at=END - 3 * hour)], []),
        "first hour": ([replace(job, began_at=BEGIN - hour, ended_at=BEGIN + hour)], []),
        "unsettled": ([replace(job, micros=None, ended_at=None)], []),
    }
    return cases[fate]


def book_month(month: PlantedMonth) -> list[Write]:
    """The same books as records of a store."""
    writes: list[Write] = [
        RunRecord("run-1", "run", "braket:garnet", 0, "resume", BEGIN, state=RunState.DONE, charges=True)
    ]
    for number, booked in enumerate(month.ours):
        writes += _book(number, booked)
    return writes


def _book(number: int, booked: BookedJob) -> list[Write]:
    is_held, is_settled = booked.provider_id is None, booked.ended_at is not None
    state = JobState.UNKNOWN if is_held else JobState.DONE if is_settled else JobState.SUBMITTED
    ended_at = booked.ended_at or booked.began_at
    job = JobRecord(
        booked.job_id, "run-1", Position(0, number), state, 1, 100, ended_at, provider_id=booked.provider_id
    )
    high = max(booked.micros or 0, 10**8)

    def entry(kind: EntryKind, micros: int, at: datetime.datetime) -> LedgerRecord:
        return LedgerRecord(
            "run-1", booked.job_id, kind, "USD", micros, at, account=booked.account, day=booked.began_at.date()
        )

    writes: list[Write] = [job, entry(EntryKind.RESERVED, high, booked.began_at)]
    writes += [AttemptRecord(booked.job_id, ordinal, key, booked.began_at) for ordinal, key in enumerate(booked.keys)]
    if booked.ended_at is not None and booked.micros is not None:
        writes += [
            entry(EntryKind.SPENT, booked.micros, ended_at),
            entry(EntryKind.RELEASED, high - booked.micros, ended_at),
        ]
    return writes
