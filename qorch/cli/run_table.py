"""Filters and sorts runs, and makes the columns of `qorch runs`."""

import csv
import io
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qorch.errors import UsageError
from qorch.model.money import MICROS_PER_UNIT, Money
from qorch.model.text import as_cell, printable

Document = Mapping[str, Any]

_ALIASES = {
    "date": "created_at",
    "started": "created_at",
    "executed": "executions",
    "from_cache": "executions_from_cache",
    "seconds": "wall_seconds",
}
_GROUPS = ("metrics", "settings")
_HIDDEN_SETTINGS = frozenset({"name", "workload", "backend", "seed", "cache", "sweep_budget"})
"""Settings of `qorch train` that are columns of their own."""
_COMPARED = ("workload", "backend", "seed", "cache")
_FILTER = re.compile(r"(?P<column>.+?)\s*(?P<sign>!=|>=|<=|==|=|>|<)\s*(?P<value>.*)", re.DOTALL)
_AMOUNT = re.compile(r"([0-9.]+) [A-Z]{3}")
_SIGNS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


@dataclass(frozen=True)
class Filter:
    """A condition on a column; values compare as numbers if both are, else as text."""

    column: str
    sign: str
    value: str

    def takes(self, document: Document) -> bool:
        """Whether a run meets the condition; a run without the column meets only ``!=``."""
        found = look_up(document, self.column)
        if found is None:
            return self.sign == "!="
        mine, wanted = as_number(found), as_number(_without_currency(self.value))
        if mine is None or wanted is None:
            return _SIGNS[self.sign](_as_text(found), self.value)
        return _SIGNS[self.sign](mine, wanted)


def read_filter(text: str) -> Filter:
    """``"lr=0.05"`` or ``"test_accuracy>0.9"``. Raises UsageError for anything else."""
    match = _FILTER.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"--filter '{text}' is not a condition; write for example 'lr=0.05' or 'test_accuracy>0.9'")
    return Filter(match["column"], match["sign"], match["value"])


@dataclass(frozen=True)
class Query:
    """The runs to list, in order: ``sort`` is a column, with ``-`` in front for the largest first."""

    sort: str | None = None
    is_reversed: bool = False
    filters: tuple[Filter, ...] = ()
    state: str | None = None
    limit: int | None = None

    def choose(self, documents: Sequence[Document]) -> list[Any]:
        """The documents of the runs that are listed, in order. Raises UsageError for a column that no run has."""
        column, is_descending = self._order(documents)
        for name in [column, *(condition.column for condition in self.filters)]:
            if name is not None:
                _check_column(name, documents)
        chosen = [
            document
            for document in documents
            if self.state in {None, document["state"]} and all(part.takes(document) for part in self.filters)
        ]
        if column is not None:
            chosen = _sorted(chosen, column, is_descending=is_descending != self.is_reversed)
        elif self.is_reversed:
            chosen.reverse()
        return chosen[: self.limit]

    def _order(self, documents: Sequence[Document]) -> tuple[str | None, bool]:
        """The column, and whether the largest comes first: a name may begin with a minus of its own."""
        if self.sort is None or not self.sort.startswith("-") or _has(self.sort, documents):
            return self.sort, False
        return self.sort[1:], True


def look_up(document: Document, column: str) -> Any:
    """A column of a run by its name, its heading, or the name of a metric or setting; None if it has none."""
    column = _ALIASES.get(column, column)
    if column in document and column not in _GROUPS:
        found = document[column]
        return found["micros"] / MICROS_PER_UNIT if _is_money(found) else found
    for group in _GROUPS:
        if column.startswith(f"{group}."):
            return flatten(document[group]).get(column.removeprefix(f"{group}."))
    found = (flatten(document[group]).get(column) for group in _GROUPS)
    return next((value for value in found if value is not None), None)


def as_number(value: object) -> float | None:
    """A number, also one that is written as text, such as an option of a workload; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return None if isinstance(value, str) and not math.isfinite(number) else number


def table_of(documents: Sequence[Document], *, first: str | None = None) -> tuple[list[str], list[list[str | None]]]:
    """Headings and rows for a terminal: metrics (``first`` before others), settings that differ, then the rest."""
    metrics = _names(flatten(document["metrics"]) for document in documents)
    metrics.sort(key=lambda name: first is None or name != first.removeprefix("-").removeprefix("metrics."))
    differing = [name for name in _columns(documents) if name in _COMPARED and _differs(documents, name)]
    settings = _names(flatten(document["settings"]) for document in documents)
    differing += [name for name in settings if name not in _HIDDEN_SETTINGS and _differs(documents, f"settings.{name}")]
    if "backend" not in differing:
        differing.append("backend")
    headings = ["run", "state", *metrics, *differing, "started", "steps", "executions", "from cache", "seconds"]
    rows = []
    for document in documents:
        figures = [_as_cell(document["metrics"].get(name)) for name in metrics]
        compared = [
            _as_cell(document[name] if name in _COMPARED else look_up(document, f"settings.{name}"))
            for name in differing
        ]
        counts = [f"{document[key]:,}" for key in ("steps", "executions", "executions_from_cache")]
        started = document["created_at"][:16].replace("T", " ")
        seconds = f"{document['wall_seconds']:.1f}"
        rows.append([document["run"], document["state"], *figures, *compared, started, *counts, seconds])
    return [printable(heading) for heading in headings], rows


def csv_text(documents: Sequence[Document]) -> str:
    """All columns as comma-separated values, metrics and settings by their dotted names."""
    columns = _columns(documents)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([safe_cell(column) for column in columns])
    for document in documents:
        writer.writerow([safe_cell(_of(document, column)) for column in columns])
    return text.getvalue()


def safe_cell(value: object) -> object:
    """A cell of a CSV file: text that a spreadsheet would take for a formula is made harmless, numbers stay numbers."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    return as_cell(_as_text(value))


def _sorted(documents: Sequence[Document], column: str, *, is_descending: bool) -> list[Document]:
    """The runs sorted by a column, numbers before text; a run with no value, or NaN, comes last in either order."""
    keys = [(_key(look_up(document, column)), document) for document in documents]
    known = [(key, document) for key, document in keys if key is not None]
    known.sort(key=lambda pair: pair[0], reverse=is_descending)
    return [document for _, document in known] + [document for key, document in keys if key is None]


def _key(value: object) -> tuple[int, float, str] | None:
    number = as_number(value)
    if value is None or (number is not None and math.isnan(number)):
        return None
    return (1, 0.0, _as_text(value)) if number is None else (0, number, "")


def _check_column(column: str, documents: Sequence[Document]) -> None:
    if documents and not _has(column, documents):
        known = printable(", ".join(_columns(documents)))
        raise UsageError(f"no run has a column '{printable(column)}'; there are: {known}")


def _has(column: str, documents: Sequence[Document]) -> bool:
    column = _ALIASES.get(column, column)
    return column in _columns(documents) or any(look_up(document, column) is not None for document in documents)


def _columns(documents: Sequence[Document]) -> list[str]:
    plain = [name for name in (documents[0] if documents else ()) if name not in _GROUPS]
    metrics = _names(flatten(document["metrics"]) for document in documents)
    settings = _names(flatten(document["settings"]) for document in documents)
    own = [f"settings.{name}" for name in settings if name not in _HIDDEN_SETTINGS]
    return [*plain, *(f"metrics.{name}" for name in metrics), *own]


def _of(document: Document, column: str) -> object:
    group, dot, name = column.partition(".")
    if dot and group in _GROUPS:
        return flatten(document[group]).get(name)
    found = document[column]
    return str(Money(**found)) if _is_money(found) else found


def _is_money(value: object) -> bool:
    return isinstance(value, dict) and value.keys() == {"currency", "micros"}


def _without_currency(text: str) -> str:
    """``"5"`` of ``"5 USD"``, and any other text as it is."""
    match = _AMOUNT.fullmatch(text.strip())
    return match[1] if match else text


def _names(groups: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for group in groups for name in group))


def flatten(group: Mapping[str, Any]) -> dict[str, Any]:
    """Settings, metrics or versions by name, without the groups in which some of them are stored.

    ``qorch train`` stores a workload's own options as a group, and the environment its packages.
    """
    flat: dict[str, Any] = {}
    for name, value in group.items():
        flat |= value if isinstance(value, dict) else {name: value}
    return flat


def _differs(documents: Sequence[Document], column: str) -> bool:
    return len({_as_text(look_up(document, column)) for document in documents}) > 1


def _as_text(value: object) -> str:
    return "" if value is None else str(value)


def _as_cell(value: object) -> str | None:
    if value is None:
        return None
    return f"{value:.4g}" if isinstance(value, float) else printable(str(value))
