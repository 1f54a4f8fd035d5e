"""Memory and cores that this process may use, within the limits of its control groups."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
OWN_GROUP = Path("/proc/self/cgroup")


def memory_bytes(groups: Path = GROUPS, *, own_group: Path = OWN_GROUP) -> int:
    """Memory that this process may use: the machine's, or less if a control group says so."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for folder in _group_folders(groups, own_group):
        limits += _read_numbers(folder / "memory.max")[:1]
    limits += _read_numbers(groups / "memory" / "memory.limit_in_bytes")[:1]
    return min(limits)


def available_cores(groups: Path = GROUPS, *, own_group: Path = OWN_GROUP) -> int:
    """Cores that this process may use: those of its affinity, or fewer if a control group has a CPU quota."""
    return min(_cores_of_affinity(), *_quotas(groups, own_group=own_group))


def _cores_of_affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(groups: Path, *, own_group: Path) -> Iterator[int]:
    """The CPU quotas of both versions of control groups in whole cores, then the number of the machine's cores."""
    for folder in _group_folders(groups, own_group):
        yield from _as_cores(_read_numbers(folder / "cpu.max"))
    quota = _read_numbers(groups / "cpu" / "cpu.cfs_quota_us")
    yield from _as_cores([*quota, *_read_numbers(groups / "cpu" / "cpu.cfs_period_us")])
    yield os.cpu_count() or 1


def _as_cores(numbers: list[int]) -> Iterator[int]:
    """Quota and period, in microseconds, as cores: a part of one counts as one. No quota is ``max`` or -1."""
    if len(numbers) == 2 and min(numbers) > 0:
        yield math.ceil(numbers[0] / numbers[1])


def _group_folders(groups: Path, own_group: Path) -> Iterator[Path]:
    """The folder of this process's control group (version 2) and of every group above it: each may have a limit."""
    try:
        lines = own_group.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        lines = []
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    # In a container the path may be that of the host, and the container's own limits are at the top.
    yield from (groups / path for path in (own, *map(str, Path(own).parents)) if (groups / path).is_dir())


def _read_numbers(path: Path) -> list[int]:
    """The numbers of a file, or none if it is not there or says something else, such as ``max 100000``."""
    try:
        return [int(word) for word in path.read_text(encoding="ascii").split()]
    except (OSError, ValueError):
        return []
