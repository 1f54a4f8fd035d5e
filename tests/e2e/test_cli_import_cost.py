"""Starting up is quick, and loads no SDK."""

import subprocess
import sys
import time
from typing import Any

import pytest

HEAVY = ("torch", "qiskit", "qiskit_aer", "sqlalchemy", "sklearn", "rich")


def fastest_seconds(*arguments: str) -> float:
    """The best of five runs of the interpreter with these arguments."""
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True, timeout=60)
        best = min(best, time.perf_counter() - started)
    return best


@pytest.mark.parametrize("module", ["qorch", "qorch.cli.main"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    """Neither an SDK nor torch nor the database is in sys.modules afterwards."""
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"


@pytest.mark.serial
@pytest.mark.flaky(reruns=2)
def test_importing_is_quick() -> None:
    """`import qorch` takes less than 0.3 s, the interpreter's own start included."""
    assert fastest_seconds("-c", "import qorch") < 0.3


@pytest.mark.serial
@pytest.mark.flaky(reruns=2)
def test_help_is_quick() -> None:
    """`qorch --help` takes less than 0.5 s."""
    assert fastest_seconds("-m", "qorch.cli.main", "--help") < 0.5


def test_public_names_are_all_there(qorch: Any) -> None:
    """Every name that qorch promises can be imported from it."""
    outcome = qorch.run_python_afresh(
        "import qorch\nprint([getattr(qorch, name) is not None for name in qorch.__all__])"
    )
    assert outcome.code == 0, outcome.err
    assert "False" not in outcome.out
