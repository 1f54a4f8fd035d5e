"""Makes text of users and servers, such as the name of a metric, safe to print."""


def printable(text: str) -> str:
    """The text, with escapes for invisible characters and those that control a terminal or the direction of writing."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape", "replace").decode("ascii")


def format_count(number: int, noun: str) -> str:
    """Such as ``1 job`` or ``2,592 executions``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
