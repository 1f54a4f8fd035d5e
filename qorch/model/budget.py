"""A budget: the most that a run may cost, or all runs of a day, a month, a backend, an account or a name."""

import datetime
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from qorch.model.backend_name import is_mock
from qorch.model.money import Money

NO_BUDGET = "none"
"""In place of an amount: a run has no budget, or goes on without the one that it has."""
_SEPARATORS = (":", ".", ",", "/")
"""What may follow upon the beginning of a backend's or an account's name."""


class BudgetPeriod(StrEnum):
    """The time for which a limit holds before it begins anew, in UTC."""

    DAY = "day"
    MONTH = "month"

    def first_day(self, today: datetime.date) -> datetime.date:
        """On which the period began that ``today`` belongs to."""
        return today if self is BudgetPeriod.DAY else today.replace(day=1)

    def next_day(self, today: datetime.date) -> datetime.date:
        """On which the next period begins."""
        if self is BudgetPeriod.DAY:
            return today + datetime.timedelta(days=1)
        return (today.replace(day=1) + datetime.timedelta(days=32)).replace(day=1)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The most that may be reserved and spent by the runs that it covers: one run, or those of a named scope.

    ``run_id``: of the one run; empty in a scope. ``name`` and ``origin`` of a scope: what it is called, and the file
    and line where it stands. ``per``: what was reserved before the period began does not count; None: everything does.
    ``backend`` and ``account``: a name, or its beginning up to a separator (``:`` ``.`` ``,`` ``/``), such as
    ``ionq:qpu``. ``runs``: a pattern of run names, such as ``digits-*``. What is empty covers all, but mocks, which
    charge nothing: a scope covers them only if its ``backend`` begins with ``mock``. ``resume_with``: the command that
    raises the limit and goes on with the runs of a scope; empty: each run is resumed by itself.
    """

    limit: Money
    run_id: str = ""
    name: str = ""
    per: BudgetPeriod | None = None
    backend: str = ""
    account: str = ""
    runs: str = ""
    origin: str = ""
    resume_with: str = ""

    def covers(self, *, run_id: str, run_name: str, backend: str, account: str) -> bool:
        """Whether what such a run buys counts."""
        return (
            self.run_id in ("", run_id)
            and (bool(self.run_id) or is_mock(self.backend) or not is_mock(backend))
            and is_within(backend.lower(), self.backend.lower())
            and is_within(account, self.account)
            and fnmatchcase(run_name, self.runs or "*")
        )

    def first_day(self, today: datetime.date) -> datetime.date:
        """From which on reservations count."""
        return datetime.date.min if self.per is None else self.per.first_day(today)

    def __str__(self) -> str:
        """Such as ``'lab' (500.00 USD a month; config.toml, line 3)``; of a run: ``of this run (25.00 USD)``."""
        limit = f"{self.limit}{f' a {self.per}' if self.per else ''}"
        return f"of this run ({limit})" if self.run_id else f"'{self.name}' ({limit}; {self.origin})"


def is_within(name: str, beginning: str) -> bool:
    """Whether a name is this one, or begins with it up to a separator; nothing is the beginning of all."""
    return name == beginning or not beginning or name.startswith(tuple(beginning + mark for mark in _SEPARATORS))
