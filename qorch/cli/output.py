"""Print documents and tables on standard output."""

import json
import math
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qorch.model.text import printable

if TYPE_CHECKING:
    from rich.console import Console

NOTHING = "–"
_WORDS_WIDTH = 20
_NOT_ASCII = re.compile(r"[^\n -~]")


def print_json(document: Mapping[str, object]) -> None:
    """Print one JSON document; a number that is not finite, such as a loss that diverged, is null.

    Characters that control a terminal, or the direction of writing, are written as JSON's escapes of them.
    """
    text = json.dumps(_finite(document), indent=2, ensure_ascii=False, allow_nan=False)
    print(_NOT_ASCII.sub(_as_json_escape, text))


def _as_json_escape(found: "re.Match[str]") -> str:
    return found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1]


def _finite(item: object) -> object:
    if isinstance(item, float) and not math.isfinite(item):
        return None
    if isinstance(item, Mapping):
        return {key: _finite(value) for key, value in item.items()}
    return [_finite(value) for value in item] if isinstance(item, list | tuple) else item


def print_aside(text: str) -> None:
    """Print a message on standard error; does nothing if that is closed or cannot be written."""
    with suppress(OSError, ValueError):
        print("\n".join(map(printable, text.rstrip("\n").split("\n"))), file=sys.stderr, flush=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, optional: Sequence[str] = ()) -> None:
    """Print rows under their headings: with lines on a terminal, as plain columns in a pipe.

    A table that is too wide for the terminal loses the ``optional`` columns, named from the least important on, until
    it fits, and says so. Sentences are wrapped, what has no spaces is never cut; if not even that fits, every cell gets
    a line of its own. What controls a terminal is printed as an escape.
    """
    cells = [[NOTHING if cell is None else printable(str(cell)) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _print_fitting(list(columns), cells, optional=optional)
    else:
        print("\n".join(plain_lines([list(columns), *cells])))


def plain_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines whose columns are aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _print_fitting(columns: list[str], rows: list[list[str]], *, optional: Sequence[str]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    left_out: list[str] = []
    widths = fit_columns(columns, rows, width=console.width)
    for name in optional:
        if widths is not None:
            break
        if name in columns:
            place = columns.index(name)
            columns = columns[:place] + columns[place + 1 :]
            rows = [row[:place] + row[place + 1 :] for row in rows]
            left_out.append(name)
            widths = fit_columns(columns, rows, width=console.width)
    if widths is None:
        print("\n\n".join("\n".join(_as_record(columns, row, width=console.width)) for row in rows))
    else:
        _print_rich(console, columns, rows, widths)
    if left_out:
        print("\n".join(textwrap.wrap(f"left out to fit: {', '.join(left_out)}; --json has all", console.width)))


def fit_columns(columns: Sequence[str], rows: Sequence[Sequence[str]], *, width: int) -> list[int] | None:
    """The width of every column in a table with lines that is ``width`` wide at most; None if it cannot be.

    Columns of sentences are made narrower, down to 20 letters; headings are wrapped at their spaces.
    """
    least, most = [], []
    for heading, *cells in zip(columns, *rows, strict=True):
        longest = max(map(len, cells), default=0)
        is_sentence = any(" " in cell for cell in cells)
        least.append(max(min(longest, _WORDS_WIDTH) if is_sentence else longest, *map(len, heading.split())))
        most.append(max(longest, len(heading)))
    room = width - 1 - sum(3 + needed for needed in least)
    if room < 0:
        return None
    widths = []
    for needed, wanted in zip(least, most, strict=True):
        more = min(room, wanted - needed)
        room -= more
        widths.append(needed + more)
    return widths


def _print_rich(
    console: "Console", columns: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int]
) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for heading, width in zip(columns, widths, strict=True):
        table.add_column(heading, width=width, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)


def _as_record(columns: Sequence[str], row: Sequence[str], *, width: int) -> list[str]:
    """A row as lines of heading and cell; sentences are wrapped, a word is never cut."""
    margin = max(map(len, columns)) + 2
    lines = []
    for heading, cell in zip(columns, row, strict=True):
        first, *others = textwrap.wrap(
            cell, max(width - margin, _WORDS_WIDTH), break_long_words=False, break_on_hyphens=False
        ) or [""]
        lines += [f"{heading:<{margin}}{first}".rstrip(), *(" " * margin + other for other in others)]
    return lines


def format_amount(money: Mapping[str, Any]) -> str:
    """Such as ``52,345.10 USD``: whole cents, rounded up, but for less than a cent."""
    micros = money["micros"]
    cents = -(-micros // 10_000)
    if 0 < micros < 10_000:
        return f"{micros / 1e6:.6f} {money['currency']}"
    return f"{cents // 100:,}.{cents % 100:02} {money['currency']}"


def format_bytes(count: int) -> str:
    """A size with a binary unit, such as ``1.5 MiB``."""
    size, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:.0f} B" if units[0] == "B" else f"{size:.1f} {units[0]}"


def format_age(seconds: float) -> str:
    """How long ago something was, such as ``12 s ago`` or ``3 h ago``."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{max(0.0, seconds):.0f} s ago"
