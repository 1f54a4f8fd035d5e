"""Checks the arguments of ``start_run`` that would otherwise be misread, or fail only later."""

import os
import re
from collections.abc import Mapping

import numpy as np

from qorch.config import LATEST
from qorch.errors import ShotsError, UsageError
from qorch.model.budget import NO_BUDGET
from qorch.model.kinds import check_kind
from qorch.model.money import Money, parse_money
from qorch.model.pub import as_shots

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ID_SUFFIX = re.compile(r"-\d{8}-\d{6}-[0-9a-f]{4}\Z")


def check_kinds(
    switches: Mapping[str, object], *, db: object, clock: object, workload: object, settings: object
) -> None:
    """Raise UsageError for an argument of a wrong type that would otherwise be misread, or fail only later."""
    for name, value in switches.items():
        check_kind(value, int | np.bool_ | None, name, wanted="True or False")
    check_kind(workload, str | None, "workload", wanted="its name, or leave it out")
    check_kind(settings, dict | None, "settings", wanted="a dict")
    if not (db is None or isinstance(db, str | os.PathLike) or hasattr(db, "claim_run")):
        raise UsageError(f"db is a {type(db).__name__}; give the path of a database, its URL, or a Store")
    if not (clock is None or hasattr(clock, "monotonic_ns")):
        raise UsageError(f"clock is a {type(clock).__name__}; give a Clock, or leave it out")


def as_default_shots(shots: int | None) -> int | None:
    """The run's own shots, None for exact. Raises ShotsError for a number that cannot be."""
    checked = as_shots(shots)
    if checked == "run":
        raise ShotsError("the run's own shots cannot be 'run'; give a number, or None for exact values")
    return checked


def as_budget(budget: str | Money | None) -> Money | None:
    """What ``start_run`` is given as a budget, as money; None for none. Raises MoneyError."""
    if budget is None:
        return None
    if isinstance(budget, Money):
        return parse_money(str(budget))
    if isinstance(budget, str) and budget == NO_BUDGET:
        return None
    return parse_money(budget if isinstance(budget, str) else repr(budget))


def check_name(name: str) -> None:
    """Raise UsageError for what cannot be the name of a run, or the id of one that is resumed."""
    if not isinstance(name, str):
        raise UsageError(f"the run's name is a {type(name).__name__}; give a text such as cats-vs-dogs")
    if name == LATEST:
        raise UsageError(f"a run cannot be named '{name}', which stands for the newest run; choose another name")
    # A run's id, by which it may be resumed, is its name with a time and four digits.
    if not _NAME.fullmatch(name) and not _NAME.fullmatch(_ID_SUFFIX.sub("", name)):
        raise UsageError(
            f"'{name}' is not a name for a run; use up to 64 letters, digits, '.', '_' and '-', such as cats-vs-dogs"
        )
