"""What providers and the store may import of qorch: lists of what is allowed, so that a new room is closed to them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
ALLOWED = {
    "providers/qorch_providers": {"qorch.errors", "qorch.machine", "qorch.model", "qorch.ports"},
    "jobs_db/qorch_jobs_db": {"qorch.errors", "qorch.model", "qorch.ports"},
}
NEIGHBOURS = ("qorch_providers", "qorch_jobs_db")


def imported_modules(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it; of ``from a import b`` also ``a.b``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_of(root: str) -> dict[str, set[str]]:
    """The rooms of qorch, and the other packages of this repository, that the files of a package import."""
    found: dict[str, set[str]] = {}
    for path in sorted((HOUSE / root).rglob("*.py")):
        for module in imported_modules(path):
            package = module.partition(".")[0]
            room = ".".join(module.split(".")[:2]) if package == "qorch" else package
            if package == "qorch" or (package in NEIGHBOURS and package != Path(root).name):
                found.setdefault(room, set()).add(str(path.relative_to(HOUSE)))
    return found


@pytest.mark.parametrize("root", ALLOWED)
def test_packages_import_what_they_are_allowed_to(root: str) -> None:
    """Values, errors and protocols; never the engine, the wiring, the command line, or each other."""
    rooms = rooms_of(root)
    assert {room: files for room, files in rooms.items() if room not in ALLOWED[root]} == {}
    assert set(rooms) == ALLOWED[root]


def test_an_import_that_is_not_allowed_is_seen(tmp_path: Path) -> None:
    """Also inside of a function, and of a module from its package."""
    path = tmp_path / "adapter.py"
    path.write_text("from qorch import wiring\n\ndef f():\n    import qorch.engine.engine\n    from os import path\n")
    assert list(imported_modules(path)) == ["qorch.wiring", "qorch.engine.engine", "os.path"]
