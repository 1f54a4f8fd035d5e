"""TOML files that people write, read strictly: every complaint names the file and the line."""

import datetime
import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from qorch.errors import ConfigError

T = TypeVar("T")
Path = tuple[str | int, ...]
"""Where a value stands: keys of tables, and numbers of items of arrays, from the outside in."""

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?")
_ASSIGNMENT = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")
_SYNTAX_LINE = re.compile(r"^(.*) \(at line (\d+), column \d+\)$")
_COMPLAINT = re.compile(r"^(.*?)(?: - at `\$(.*)`)?$")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[\.\.\.\]")
_UNKNOWN_FIELD = re.compile(r"unknown field `([^`]*)`")


@dataclass(frozen=True)
class TomlFile:
    """A parsed file. ``name``: how messages call it. ``lines``: the line of every table and key, from 1."""

    name: str
    data: Mapping[str, Any]
    lines: Mapping[Path, int] = field(repr=False)

    def line_of(self, path: Path) -> int:
        """The line of a value, or of the innermost table around it that has one."""
        known = (path[:length] for length in range(len(path), 0, -1) if path[:length] in self.lines)
        return self.lines[next(known, ())] if path else 1

    def error(self, message: str, path: Path) -> ConfigError:
        """What is wrong with a value, with the file and the line."""
        return ConfigError(f"{self.name}, line {self.line_of(path)}: {message}")

    def convert(self, kind: type[T]) -> T:
        """The file as a msgspec struct. Raises ConfigError for a field that is missing, unknown or of a wrong kind."""
        try:
            # Numbers are numbers, and dates are dates: what stands in quotation marks is a text.
            return msgspec.convert(self.data, kind, builtin_types=(Decimal, datetime.date))
        except msgspec.ValidationError as error:
            found = _COMPLAINT.match(str(error))
            message, where = (found[1], found[2]) if found else (str(error), None)
            unknown = _UNKNOWN_FIELD.search(message)
            path = _read_steps(where or "")
            if unknown is None:
                raise self.error(message, path) from error
            known = ", ".join(_fields_at(kind, path))
            raise self.error(f"'{unknown[1]}' is not known here; there are {known}", (*path, unknown[1])) from error


def parse_toml(text: str, *, name: str) -> TomlFile:
    """Parse a file; floats become Decimal, digit by digit. Raises ConfigError, naming the line, if it is no TOML."""
    try:
        data = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        found = _SYNTAX_LINE.match(str(error))
        message, line = (found[1], int(found[2])) if found else (str(error), text.count("\n") + 1)
        raise ConfigError(f"{name}, line {line}: {message}") from error
    return TomlFile(name, data, _find_lines(text))


def _fields_at(kind: type, path: Path) -> list[str]:
    """The names that a table may have."""
    info = msgspec.inspect.type_info(kind)
    for step in path:
        if isinstance(info, msgspec.inspect.StructType):
            info = next(field.type for field in info.fields if field.encode_name == step)
        elif isinstance(info, msgspec.inspect.ListType):
            info = info.item_type
    return [field.encode_name for field in info.fields] if isinstance(info, msgspec.inspect.StructType) else []


def _find_lines(text: str) -> dict[Path, int]:
    """The line of every header and of every key that begins a line."""
    lines: dict[Path, int] = {(): 1}
    counts: Counter[Path] = Counter()
    table: Path = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.fullmatch(line):
            table = _resolve(_parts(header[2]), counts)
            if header[1] == "[[":
                counts[table] += 1
                table = (*table, counts[table] - 1)
            lines.setdefault(table, number)
        elif assignment := _ASSIGNMENT.match(line):
            lines.setdefault((*table, *_parts(assignment[1])), number)
    return lines


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PART.findall(text))


def _resolve(parts: tuple[str, ...], counts: Mapping[Path, int]) -> Path:
    """The path of a header: below an array of tables it belongs to the latest one."""
    path: Path = ()
    for index, part in enumerate(parts):
        path = (*path, part)
        if index < len(parts) - 1 and path in counts:
            path = (*path, counts[path] - 1)
    return path


def _read_steps(text: str) -> Path:
    """The path in a complaint of msgspec, such as ``.card[0].prices``."""
    return tuple(int(step[2]) if step[2] else step[1] for step in _STEP.finditer(text) if step[1] or step[2])
