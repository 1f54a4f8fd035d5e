"""Answers with one thing in them changed, wherever it is."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

Path = tuple[str | int, ...]


CHANGES: tuple[Callable[[Any], Any] | None, ...] = (
    None,
    lambda _: None,
    lambda _: {},
    lambda _: [],
    lambda _: "x",
    lambda _: -1,
    lambda _: 10**30,
    lambda value: value + value[:1] if isinstance(value, str | list) else value + 1 if isinstance(value, int) else 1.5,
    lambda value: value[:-1] if isinstance(value, str | list) else value - 1 if isinstance(value, int) else True,
)
"""What becomes of a value; None: it is missing. Of the last two, the first adds a little and the second takes a bit."""


def places(document: Any, path: Path = ()) -> Iterator[Path]:
    """The path of every value in a document, that of lists and objects before those in them."""
    yield path
    if isinstance(document, dict | list):
        names = list(document) if isinstance(document, dict) else range(len(document))
        for name in names:
            yield from places(document[name], (*path, name))


def changed(document: Any, path: Path, change: Callable[[Any], Any] | None) -> bytes:
    """The document with the value at a path replaced, or taken away."""
    document = copy.deepcopy(document)
    parent = document
    for name in path[:-1]:
        parent = parent[name]
    if change is None:
        del parent[path[-1]]
    else:
        parent[path[-1]] = change(parent[path[-1]])
    return json.dumps(document).encode()
