"""Compiled kernels on disk: never stale, never in the way."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import qorch_providers.local as package

SCRIPT = """
import sys
from qorch_providers.local import jit
from qorch_providers.local.evolution import highest_bit
print(jit.cache_folder())
print(highest_bit(6))
print(sum(highest_bit.stats.cache_hits.values()))
"""


def run_script(folder: Path, *, source: Path | None = None, home: Path | None = None) -> list[str]:
    """Where a fresh process keeps its kernels, what a kernel gives, and how often it came from disk."""
    paths = [str(source)] if source else []
    environment = {
        **os.environ,
        "QORCH_KERNEL_CACHE": str(folder),
        "PYTHONPATH": os.pathsep.join([*paths, *filter(None, sys.path)]),
        "TMPDIR": str(home or folder.parent),
    }
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [*done.stdout.split(), done.stderr]


def copy_of_package(target: Path) -> Path:
    """The package's sources in a folder of their own, found before the installed ones."""
    shutil.copytree(Path(package.__file__).parents[1], target / "qorch_providers")
    return target


def test_a_second_process_loads_what_the_first_compiled(tmp_path: Path) -> None:
    """Nothing is compiled twice on one machine."""
    first, second = run_script(tmp_path / "kernels"), run_script(tmp_path / "kernels")
    assert first[:3] == [first[0], "4", "0"]
    assert second[:3] == [first[0], "4", "1"]


def test_a_kernel_of_other_sources_is_never_used(tmp_path: Path) -> None:
    """A change in another module changes the stamp: kernels planted in the new folder are refused as well."""
    source = copy_of_package(tmp_path / "source")
    before = run_script(tmp_path / "kernels", source=source)
    changed = source / "qorch_providers" / "local" / "evolution.py"
    text = changed.read_text(encoding="utf-8")
    stamps = changed.stat()
    changed.write_text(text.replace("top *= 2\n    return top", "top *= 2\n    return 7"), encoding="utf-8")
    os.utime(changed, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))
    after = run_script(tmp_path / "kernels", source=source)
    assert (before[1], after[1]) == ("4", "7")
    assert before[0] != after[0]
    for planted in Path(before[0]).iterdir():
        shutil.copy(planted, Path(after[0]) / planted.name)
    assert run_script(tmp_path / "kernels", source=source)[1:3] == ["7", "0"]


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_home_falls_back_with_a_sentence(tmp_path: Path) -> None:
    """The kernels go to a temporary folder."""
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    found = run_script(locked / "kernels", home=tmp_path)
    assert "cannot be written; compiled kernels are kept in" in found[3]


def test_a_path_that_is_no_folder_falls_back_with_a_sentence(tmp_path: Path) -> None:
    """The same where the cache folder is a file; and without any folder kernels still run."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    (tmp_path / "temporary").mkdir()
    found = run_script(blocked / "kernels", home=tmp_path / "temporary")
    assert found[1] == "4"
    assert str(tmp_path / "temporary") in found[0]
    assert "cannot be written; compiled kernels are kept in" in found[3]
