"""Sums the lines of an invoice, by job; and the days that they are about."""

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal
from hashlib import blake2b

from qorch.errors import InvoiceError
from qorch.model.invoices.line import InvoiceLine, LineKind, shown

MOST_FEES = 200
OTHER_FEES = "others"
_EXACT = Context(prec=80)
CENTS = 2
"""Decimals of the smallest amount that an invoice rounds to, unless it writes more."""
_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Period:
    """From ``begin`` to before ``end``, in UTC."""

    begin: datetime.datetime
    end: datetime.datetime

    def __post_init__(self) -> None:
        """Raise InvoiceError if it is empty."""
        if self.begin >= self.end:
            raise InvoiceError(f"the period ends at {self.end:%Y-%m-%d}, and begins at {self.begin:%Y-%m-%d}")


@dataclass(frozen=True, slots=True)
class BilledJob:
    """All lines about one job. ``once_amount``: what it would be if no charge were repeated; both None without money.

    ``key`` and ``name``: as far as one of the lines tells them.
    """

    job_id: str
    amount: Decimal | None
    once_amount: Decimal | None
    currency: str
    seconds: Decimal | None
    n_lines: int
    key: str | None
    name: str


@dataclass(frozen=True)
class FeeTotal:
    """Lines of one kind that are about no single job: how many, and their sums; None if they tell none."""

    what: str
    currency: str
    n_lines: int
    amount: Decimal | None
    seconds: Decimal | None


@dataclass(frozen=True)
class BilledTotal:
    """An invoice. ``n_other``: lines about other services; ``n_repeated``: lines that stood there twice, by their ids.

    ``period``: the days of the usage in UTC; None if no line tells one. ``unit``: the smallest amount that is written,
    at most a cent. ``is_collective``: there are charges for jobs that have no lines of their own.
    """

    jobs: Mapping[str, BilledJob] = field(repr=False)
    fees: tuple[FeeTotal, ...]
    n_lines: int
    n_other: int
    n_repeated: int
    period: Period | None
    unit: Decimal
    is_collective: bool


class _Tally:
    """The lines of one job, or one kind of fee, so far."""

    __slots__ = ("amount", "currency", "job_id", "key", "lines", "name", "once", "seconds")

    def __init__(self, line: InvoiceLine) -> None:
        self.job_id, self.currency = line.job_id, line.currency
        self.key, self.name = line.key, line.name
        self.lines = 0
        self.amount: Decimal | None = None
        self.once: Decimal | None = None
        self.seconds: Decimal | None = None

    def add(self, line: InvoiceLine, *, repeats_charge: bool = False) -> None:
        self.lines += 1
        self.key, self.name = self.key or line.key, self.name or line.name
        if line.amount is not None:
            self.amount = _EXACT.add(self.amount or Decimal(0), line.amount)
            if not repeats_charge:
                self.once = _EXACT.add(self.once or Decimal(0), line.amount)
        if line.seconds is not None:
            self.seconds = _EXACT.add(self.seconds or Decimal(0), line.seconds)

    def as_job(self) -> BilledJob:
        return BilledJob(
            self.job_id, self.amount, self.once, self.currency, self.seconds, self.lines, self.key, self.name
        )

    def as_fee(self, what: str) -> FeeTotal:
        return FeeTotal(shown(what), shown(self.currency), self.lines, self.amount, self.seconds)


class _Summary:
    """An invoice so far."""

    def __init__(self) -> None:
        self.jobs: dict[str, _Tally] = {}
        self.fees: dict[tuple[str, str], _Tally] = {}
        self.n_lines = self.n_other = self.n_repeated = 0
        self.is_collective = False
        self._seen: set[bytes] = set()
        # Hashes: a set for each job takes twice the memory.
        self._charges: set[int] = set()
        self._begin: datetime.datetime | None = None
        self._end: datetime.datetime | None = None
        self._decimals = CENTS

    def add(self, line: InvoiceLine) -> None:
        self.n_lines += 1
        self._note_times(line)
        if line.kind is LineKind.OTHER:
            self.n_other += 1
        elif self._is_repeated(line):
            self.n_repeated += 1
        elif line.kind is LineKind.FEE:
            self.is_collective |= line.is_collective
            _find_fee(self.fees, line).add(line)
        else:
            self._add_charge(line)

    def total(self) -> BilledTotal:
        return BilledTotal(
            jobs={job_id: tally.as_job() for job_id, tally in self.jobs.items()},
            fees=tuple(tally.as_fee(what) for (what, _), tally in self.fees.items()),
            n_lines=self.n_lines,
            n_other=self.n_other,
            n_repeated=self.n_repeated,
            period=_whole_days(self._begin, self._end),
            unit=Decimal(1).scaleb(-self._decimals),
            is_collective=self.is_collective,
        )

    def _note_times(self, line: InvoiceLine) -> None:
        if line.began_at is not None and (self._begin is None or line.began_at < self._begin):
            self._begin = line.began_at
        if line.ended_at is not None and (self._end is None or line.ended_at > self._end):
            self._end = line.ended_at

    def _is_repeated(self, line: InvoiceLine) -> bool:
        if not line.line_id:
            return False
        digest = _digest(line)
        is_repeated = digest in self._seen
        self._seen.add(digest)
        return is_repeated

    def _add_charge(self, line: InvoiceLine) -> None:
        tally = self.jobs.get(line.job_id)
        if tally is None:
            tally = self.jobs[line.job_id] = _Tally(line)
        elif tally.currency != line.currency:
            raise InvoiceError(
                f"job {shown(line.job_id)} has charges in {shown(tally.currency)} and in {shown(line.currency)};"
                " an invoice has one currency"
            )
        charge = hash((line.job_id, line.what, line.amount))
        tally.add(line, repeats_charge=charge in self._charges)
        self._charges.add(charge)
        self._decimals = max(self._decimals, _decimals_of(line.seconds if line.amount is None else line.amount))


def sum_lines(lines: Iterable[InvoiceLine]) -> BilledTotal:
    """The sums of an invoice, exactly. Raises InvoiceError for a job with charges in several currencies."""
    summary = _Summary()
    for line in lines:
        summary.add(line)
    return summary.total()


def _digest(line: InvoiceLine) -> bytes:
    """Of all of an identified line: AWS's ids are unique in one part of a report, and not in all parts."""
    text = "\0".join(
        (line.line_id, line.kind, line.job_id, line.what, str(line.amount), str(line.began_at), str(line.ended_at))
    )
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _find_fee(fees: dict[tuple[str, str], _Tally], line: InvoiceLine) -> _Tally:
    name = (line.what, line.currency)
    if name not in fees and len(fees) >= MOST_FEES:
        name = (OTHER_FEES, line.currency)
    return fees.setdefault(name, _Tally(line))


def _decimals_of(amount: Decimal | None) -> int:
    """How many decimals are written: an invoice with 0.3000000000 has not rounded to cents."""
    exponent = 0 if amount is None else amount.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _whole_days(begin: datetime.datetime | None, end: datetime.datetime | None) -> Period | None:
    """From the first to the last day of usage, in UTC."""
    if begin is None or end is None:
        return None
    first = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    last = max(begin, end - datetime.timedelta(microseconds=1))
    return Period(first, last.replace(hour=0, minute=0, second=0, microsecond=0) + _DAY)
