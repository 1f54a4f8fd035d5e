"""Properties of the reconciliation: nothing is lost, the order of lines is nothing, and a clean invoice is clean."""

import datetime
from collections import Counter
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from planted_invoices import BEGIN, END, task_arn

from qorch.audit.booked_jobs import BookedJob
from qorch.audit.invoice_sums import Period, sum_lines
from qorch.audit.reconciliation import Agreement, Reconciliation, Rules, reconcile_jobs
from qorch.model.invoices.line import InvoiceLine, LineKind

OCTOBER = Period(BEGIN, END)
EXACT = Rules(unit=Decimal("1e-10"))
hours = st.integers(-48, 800)
micros = st.integers(0, 10**7)


@st.composite
def booked_jobs(draw: st.DrawFn) -> list[BookedJob]:
    """Jobs at any time around October; some are not settled, some have no id yet."""
    jobs = []
    for number in range(draw(st.integers(0, 8))):
        began_at = BEGIN + datetime.timedelta(hours=draw(hours))
        is_settled = draw(st.booleans())
        ended_at = began_at + datetime.timedelta(hours=draw(st.integers(0, 50))) if is_settled else None
        jobs.append(
            BookedJob(
                job_id=f"run/0.{number}.0",
                run_name="run",
                backend="braket:garnet",
                account="a",
                provider_id=draw(st.sampled_from([task_arn(number), None])),
                micros=draw(micros) if is_settled else None,
                currency="USD",
                began_at=began_at,
                ended_at=ended_at,
                keys=(f"{number:064x}",),
            )
        )
    return jobs


@st.composite
def invoice_lines(draw: st.DrawFn) -> list[InvoiceLine]:
    """Charges for some of these tasks and for others, and fees."""
    lines = []
    for number in range(draw(st.integers(0, 15))):
        task = draw(st.integers(0, 12))
        kind = draw(st.sampled_from([LineKind.JOB, LineKind.JOB, LineKind.FEE, LineKind.OTHER]))
        is_job = kind is LineKind.JOB
        lines.append(
            InvoiceLine(
                kind,
                job_id=task_arn(task) if is_job else "",
                what=draw(st.sampled_from(["Task", "Shots"])),
                amount=Decimal(draw(micros)).scaleb(-6),
                currency="USD",
                began_at=BEGIN,
                ended_at=END,
                key=draw(st.sampled_from([f"{task:064x}", None])) if is_job else None,
                line_id=draw(st.sampled_from(["", f"id-{number}"])),
            )
        )
    return lines


def standing(result: Reconciliation) -> Counter[tuple[str, str, Decimal | None]]:
    """How every job stands, whatever the order."""
    return Counter(
        (job.provider_id or (job.ours.job_id if job.ours else ""), job.agreement.value, job.difference)
        for job in result.jobs
    )


@settings(max_examples=100, deadline=None)
@given(ours=booked_jobs(), lines=invoice_lines())
def test_every_job_stands_somewhere_once(ours: list[BookedJob], lines: list[InvoiceLine]) -> None:
    """Each of theirs in one row; each of ours in one row, as a candidate, or among those that are counted."""
    billed = sum_lines(lines)
    result = reconcile_jobs(ours, billed, period=OCTOBER, rules=EXACT)
    theirs = [job.theirs.job_id for job in result.jobs if job.theirs is not None]
    assert sorted(theirs) == sorted(billed.jobs)
    listed = {job.ours.job_id for job in result.jobs if job.ours is not None}
    held = {job.candidate.job_id for job in result.jobs if job.candidate and job.candidate.provider_id is None}
    assert not listed & held
    assert len(listed) + len(held) + result.n_free + result.n_outside == len(ours)


@settings(max_examples=100, deadline=None)
@given(lines=invoice_lines())
def test_no_money_is_lost(lines: list[InvoiceLine]) -> None:
    """The sums of jobs and fees are those of the lines, but for those about other services."""
    billed = sum_lines(lines)
    total = sum(job.amount or 0 for job in billed.jobs.values()) + sum(fee.amount or 0 for fee in billed.fees)
    assert total == sum(line.amount or 0 for line in lines if line.kind is not LineKind.OTHER)
    assert all((job.once_amount or 0) <= (job.amount or 0) for job in billed.jobs.values())


@settings(max_examples=100, deadline=None)
@given(ours=booked_jobs(), lines=invoice_lines(), data=st.data())
def test_the_order_is_nothing(ours: list[BookedJob], lines: list[InvoiceLine], data: st.DataObject) -> None:
    """Neither that of the lines nor that of our jobs, and repeated lines with ids change nothing."""
    result = reconcile_jobs(ours, sum_lines(lines), period=OCTOBER, rules=EXACT)
    others = data.draw(st.permutations([*lines, *(line for line in lines if line.line_id)]))
    again = reconcile_jobs(data.draw(st.permutations(ours)), sum_lines(others), period=OCTOBER, rules=EXACT)
    assert standing(result) == standing(again)


@settings(max_examples=100, deadline=None)
@given(ours=booked_jobs(), by=st.integers(-1000, 1000).filter(bool), data=st.data())
def test_an_invoice_of_the_books_is_clean(ours: list[BookedJob], by: int, data: st.DataObject) -> None:
    """And with a micro-unit more or less in one line, that job is the only one that differs."""
    known = [job for job in ours if job.provider_id is not None and job.micros is not None]
    amounts = {job.provider_id or "": job.micros or 0 for job in known}
    changed = data.draw(st.sampled_from([None, *amounts]))

    def result_of(charged: dict[str, int]) -> Reconciliation:
        lines = [
            InvoiceLine(LineKind.JOB, job_id=arn, what="Task", amount=Decimal(each).scaleb(-6), currency="USD")
            for arn, each in charged.items()
        ]
        return reconcile_jobs(known, sum_lines(lines), period=OCTOBER, rules=EXACT)

    clean = result_of(amounts)
    assert clean.is_clean
    assert len(clean.of(Agreement.MATCHED)) == len(known)
    if changed is not None and amounts[changed] + by >= 0:
        differing = [job for job in result_of(amounts | {changed: amounts[changed] + by}).jobs if job.difference]
        assert [(job.provider_id, job.agreement) for job in differing] == [(changed, Agreement.DIFFERS)]
        assert differing[0].difference == Decimal(by).scaleb(-6)
