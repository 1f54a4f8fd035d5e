"""Text that others chose, such as the name of a metric, as it may be shown."""


def printable(text: str) -> str:
    """The text, with escapes for what would steer a terminal or cannot be seen: control codes, marks of direction."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape", "replace").decode("ascii")
