"""A line of a provider's invoice, and its numbers and times, which are read strictly."""

import datetime
import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache

from qorch.errors import InvoiceError
from qorch.model.text import printable

MAX_AMOUNT = Decimal(10**9)
"""Of money or seconds in a line; more is an error in the file."""
MOST_TEXT = 200
# Decimal would also read NaN, underscores and the digits of other scripts.
_NUMBER = re.compile(r"[-+]?(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(?:[eE][-+]?[0-9]{1,2})?")


class LineKind(StrEnum):
    """What a line is about.

    JOB: a charge for one job. FEE: of the provider's quantum service, for no single job, such as tax or a credit.
    OTHER: of another service of the provider; only its times count, as they tell which days the invoice covers.
    """

    JOB = "job"
    FEE = "fee"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """One line. ``job_id``: the provider's id of the job, empty unless ``kind`` is JOB.

    ``what``: the provider's word for what is charged. ``amount``: exact, in units of ``currency``; None if the invoice
    tells no money. ``seconds``: of the device, None if it tells none. ``began_at`` and ``ended_at``: of the usage, in
    UTC, None if it tells no times. ``key``: qorch's idempotency key, and ``name``: qorch's id of the job or the name at
    the provider, as far as the invoice has them. ``line_id``: empty if lines have no ids; lines that are alike and have
    the same id are one line. ``is_collective``: a FEE for several jobs, such as for a session, which have no lines of
    their own.
    """

    kind: LineKind
    job_id: str = ""
    what: str = ""
    amount: Decimal | None = None
    currency: str = ""
    seconds: Decimal | None = None
    began_at: datetime.datetime | None = None
    ended_at: datetime.datetime | None = None
    key: str | None = None
    name: str = ""
    line_id: str = ""
    is_collective: bool = False


def read_number(text: str, name: str) -> Decimal:
    """A number as it is written, digit by digit. Raises InvoiceError, with its ``name``, for anything else."""
    written = text.strip()
    value = Decimal(written) if _NUMBER.fullmatch(written) else None
    if value is None or abs(value) > MAX_AMOUNT:
        raise InvoiceError(f"{name} is '{shown(text)}'; it must be a number of at most {MAX_AMOUNT:,}")
    return value


def check_number(value: Decimal | None, name: str) -> Decimal:
    """The same of a number that was read already."""
    return read_number("" if value is None else str(value), name)


def check_charge(value: Decimal, name: str) -> Decimal:
    """What a job was charged for. Raises InvoiceError if it is negative."""
    if value < 0:
        raise InvoiceError(f"{name} is {value}; what a job is charged for must be at least 0")
    return value


@lru_cache(maxsize=4096)
def read_time(text: str, name: str) -> datetime.datetime | None:
    """An ISO 8601 time or date as a time in UTC; None if there is none. Raises InvoiceError for anything else."""
    if not text.strip():
        return None
    try:
        found = datetime.datetime.fromisoformat(text.strip())
        return found.replace(tzinfo=datetime.UTC) if found.tzinfo is None else found.astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        raise InvoiceError(f"{name} is '{shown(text)}'; it must be a time such as 2026-10-01T00:00:00Z") from None


def shown(text: str) -> str:
    """A text of the file as messages and tables show it: short, on one line, without control characters."""
    cut = text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}…"
    return printable(cut)
