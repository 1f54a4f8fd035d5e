"""The README's table of words: a reader who meets a name in the code finds its words there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

HOUSE = Path(__file__).parents[2]
ROOTS = ("qorch", "jobs_db/qorch_jobs_db")
APART = {"testing", "bench", "cli", "migrations"}
"""Rooms with words of their own: of tests and measurements; commands, which `--help` explains; dates and numbers."""
PLAIN = set(
    """
    active admission affine array base builder cancellation change checking clock codec compile compute config
    curve data decoding deletion distribution duplicate encoding ending environment error executor fault found group
    grouping hook idle immutable import init kind latency learned learning lifetime limit link list live local
    log map match meter move opening percentile photograph program rate reading recovered redirection resource returned
    rule selection sending sql sqlite starter stateful statement statistic status stopping terminal timer torch trimmed
    turn upgrade version diagnosable wanted watch watcher writer
    """.split()  # noqa: SIM905
)
"""Words that mean in the code what they mean to every programmer; any other word belongs into the README's table."""


def table_words() -> set[str]:
    """Every word of the table."""
    table = (HOUSE / "README.md").read_text().partition("## Words\n")[2].partition("\n## ")[0]
    return {_singular(word) for word in re.findall(r"[a-z]+", table.lower())}


def modules() -> Iterator[Path]:
    """The modules whose names a reader of the house meets."""
    for root in ROOTS:
        for path in sorted((HOUSE / root).rglob("*.py")):
            if not APART & set(path.relative_to(HOUSE / root).parts):
                yield path


def _singular(word: str) -> str:
    return word if word.endswith(("ss", "us")) or len(word) < 4 else word.removesuffix("s")


def test_the_table_has_every_word_of_file_names() -> None:
    """Each part of the name of a module or folder is explained, or is plain English."""
    known = table_words() | PLAIN
    parts = {part for path in modules() for part in path.relative_to(HOUSE).with_suffix("").parts[1:]}
    words = {word for part in parts - {"qorch_jobs_db"} for word in part.strip("_").split("_")}
    assert sorted(word for word in words if _singular(word) not in known) == []


def test_the_table_has_what_classes_are() -> None:
    """The last word of a public class's name, which says what it is, is explained, or is plain English."""
    known = table_words() | PLAIN
    nouns = {}
    for path in modules():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                nouns[re.findall(r"[A-Z][a-z]*", node.name)[-1].lower()] = node.name
    assert {noun: name for noun, name in nouns.items() if _singular(noun) not in known} == {}
