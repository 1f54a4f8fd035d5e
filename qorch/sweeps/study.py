"""The study file: what is swept and how, written in TOML, with the line of whatever is wrong in it."""

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeGuard

import msgspec

from qorch.errors import UsageError
from qorch.model.toml import TomlFile, parse_toml
from qorch.sweeps.grid import Values, add_values, make_range


class _WrittenStudy(msgspec.Struct, forbid_unknown_fields=True):
    grid: dict[str, list[Any] | dict[str, Any]] = {}
    options: dict[str, Any] = {}
    name: str | None = None
    budget: str | None = None
    cache: str | None = None
    metric: str | None = None
    direction: str | None = None
    trials: int | None = None
    sampler: str | None = None
    pruner: str | None = None
    parallel: int | None = None


@dataclass(frozen=True)
class Study:
    """What a sweep is asked to do. ``options``: of every trial; None: the default, or what the command line says."""

    grid: dict[str, Values] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    name: str | None = None
    budget: str | None = None
    cache: str | None = None
    metric: str | None = None
    direction: str | None = None
    trials: int | None = None
    sampler: str | None = None
    pruner: str | None = None
    parallel: int | None = None


def read_study(path: Path) -> Study:
    """Read a study file. Raises UsageError if it cannot be read, ConfigError, with the line, for what is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the study {path} cannot be read: {error}") from error
    file = parse_toml(text, name=str(path))
    written = file.convert(_WrittenStudy)
    plain = {name: getattr(written, name) for name in written.__struct_fields__ if name not in ("grid", "options")}
    try:
        options = {name: _as_text(name, value) for name, value in written.options.items()}
    except UsageError as error:
        raise file.error(str(error), ("options",)) from error
    return Study(grid=_as_grid(written, file), options=options, **plain)


def _as_grid(written: _WrittenStudy, file: TomlFile) -> dict[str, Values]:
    grid: dict[str, Values] = {}
    for name, values in written.grid.items():
        try:
            add_values(grid, name, _as_values(name, values))
        except UsageError as error:
            raise file.error(str(error), ("grid", name)) from error
    return grid


def _as_values(name: str, written: list[Any] | dict[str, Any]) -> Values:
    if isinstance(written, list):
        return tuple(_as_text(name, value) for value in written)
    low, high, log = written.get("low"), written.get("high"), written.get("log", False)
    is_known = written.keys() <= {"low", "high", "log"} and isinstance(log, bool)
    if not (is_known and _is_number(low) and _is_number(high)):
        raise UsageError(f"a range is written {name} = {{low = 0.001, high = 0.1, log = true}}; log may be left out")
    is_whole = isinstance(low, int) and isinstance(high, int)
    return make_range(name, float(low), float(high), is_whole=is_whole, is_log=log)


def _is_number(value: object) -> TypeGuard[int | Decimal]:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _as_text(name: str, value: object) -> str:
    if not isinstance(value, str | int | float | Decimal):
        raise UsageError(f"a value of {name} is a {type(value).__name__}; write a text or a number")
    return str(value).lower() if isinstance(value, bool) else str(value)
