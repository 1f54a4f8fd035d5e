"""Workloads that other packages add by an entry point: found, listed, trained; a broken one is one sentence."""

from pathlib import Path

import pytest

from qorch.cli.completion import complete_workloads
from qorch.cli.main import run_command
from qorch.errors import MissingPackageError, UnknownNameError, UsageError
from qorch.workloads import WORKLOADS, load_workload, workload_names

GOOD = "from qorch.workloads.digits import Digits\nclass Mine(Digits):\n    name = 'mine'\nWORKLOAD = Mine()\n"


def install(folder: Path, name: str, code: str) -> None:
    """A package with one workload, as pip leaves it."""
    (folder / "plugged.py").write_text(code)
    info = folder / "plugged-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[qorch.workloads]\n{name} = plugged:WORKLOAD\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where packages are installed; what a test imports from it is forgotten after it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "plugged", raising=False)
    return tmp_path


def test_another_package_adds_a_workload(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is listed, completed, loaded, and its options are in the help; qorch's own names stay qorch's."""
    install(folder, "mine", GOOD)
    assert workload_names() == [*WORKLOADS, "mine"]
    assert complete_workloads("mi") == ["mine"]
    assert load_workload("mine").summary == load_workload("digits").summary
    assert run_command(["train", "mine", "--help"]) == 0
    assert "Options of mine" in capsys.readouterr().out
    with pytest.raises(UnknownNameError, match=r"cats-vs-dogs, .*mine"):
        load_workload("none")


@pytest.mark.parametrize(
    ("code", "error", "said"),
    [
        ("import no_such_package\n", MissingPackageError, "needs no_such_package"),
        ("1 / 0\n", UsageError, "cannot be loaded (ZeroDivisionError: division by zero)"),
        ("WORKLOAD = 3\n", UsageError, "is of type int, without 'name', and no workload"),
        (GOOD.replace("'mine'", "'other'"), UsageError, "calls itself 'other'"),
        ("", UsageError, "cannot be loaded (AttributeError"),
    ],
)
def test_a_broken_one_is_one_sentence(folder: Path, code: str, error: type[Exception], said: str) -> None:
    """With its name and its package; the command's help does not depend on it."""
    install(folder, "mine", code)
    with pytest.raises(error, match=r"workload 'mine'.*of plugged") as caught:
        load_workload("mine")
    assert said in str(caught.value)
    assert run_command(["train", "mine", "--help"]) == 0
