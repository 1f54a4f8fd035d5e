"""Compiled kernels on disk: never stale, never in the way."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from forked import start_python

import qorch_providers.local as package
from qorch_providers.local.numba_engine.jit import KernelFiles

SCRIPT = """
import sys
from qorch_providers.local.numba_engine import jit
from qorch_providers.local.numba_engine.evolution import highest_bit
print(jit.cache_folder())
print(highest_bit(6))
print(sum(highest_bit.stats.cache_hits.values()))
"""

FULL_DISK = """
import errno
from numba.core.caching import IndexDataCacheFile
def fail(*arguments):
    raise OSError(errno.ENOSPC, "No space left on device")
IndexDataCacheFile._save_data = fail
"""


def run_script(
    folder: Path, *, source: Path | None = None, home: Path | None = None, script: str = SCRIPT
) -> list[str]:
    """Where a fresh process keeps its kernels, what a kernel gives, and how often it came from disk."""
    paths = [str(source)] if source else []
    environment = {
        **os.environ,
        "QORCH_KERNEL_CACHE": str(folder),
        "PYTHONPATH": os.pathsep.join([*paths, *filter(None, sys.path)]),
        "TMPDIR": str(home or folder.parent),
    }
    file = (home or folder.parent).parent / "script.py"
    file.write_text(script)
    if source is None:
        process = start_python(str(file), cwd=file.parent, environment=environment)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        return [*out.split(), err]
    done = subprocess.run([sys.executable, str(file)], env=environment, capture_output=True, text=True, timeout=120)
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
    changed = source / "qorch_providers" / "local" / "numba_engine" / "evolution.py"
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


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", [b"", b"\x80\x05", b"no pickle at all" * 9])
def test_a_damaged_file_is_compiled_again(ending: str, damage: bytes, tmp_path: Path) -> None:
    """An index or a kernel that was cut or overwritten costs one line and one compilation."""
    folder = Path(run_script(tmp_path / "kernels")[0])
    for planted in folder.glob(f"*highest_bit*.{ending}"):
        planted.write_bytes(damage)
    second, third = run_script(tmp_path / "kernels"), run_script(tmp_path / "kernels")
    assert second[1:3] == ["4", "0"]
    assert second[3].count("a damaged compiled kernel is compiled again") == 1
    assert third[1:] == ["4", "1", ""]


def test_kernels_that_are_kept_at_once_are_never_mixed_up(tmp_path: Path) -> None:
    """A process that keeps its variant while another keeps another, each unaware of the other, gets its own or none."""
    one, other, later = (KernelFiles(str(tmp_path), "kernel", "stamp") for _ in range(3))
    write = one._save_data

    def be_late(name: str, data: str) -> None:
        other.save("double", "for double")
        write(name, data)

    other._load_index = dict
    one._save_data = be_late
    one.save("single", "for single")
    assert later.load("single") == "for single"
    assert later.load("double") in (None, "for double")


def test_a_full_disk_costs_the_cache_and_no_result(tmp_path: Path) -> None:
    """Kernels that cannot be written run all the same, and one line says so."""
    found = run_script(tmp_path / "kernels", script=FULL_DISK + SCRIPT)
    assert found[1:3] == ["4", "0"]
    assert found[3].count("compiled kernels cannot be kept") == 1
    assert "No space left on device" in found[3]


@pytest.mark.parametrize("mode", [0o777, 0o770, None])
def test_a_temporary_folder_of_others_is_not_trusted(mode: int | None, tmp_path: Path) -> None:
    """Who may write into it, or whose link it is, could plant kernels: nothing is kept there."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    home = tmp_path / "temporary"
    root = home / f"qorch-kernels-{os.getuid()}"
    home.mkdir()
    if mode is None:
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        root.symlink_to(tmp_path / "elsewhere")
    else:
        root.mkdir()
        root.chmod(mode)
    found = run_script(blocked / "kernels", home=home)
    assert found[:2] == ["None", "4"]
    assert "no cache folder can be written" in found[3]
    assert not any(path.is_file() for path in [*root.rglob("*"), *(tmp_path / "elsewhere").rglob("*")])


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
    assert Path(found[0]).parent.stat().st_mode & 0o777 == 0o700
    assert "cannot be written; compiled kernels are kept in" in found[3]
