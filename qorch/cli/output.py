"""Print documents and tables on standard output."""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

NOTHING = "–"
_WORDS_WIDTH = 20


def print_json(document: Mapping[str, object]) -> None:
    """Print one JSON document; a number that is not finite, such as a loss that diverged, is null."""
    print(json.dumps(_finite(document), indent=2, ensure_ascii=False, allow_nan=False))


def _finite(item: object) -> object:
    if isinstance(item, float) and not math.isfinite(item):
        return None
    if isinstance(item, Mapping):
        return {key: _finite(value) for key, value in item.items()}
    return [_finite(value) for value in item] if isinstance(item, list | tuple) else item


def print_aside(text: str) -> None:
    """Print a message on standard error, unless nobody can read it there."""
    with suppress(OSError, ValueError):
        print(text.rstrip("\n"), file=sys.stderr, flush=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under their headings: with lines on a terminal, as plain columns in a pipe."""
    cells = [[NOTHING if cell is None else str(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty() or not _print_rich(columns, cells):
        print("\n".join(plain_lines([list(columns), *cells])))


def plain_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines whose columns are aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _print_rich(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Draw a table, unless the terminal is too narrow for it: sentences are wrapped, and ids are never cut."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table, console = Table(), Console()
    needed = 1
    for heading, *cells in zip(columns, *rows, strict=True):
        is_words = any(" " in cell for cell in cells)
        longest = max(map(len, [heading, *cells]))
        needed += 3 + (min(longest, _WORDS_WIDTH) if is_words else longest)
        table.add_column(heading, no_wrap=not is_words, overflow="fold")
    if needed > console.width:
        return False
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)
    return True


def format_bytes(count: int) -> str:
    """A size with a binary unit, such as ``1.5 MiB``."""
    size, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:.0f} B" if units[0] == "B" else f"{size:.1f} {units[0]}"
