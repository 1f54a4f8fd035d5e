"""What the machine offers, within the limits of control groups that stand in a folder of the test's."""

import os
from pathlib import Path

import pytest

from qorch import machine


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii")


@pytest.fixture
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that may use 16 cores of 32."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 32)


@pytest.mark.usefixtures("many_cores")
@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 16),
        ({"cpu.max": "max 100000\n"}, 16),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "10000 100000\n"}, 1),
        ({"a/b/cpu.max": "800000 100000\n"}, 8),
        ({"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "max 100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 16),
        ({"cpu.max": "nonsense"}, 16),
    ],
)
def test_the_quota_of_a_control_group_limits_the_cores(tmp_path: Path, files: dict[str, str], cores: int) -> None:
    """The quota of the process's own group or of one above it, of either version; a part of a core is one."""
    own_group = tmp_path / "self"
    _write(own_group, "1:name=systemd:/x\n0::/a/b\n")
    for name, text in files.items():
        _write(tmp_path / "groups" / name, text)
    assert machine.available_cores(tmp_path / "groups", own_group=own_group) == cores


def test_the_memory_of_a_control_group_is_the_limit(tmp_path: Path) -> None:
    """The smallest limit from the process's own group upwards; none of it on a machine without control groups."""
    whole = machine.memory_bytes(tmp_path / "missing", own_group=tmp_path / "missing")
    _write(tmp_path / "self", "0::/a\n")
    _write(tmp_path / "groups" / "memory.max", "max\n")
    _write(tmp_path / "groups" / "a" / "memory.max", "1000000\n")
    assert machine.memory_bytes(tmp_path / "groups", own_group=tmp_path / "self") == 1_000_000 < whole
