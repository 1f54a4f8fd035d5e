"""Makes text of users and servers, such as the name of a metric, safe to print, and safe in a spreadsheet."""

import re

_FORMULA = re.compile(r"^(\s*)(?=[=+\-@＝＋－＠])|(?<=[;,|])(\s*)(?=[=@＝＠]|[+\-＋－][^\s\d])")
"""Where a spreadsheet begins to read a formula: at the start, and behind what it may take for the end of a cell."""
_NUMBER = re.compile(r"[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?")


def printable(text: str) -> str:
    """The text, with escapes for invisible characters and those that control a terminal or the direction of writing."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def as_cell(text: str) -> str:
    """The text for a cell of a CSV file: printable, and with a quote before whatever a spreadsheet would compute.

    A number stays one. The rule is OWASP's (CSV injection), extended to separators inside of the text: a spreadsheet
    that was told another separator than the file's begins a cell there.
    """
    shown = printable(text)
    return shown if _NUMBER.fullmatch(shown) else _FORMULA.sub(r"\g<0>'", shown)


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape", "replace").decode("ascii")


def format_count(number: int, noun: str) -> str:
    """Such as ``1 job`` or ``2,592 executions``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
