"""An invoice against the ledger: every planted difference is found, and nothing else is reported."""

import datetime
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from planted_invoices import BEGIN, END, FOUND, line, plant_month, task_arn, write_report

from qorch.audit.booked_jobs import BookedJob
from qorch.audit.invoice_sums import BilledTotal, Period, sum_lines
from qorch.audit.invoices import read_invoice
from qorch.audit.reconciliation import Agreement, Reconciliation, Rules, reconcile_jobs
from qorch.errors import InvoiceError
from qorch.model.invoices.line import InvoiceLine, LineKind

OCTOBER = Period(BEGIN, END)
NOON = BEGIN + datetime.timedelta(days=10, hours=12)


def booked(number: int = 1, *, micros: int | None = 300_000, **changes: object) -> BookedJob:
    """A job of ours that ran in the middle of the month."""
    job = BookedJob(
        job_id=f"run/0.{number}.0", run_name="run", backend="braket:garnet", account="a", provider_id=task_arn(number),
        micros=micros, currency="USD", began_at=NOON, ended_at=NOON + datetime.timedelta(minutes=1),
    )  # fmt: skip
    return replace(job, **changes)  # type: ignore[arg-type]


def charge(number: int = 1, *, amount: str | None = "0.3000000000", **changes: object) -> InvoiceLine:
    """A line of the invoice about that job."""
    found = InvoiceLine(
        LineKind.JOB, job_id=task_arn(number), what="Task", amount=None if amount is None else Decimal(amount),
        currency="USD", began_at=NOON,
        ended_at=NOON + datetime.timedelta(hours=1),
    )  # fmt: skip
    return replace(found, **changes)  # type: ignore[arg-type]


def compare(ours: list[BookedJob], lines: list[InvoiceLine], rules: Rules | None = None) -> Reconciliation:
    """The reconciliation of October, by the invoice's own unit."""
    billed = sum_lines(lines)
    return reconcile_jobs(ours, billed, period=OCTOBER, rules=rules or Rules(unit=billed.unit))


def agreement(ours: list[BookedJob], lines: list[InvoiceLine], rules: Rules | None = None) -> Agreement:
    """How the only job stands."""
    (job,) = compare(ours, lines, rules).jobs
    return job.agreement


def read(path: Path) -> BilledTotal:
    """The sums of a file."""
    return sum_lines(read_invoice([path])[1])


def check_month(path: Path, n_tasks: int, *, seed: int) -> None:
    """Plant a month, and compare what is found with what was planted."""
    month = plant_month(n_tasks, seed=seed)
    path.write_bytes(month.report())
    billed = read(path)
    assert billed.period == OCTOBER
    result = reconcile_jobs(month.ours, billed, period=OCTOBER, rules=Rules(unit=billed.unit))
    found = {job.provider_id: job.agreement for job in result.jobs if job.agreement is not Agreement.MATCHED}
    assert found == month.expected
    fates = list(month.fates.values())
    assert len(result.of(Agreement.MATCHED)) == sum(fates.count(fate) for fate in ("matched", "repeated line", "split"))
    assert (result.n_free, result.n_outside) == (fates.count("free"), fates.count("outside"))
    assert billed.n_repeated == fates.count("repeated line")
    assert set(found.values()) == set(FOUND.values())
    candidates = [job.candidate for job in result.jobs if job.candidate is not None]
    assert {job.keys[0] for job in candidates} == {job.keys[0] for job in month.ours if job.keys}


def test_a_month_of_10000_tasks_with_planted_differences(tmp_path: Path) -> None:
    """Missing, billed twice, a micro-unit more, only theirs, held, at the edges: each is found, and nothing else."""
    check_month(tmp_path / "report.csv", 10_000, seed=1)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 12))
def test_months_with_planted_differences(tmp_path: Path, seed: int) -> None:
    """The same in ten other months."""
    check_month(tmp_path / "report.csv", 10_000, seed=seed)


def test_a_charge_that_is_repeated_is_named() -> None:
    """Two equal charges with different ids are no more than one that was billed twice, if the rest agrees."""
    twice = [charge(line_id="1"), charge(line_id="2")]
    assert agreement([booked()], twice) is Agreement.BILLED_TWICE
    assert agreement([booked(micros=600_000)], twice) is Agreement.MATCHED
    assert agreement([booked(micros=500_000)], twice) is Agreement.DIFFERS
    assert agreement([booked()], [charge(line_id="1"), charge(line_id="1")]) is Agreement.MATCHED


@pytest.mark.parametrize(
    ("ours", "theirs", "agrees"),
    [
        (300_001, "0.3000000000", False), (300_000, "0.3000004999", True), (300_000, "0.30", True),
        (304_999, "0.30", True), (305_000, "0.30", True), (305_001, "0.30", False), (295_000, "0.3", True),
    ],
)  # fmt: skip
def test_amounts_agree_to_what_the_invoice_writes(ours: int, theirs: str, *, agrees: bool) -> None:
    """To the micro-unit if it writes as much, to half a cent if it writes cents."""
    expected = Agreement.MATCHED if agrees else Agreement.DIFFERS
    assert agreement([booked(micros=ours)], [charge(amount=theirs)]) is expected


def test_a_cent_in_two_lines_is_a_difference() -> None:
    """That both lines were rounded by half a cent in the same direction is not believed."""
    lines = [charge(amount="0.30"), charge(amount="0.70", what="Shots")]
    assert agreement([booked(micros=990_000)], lines) is Agreement.DIFFERS
    assert agreement([booked(micros=991_000)], lines) is Agreement.MATCHED


def test_a_tolerance_is_taken_literally() -> None:
    """A difference of just so much agrees."""
    rules = Rules(tolerance=Decimal("0.01"))
    assert agreement([booked(micros=310_000)], [charge()], rules) is Agreement.MATCHED
    assert agreement([booked(micros=310_001)], [charge()], rules) is Agreement.DIFFERS


def test_other_currencies_and_unknown_costs_are_differences() -> None:
    """Neither is compared, and the note says why."""
    other = compare([booked()], [charge(currency="EUR")]).jobs[0]
    unknown = compare([booked(micros=None)], [charge()]).jobs[0]
    assert (other.agreement, unknown.agreement) == (Agreement.DIFFERS, Agreement.DIFFERS)
    assert "USD" in other.note
    assert "nothing is booked" in unknown.note
    assert other.difference is None


def test_a_job_in_two_currencies_is_refused() -> None:
    """No sum is made of them."""
    with pytest.raises(InvoiceError, match="has charges in USD and in EUR"):
        sum_lines([charge(), charge(currency="EUR")])


@pytest.mark.parametrize(
    ("began", "ended", "expected"),
    [
        (-50.0, -49.0, "outside"), (-1.0, 1.0, "it began before"), (0.5, 3.0, "it began before"), (2.0, 3.0, ""),
        (719.0, 719.9, ""), (719.0, 720.5, "not billed yet"), (743.0, 745.0, "not billed yet"),
        (744.0, 745.0, "outside"),
        (100.0, None, "not settled"),
    ],
)  # fmt: skip
def test_jobs_at_the_edges_are_not_missed(began: float, ended: float | None, expected: str) -> None:
    """October has 744 hours; what ended in its last day, or began before, may stand in another invoice."""
    at = [None if hours is None else BEGIN + datetime.timedelta(hours=hours) for hours in (began, ended)]
    result = compare([booked(began_at=at[0], ended_at=at[1])], [])
    if expected == "outside":
        assert (result.jobs, result.n_outside) == ((), 1)
        return
    (job,) = result.jobs
    assert job.agreement is (Agreement.ELSEWHERE if expected else Agreement.ONLY_OURS)
    assert job.note.startswith(expected) or expected in job.note
    assert result.is_clean is bool(expected)


def test_a_job_outside_of_the_period_matches_all_the_same() -> None:
    """By its id, whenever it was sent."""
    early = BEGIN - datetime.timedelta(days=40)
    assert agreement([booked(began_at=early, ended_at=early)], [charge()]) is Agreement.MATCHED


def test_a_task_with_the_label_of_another_is_named() -> None:
    """A second task under the key or the label of a job of ours may have been paid twice."""
    lines = [charge(), charge(2, name="run/0.1.0"), charge(3, key="a" * 64), charge(4, name="\x1b[31mred")]
    held = booked(5, provider_id=None, keys=("a" * 64,), micros=None, ended_at=None)
    jobs = compare([booked(), held], lines).of(Agreement.ONLY_THEIRS)
    assert [job.candidate and job.candidate.job_id for job in jobs] == ["run/0.1.0", "run/0.5.0", None]
    assert "paid twice" in jobs[0].note
    assert "is held" in jobs[1].note
    assert jobs[2].note == "its name is \\x1b[31mred"


def test_seconds_are_compared_with_what_was_reported() -> None:
    """An invoice without money: by the seconds, and what they cost; a session's jobs have no lines of their own."""
    billed = charge(amount=None, currency="", seconds=Decimal(3))
    rules = Rules(unit=Decimal("0.01"), price_seconds=lambda _backend, count: count * Decimal("1.6"))
    ours = booked(micros=4_800_000, seconds_micros=3_000_000)
    assert agreement([ours], [billed], rules) is Agreement.MATCHED
    (job,) = compare([replace(ours, seconds_micros=2_000_000)], [billed], rules).jobs
    assert (job.agreement, job.difference) == (Agreement.DIFFERS, Decimal(0))
    assert "3 s in the invoice, 2 s as reported before" in job.note
    unreported = replace(ours, seconds_micros=None)
    assert agreement([unreported], [billed], rules) is Agreement.MATCHED
    assert agreement([unreported], [billed], Rules()) is Agreement.DIFFERS
    session = InvoiceLine(LineKind.FEE, what="session", seconds=Decimal(9), is_collective=True)
    assert agreement([ours], [session], rules) is Agreement.ELSEWHERE


def test_fees_are_summed_apart(tmp_path: Path) -> None:
    """Tax, credits and storage are shown, other services counted."""
    path = tmp_path / "report.csv"
    path.write_bytes(plant_month(13, seed=3).report())
    billed = read(path)
    assert {fee.what: (fee.n_lines, fee.amount) for fee in billed.fees} == {
        "Notebook": (31, Decimal("1.55")), "Tax": (1, Decimal("12.34")), "Credit": (1, Decimal(-5)),
    }  # fmt: skip
    assert billed.n_other == 31


def test_many_kinds_of_fees_become_others() -> None:
    """A file cannot make the list endless."""
    fees = [InvoiceLine(LineKind.FEE, what=f"kind {number}", amount=Decimal(1)) for number in range(500)]
    found = sum_lines(fees).fees
    assert len(found) == 201
    assert (found[-1].what, found[-1].n_lines) == ("others", 300)
    assert sum(fee.amount or 0 for fee in found) == 500


def test_the_same_line_id_in_two_parts_is_two_lines(tmp_path: Path) -> None:
    """AWS's ids are unique within a part: only lines that are alike are one."""
    first, second = tmp_path / "1.csv", tmp_path / "2.csv"
    first.write_bytes(write_report([line(task_arn(1), "Task", Decimal("0.3"), NOON, line_id="a")]))
    second.write_bytes(write_report([line(task_arn(2), "Task", Decimal("0.3"), NOON, line_id="a")]))
    assert len(sum_lines(read_invoice([first, second])[1]).jobs) == 2
    repeated = sum_lines(read_invoice([first, first])[1])
    assert (len(repeated.jobs), repeated.n_repeated) == (1, 1)
