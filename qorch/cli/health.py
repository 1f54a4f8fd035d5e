"""The checks of `qorch doctor`, each a function that returns findings and changes nothing."""

import os
import platform
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib import metadata
from pathlib import Path

from qorch import machine
from qorch.cli.database import is_there
from qorch.cli.filesystems import NETWORK_FILE_SYSTEMS, file_system_of
from qorch.cli.output import format_bytes
from qorch.errors import ConfigError, QorchError
from qorch.ports.backend import Finding, FindingStatus
from qorch.ports.statistics import CacheStatistics, StoreRoom

OK, WARN, FAIL = FindingStatus.OK, FindingStatus.WARN, FindingStatus.FAIL
MIN_FREE_DISK_BYTES = 2**30
MIN_FREE_MEMORY_BYTES = 2**30
LOSSES = {
    "numba": " (without it the local backend runs on torch, ten times slower or more, and has no noise)",
    "pyarrow": " (without it `qorch audit export` writes no Parquet files)",
}
"""What the user loses without an optional package."""
_REQUIREMENT = re.compile(r"(?P<package>[\w.-]+).*\bextra\s*==\s*['\"](?P<extra>\w+)['\"]")


def examine(db: str) -> list[Finding]:
    """All checks, of this machine and of the database. Raises UsageError for a URL that names no store."""
    from qorch.stores import database_file

    database = database_file(db)
    return [
        check_python(),
        check_platform(),
        check_torch(),
        *check_extras(),
        check_cores(),
        check_memory(),
        check_prices(),
        *(check_database(db) if database is None else check_file(database)),
    ]


def check_prices() -> Finding:
    """Whether the configuration file and all price cards can be read; without them no run is started."""
    from qorch.config import read_config
    from qorch.prices import load_prices

    config = read_config()
    try:
        book = load_prices(config)
    except ConfigError as error:
        return Finding("configuration", FAIL, str(error))
    return Finding("configuration", OK, f"{config.file}; your own price cards: {len(book.own)}")


def check_python() -> Finding:
    """qorch needs Python 3.11."""
    version = platform.python_version()
    if sys.version_info < (3, 11):  # noqa: UP036 - a broken installation is what the doctor looks for
        return Finding("python", FAIL, f"{version}; qorch needs 3.11 or newer")
    return Finding("python", OK, f"{version} at {sys.executable}")


def check_platform() -> Finding:
    """Windows has neither flock nor the signals that workers need."""
    name = f"{platform.system()} {platform.release()} on {platform.machine()}"
    if platform.system() == "Windows":
        return Finding("platform", FAIL, f"{name} is not supported; use Linux, macOS or WSL 2")
    return Finding("platform", OK, name)


def check_torch() -> Finding:
    """Which torch is installed; it is not imported, which takes seconds."""
    version = _version("torch")
    if version is None:
        return Finding("torch", FAIL, "not installed: pip install torch")
    return Finding("torch", OK, version)


def check_extras() -> Iterator[Finding]:
    """Which optional packages are installed, and how to install the others."""
    for requirement in metadata.requires("qorch") or []:
        match = _REQUIREMENT.match(requirement)
        if match is None or match["package"] == "qorch" or match["extra"] in {"all", "dev"}:
            continue
        package, extra = match["package"], match["extra"]
        version = _version(package)
        if version is None:
            loss = LOSSES.get(package, "")
            yield Finding(f"extra {extra}", WARN, f"{package} is missing{loss}: pip install 'qorch[{extra}]'")
        elif package == "numba" and (trouble := _numba_trouble()):
            yield Finding(f"extra {extra}", WARN, f"{package} {version} {trouble}{LOSSES[package]}")
        else:
            yield Finding(f"extra {extra}", OK, f"{package} {version}")


def _numba_trouble() -> str | None:
    """Numba is imported: releases of it and of numpy that do not go together are installed side by side."""
    from qorch_providers.local.options import numba_trouble

    return numba_trouble()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def check_cores() -> Finding:
    """How many worker processes simulators get."""
    return Finding("cores", OK, f"{machine.available_cores()} usable of {os.cpu_count()}")


def free_memory_bytes() -> int | None:
    """Memory that is available without swapping; None if the system does not tell."""
    table = Path("/proc/meminfo")
    if not table.exists():
        return None
    match = re.search(r"MemAvailable:\s+(\d+) kB", table.read_text())
    return int(match[1]) * 1024 if match else None


def check_memory() -> Finding:
    """Whether there is room for torch and a few simulators."""
    free = free_memory_bytes()
    total = machine.memory_bytes()
    if free is None:
        return Finding("memory", OK, f"{format_bytes(total)} in all")
    free = min(free, total)
    status = OK if free >= MIN_FREE_MEMORY_BYTES else WARN
    return Finding("memory", status, f"{format_bytes(free)} free of {format_bytes(total)}")


def check_sqlite() -> Finding:
    """SQLite before 3.51.3 has a bug in its write-ahead log."""
    from qorch_jobs_db import sqlite_version

    found = sqlite_version()
    if found.has_wal_bug:
        return Finding(
            "sqlite",
            WARN,
            f"{found.version} can in rare cases damage a database that two programs write to at the same time (3.51.3"
            " mends it); processes of qorch take turns, so let no other program write to it",
        )
    return Finding("sqlite", OK, found.version)


def check_file_system(database: Path) -> Finding:
    """Databases break on network file systems, whose locks cannot be trusted."""
    folder = _existing_parent(database)
    kind = file_system_of(folder)
    if kind is None:
        return Finding("file system", OK, f"{folder}: of a kind that the system does not tell")
    if kind.lower() in NETWORK_FILE_SYSTEMS:
        return Finding("file system", WARN, f"{folder} is a network file system ({kind}); give a local path with --db")
    return Finding("file system", OK, f"{folder} is local ({kind})")


def check_disk(database: Path) -> Finding:
    """Whether the disk under the database has room."""
    folder = _existing_parent(database)
    free = shutil.disk_usage(folder).free
    status = OK if free >= MIN_FREE_DISK_BYTES else WARN
    return Finding("disk", status, f"{format_bytes(free)} free at {folder}")


def check_file(database: Path) -> Iterator[Finding]:
    """SQLite, the disk, and the database in that file, which no other user should be able to read."""
    yield check_sqlite()
    yield check_file_system(database)
    yield check_disk(database)
    try:
        if not is_there(database):
            yield _check_new_database(database)
            return
        mode = stat.S_IMODE(database.stat().st_mode)
    except QorchError as error:
        yield Finding("database", FAIL, str(error))
        return
    found = list(check_database(str(database)))
    yield from found
    if any(finding.name == "results" for finding in found):
        yield check_mode(database, mode)


def check_database(db: str) -> Iterator[Finding]:
    """Whether the database can be opened and is sound, and what its results take."""
    from qorch.ports.clock import WallClock
    from qorch.stores import SelfCheckingStore, open_store

    try:
        with closing(open_store(db, clock=WallClock())) as store:
            damage = store.check() if isinstance(store, SelfCheckingStore) else []
            figures, room, location = store.cache_statistics(), store.room(), store.location
            left = [item for item in store.open_provider_sessions() if store.holder_of(item.run_id) is None]
    except QorchError as error:
        yield Finding("database", FAIL, str(error))
        return
    if damage:
        yield Finding("database", FAIL, f"{location} is damaged ({damage[0]}); restore a backup")
    else:
        yield Finding("database", OK, f"{location} is sound")
    yield check_results(figures, room)
    if left:
        runs = ", ".join(sorted({item.run_id for item in left})[:3])
        yield Finding("sessions", WARN, f"{len(left)} may be open at their providers, of {runs}: run `qorch recover`")


def check_mode(database: Path, mode: int) -> Finding:
    """Whether other users of the machine can read the file."""
    if mode & 0o077:
        return Finding("database mode", WARN, f"{mode:04o}: others can read what you ran; chmod 600 {database}")
    return Finding("database mode", OK, f"{mode:04o}")


def check_results(figures: CacheStatistics, room: StoreRoom) -> Finding:
    """The size of stored results, and whether the disk has room for free ones up to their bound."""
    from qorch.cli.cache import describe_bound
    from qorch.config import read_config

    keep_bytes = read_config().keep_free_bytes
    paid_bytes = figures.bytes - figures.free_bytes
    text = (
        f"{format_bytes(figures.free_bytes)} of free results, of {describe_bound(keep_bytes)};"
        f" {format_bytes(paid_bytes)} of paid ones; the file takes {format_bytes(room.file_bytes)}"
        f" ({format_bytes(room.unused_bytes)} unused), and {format_bytes(room.disk_bytes)} are left on its disk"
    )
    to_come = None if keep_bytes is None else keep_bytes - figures.free_bytes
    if to_come is not None and to_come > room.disk_bytes + room.unused_bytes:
        return Finding("results", WARN, f"{text}: less than the bound allows; set QORCH_KEEP_FREE to less")
    return Finding("results", OK, text)


def _check_new_database(database: Path) -> Finding:
    folder = _existing_parent(database)
    if not os.access(folder, os.W_OK):
        return Finding("database", FAIL, f"{database} is not there and {folder} is not writable; give a path with --db")
    return Finding("database", OK, f"{database} is not there yet; the first run makes it")


def _existing_parent(path: Path) -> Path:
    return next(parent for parent in path.parents if _is_folder(parent))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # in a folder that we may not look into
        return False
