"""Compares a provider's invoice with the ledger, job by job: what agrees, differs, or stands on one side only."""

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum

from qorch.audit.booked_jobs import BookedJob
from qorch.audit.invoice_sums import BilledJob, BilledTotal, Period
from qorch.model.invoices.line import shown
from qorch.model.money import MICROS_PER_UNIT

EDGE = datetime.timedelta(days=1)
"""A charge may stand in an invoice so long after the job."""
CLOCKS = datetime.timedelta(hours=1)
"""By so much may the provider's times, which are often of whole hours, be before ours."""
_MICRO = Decimal(1).scaleb(-6)
_HALF = Decimal("0.5")
_NOT_BOOKED = "nothing is booked for it: its price is not known, or it is not settled (see `qorch recover`)"

PriceSeconds = Callable[[str, Decimal], Decimal | None]
"""What seconds of a backend's device cost, by the price card; None if that is not known."""


class Agreement(StrEnum):
    """How a job stands in the invoice and in the ledger.

    MATCHED: the same in both. DIFFERS: both have it, with different amounts. BILLED_TWICE: the invoice repeats a
    charge, without which both agree. ONLY_OURS: in the ledger, and missing in the invoice of these days. ONLY_THEIRS:
    in the invoice alone. ELSEWHERE: in the ledger, and may stand in the invoice before or after this one, as it ran at
    an edge of the period, or is not settled.
    """

    MATCHED = "matched"
    DIFFERS = "differs"
    BILLED_TWICE = "billed_twice"
    ONLY_OURS = "only_ours"
    ONLY_THEIRS = "only_theirs"
    ELSEWHERE = "elsewhere"

    @property
    def is_difference(self) -> bool:
        """Whether somebody has to look at it."""
        return self not in (Agreement.MATCHED, Agreement.ELSEWHERE)


@dataclass(frozen=True)
class ReconciledJob:
    """A job with both sides. ``ours`` is None if the ledger does not have it, ``theirs`` if the invoice does not.

    ``ours_micros`` and ``theirs_amount``: what each says that it cost, None if it does not say; ``difference``: theirs
    less ours, in units of the currency; None if one is not known. ``note``: for people; empty if there is nothing to
    add. ``candidate``: our job of which ONLY_THEIRS carries the key or the label.
    """

    agreement: Agreement
    ours: BookedJob | None
    theirs: BilledJob | None
    theirs_amount: Decimal | None = None
    difference: Decimal | None = None
    note: str = ""
    candidate: BookedJob | None = None

    @property
    def provider_id(self) -> str:
        """The job's id at the provider, safe to print; empty if it is not known."""
        if self.theirs is not None:
            return shown(self.theirs.job_id)
        return (self.ours.provider_id if self.ours else None) or ""

    @property
    def ours_amount(self) -> Decimal | None:
        """What it cost by the ledger, in units of the currency."""
        return None if self.ours is None or self.ours.micros is None else to_units(self.ours.micros)

    @property
    def currency(self) -> str:
        """Of the amounts: the invoice's, else the ledger's."""
        billed = "" if self.theirs is None else self.theirs.currency
        return shown(billed) or ("" if self.ours is None else self.ours.currency)


@dataclass(frozen=True)
class Reconciliation:
    """All jobs, those of the invoice first. ``n_outside``: jobs of ours that ran outside of the period.

    ``n_free``: jobs of ours in the period that cost nothing, and are not in the invoice.
    """

    jobs: tuple[ReconciledJob, ...] = field(repr=False)
    period: Period
    n_outside: int = 0
    n_free: int = 0

    def of(self, agreement: Agreement) -> list[ReconciledJob]:
        """The jobs that stand so."""
        return [job for job in self.jobs if job.agreement is agreement]

    @property
    def is_clean(self) -> bool:
        """Whether nobody has to look at anything."""
        return not any(job.agreement.is_difference for job in self.jobs)


@dataclass(frozen=True)
class Rules:
    """When amounts agree. ``tolerance``: in units of the currency, on top of rounding.

    ``unit``: the smallest amount that the invoice writes; what it has rounded to that agrees. ``price_seconds``: prices
    an invoice that tells no money.
    """

    tolerance: Decimal = Decimal(0)
    unit: Decimal = _MICRO
    price_seconds: PriceSeconds = lambda _backend, _seconds: None

    def agree(self, ours: Decimal, theirs: Decimal, *, lines: int) -> bool:
        """Whether an amount is that of ours, each of its lines rounded.

        Two lines that are both rounded by half a unit are not believed: a difference of a unit is one.
        """
        difference, rounding = abs(ours - theirs), self.unit * _HALF
        return difference <= max(self.tolerance, rounding) or difference < rounding * lines or difference < _MICRO


def to_units(micros: int) -> Decimal:
    """Micro-units as units of their currency, or millionths of a second as seconds."""
    return Decimal(micros) / MICROS_PER_UNIT


def reconcile_jobs(
    ours: Iterable[BookedJob], billed: BilledTotal, *, period: Period, rules: Rules | None = None
) -> Reconciliation:
    """Compare our jobs with those of an invoice, whose lines are about ``period``.

    All of ours are looked up; those that are not billed are expected only if they began and ended within the period.
    """
    rules = rules or Rules()
    rest = list(ours)
    by_id = {job.provider_id: job for job in rest if job.provider_id is not None}
    by_key = {key: job for job in rest for key in job.keys}
    by_name = {job.job_id: job for job in rest}
    found = []
    for theirs in billed.jobs.values():
        booked = by_id.get(theirs.job_id)
        if booked is None:
            found.append(_only_theirs(theirs, by_key.get(theirs.key or "") or by_name.get(theirs.name), rules))
        else:
            found.append(_compare(booked, theirs, period=period, rules=rules))
    named = {job.candidate.job_id for job in found if job.candidate is not None and job.candidate.provider_id is None}
    unbilled = [job for job in rest if job.provider_id not in billed.jobs and job.job_id not in named]
    placed = [_place(job, period, is_collective=billed.is_collective) for job in unbilled]
    return Reconciliation(
        jobs=(*found, *(job for job in placed if isinstance(job, ReconciledJob))),
        period=period,
        n_outside=placed.count("outside"),
        n_free=placed.count("free"),
    )


def sum_amounts(jobs: Sequence[ReconciledJob]) -> Mapping[str, tuple[Decimal, Decimal]]:
    """What the jobs cost by the ledger and by the invoice, by currency."""
    sums: dict[str, tuple[Decimal, Decimal]] = {}
    for job in jobs:
        ours, theirs = sums.get(job.currency, (Decimal(0), Decimal(0)))
        sums[job.currency] = (ours + (job.ours_amount or 0), theirs + (job.theirs_amount or 0))
    return sums


def _only_theirs(theirs: BilledJob, candidate: BookedJob | None, rules: Rules) -> ReconciledJob:
    note = ""
    if candidate is not None:
        known = candidate.provider_id
        note = (
            f"it carries the label of job {candidate.job_id}, which is {known}: it may have been paid twice"
            if known
            else f"it carries the key of job {candidate.job_id}, which is held; `qorch recover` looks for it"
        )
    elif theirs.name:
        note = f"its name is {shown(theirs.name)}"
    amount = theirs.amount
    if amount is None and candidate is not None and theirs.seconds is not None:
        amount = rules.price_seconds(candidate.backend, theirs.seconds)
    return ReconciledJob(Agreement.ONLY_THEIRS, None, theirs, amount, note=note, candidate=candidate)


def _compare(ours: BookedJob, theirs: BilledJob, *, period: Period, rules: Rules) -> ReconciledJob:
    amount = theirs.amount
    if amount is None and theirs.seconds is not None:
        amount = rules.price_seconds(ours.backend, theirs.seconds)
    pair = ReconciledJob(Agreement.DIFFERS, ours, theirs, amount)
    if theirs.amount is None and theirs.seconds is not None and ours.seconds_micros is not None:
        return _compare_seconds(pair, to_units(ours.seconds_micros), theirs.seconds, rules)
    booked = pair.ours_amount
    if booked is None:
        return replace(pair, note=_NOT_BOOKED)
    if amount is None:
        return replace(pair, note="the invoice tells no money, and its seconds cannot be priced or compared")
    if ours.currency and theirs.currency and ours.currency != theirs.currency:
        return replace(pair, note=f"the ledger has {ours.currency}, the invoice {shown(theirs.currency)}")
    pair = replace(pair, difference=amount - booked)
    if rules.agree(booked, amount, lines=theirs.n_lines):
        return replace(pair, agreement=Agreement.MATCHED)
    once = theirs.once_amount
    if once is not None and once != amount and rules.agree(booked, once, lines=theirs.n_lines):
        return replace(pair, agreement=Agreement.BILLED_TWICE, note="without the repeated charges both agree")
    is_at_edge = amount < booked and bool(_find_edge(ours, period))
    return replace(pair, note="the rest may stand in another invoice" if is_at_edge else "")


def _compare_seconds(pair: ReconciledJob, ours: Decimal, theirs: Decimal, rules: Rules) -> ReconciledJob:
    booked, amount = pair.ours_amount, pair.theirs_amount
    pair = replace(pair, difference=None if booked is None or amount is None else amount - booked)
    if rules.agree(ours, theirs, lines=1 if pair.theirs is None else pair.theirs.n_lines):
        return replace(pair, agreement=Agreement.MATCHED)
    return replace(pair, note=f"{theirs:f} s in the invoice, {ours:f} s as reported before")


def _place(job: BookedJob, period: Period, *, is_collective: bool) -> "ReconciledJob | str":
    """Where a job is that is not in the invoice: missing, elsewhere, or of no interest ("outside" or "free")."""
    if job.began_at >= period.end or (job.ended_at is not None and job.ended_at < period.begin):
        return "outside"
    if job.micros == 0:
        return "free"
    note = _find_edge(job, period)
    if not note and is_collective:
        note = "it may be charged with its session or batch"
    return ReconciledJob(Agreement.ELSEWHERE if note else Agreement.ONLY_OURS, job, None, note=note)


def _find_edge(job: BookedJob, period: Period) -> str:
    """Why a job may stand in the invoice before or after; empty if it must stand in this one."""
    if job.ended_at is None:
        return "not billed yet: it is held" if job.provider_id is None else "not billed yet: it is not settled"
    if job.ended_at > period.end - EDGE:
        return "not billed yet: it ended on the last day of the period, or later"
    if job.began_at < period.begin + CLOCKS:
        return "it began before the period: it may stand in the invoice before"
    return ""
