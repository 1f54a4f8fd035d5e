"""The house: no folder is too large to be read, unless it says in which order to read it."""

import ast
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
MOST_FILES = 12
SOURCES = [HOUSE / "qorch", HOUSE / "providers" / "qorch_providers", HOUSE / "jobs_db" / "qorch_jobs_db"]
FOLDERS = [init.parent for source in SOURCES for init in sorted(source.rglob("__init__.py"))]
LARGE = [folder for folder in FOLDERS if len(list(folder.glob("*.py"))) > MOST_FILES]


@pytest.mark.parametrize("folder", LARGE, ids=lambda folder: str(folder.relative_to(HOUSE)))
def test_a_folder_of_many_files_says_how_to_read_it(folder: Path) -> None:
    """Its docstring names every module in it."""
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert "How to read it" in text
    assert {module for module in modules if f"``{module}``" not in text} == set()


def test_there_are_folders_of_many_files() -> None:
    """The test above looks at something."""
    assert LARGE
