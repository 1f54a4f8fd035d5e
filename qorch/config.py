"""The only reader of environment variables."""

import difflib
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import platformdirs

from qorch.errors import UsageError

LATEST = "latest"
"""In place of a run's name or id: the newest run."""
_PREFIX = "QORCH_"
CONFIG = "QORCH_CONFIG"
REHEARSAL = "QORCH_REHEARSAL"
KNOWN_VARIABLES = (
    "QORCH_BRAKET_S3",
    CONFIG,
    "QORCH_DATA_DIR",
    "QORCH_DB",
    "QORCH_DEBUG",
    "QORCH_KEEP_FREE",
    "QORCH_KERNEL_CACHE",
    "QORCH_LOG_FILE",
    "QORCH_OBSERVERS",
    REHEARSAL,
    "QORCH_WORKERS",
)
_log = logging.getLogger("qorch")
KEEP_FREE = "QORCH_KEEP_FREE"
KEEP_FREE_BYTES = 2_000_000_000
UNLIMITED = "unlimited"
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([KMGT]?)(I?)B?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Config:
    """Settings that do not belong to one run.

    ``db``: URL or path of the database (``QORCH_DB``); ``workers``: worker processes of local backends
    (``QORCH_WORKERS``), None for one per available core; ``data_dir``: the folder of the workloads' files
    (``QORCH_DATA_DIR``); ``environment``: what backends may look up in it, their keys and addresses;
    ``keep_free_bytes``: of free results that the database keeps (``QORCH_KEEP_FREE``), None for all. ``file``: the
    configuration file (``QORCH_CONFIG``), which must exist if ``is_file_named``. ``is_rehearsal``: this process belongs
    to a quote or dry run, and sends nothing (``QORCH_REHEARSAL``). ``observers``: the names of those that are told of
    every run (``QORCH_OBSERVERS``); ``log_file``: where the log of JSON lines goes (``QORCH_LOG_FILE``).
    """

    db: str
    workers: int | None = None
    data_dir: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    keep_free_bytes: int | None = KEEP_FREE_BYTES
    file: Path = field(default_factory=lambda: default_config_file())
    is_file_named: bool = False
    is_rehearsal: bool = False
    observers: tuple[str, ...] = ()
    log_file: str | None = None


def calm_openmp() -> None:
    """Let OpenMP's threads sleep between two loops, unless the user has said otherwise.

    By default torch's spin for a while after every operation, and take a third of the speed of whatever computes next.
    Takes effect only before torch is loaded.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def default_database() -> str:
    """The database in the user's data folder."""
    return f"sqlite:///{Path(platformdirs.user_data_dir('qorch', appauthor=False)) / 'qorch.db'}"


def default_config_file() -> Path:
    """The configuration file in the user's config folder; there need be none."""
    return Path(platformdirs.user_config_dir("qorch", appauthor=False)) / "config.toml"


def read_config(environment: Mapping[str, str] | None = None) -> Config:
    """The configuration from the environment. Raises UsageError for an invalid value.

    A variable that begins with QORCH_ and is not one of qorch's is named in a warning, once per process.
    """
    env = os.environ if environment is None else environment
    for name in sorted(env):
        if name.startswith(_PREFIX) and name not in KNOWN_VARIABLES:
            _warn_once(name)
    data_dir = env.get("QORCH_DATA_DIR")
    return Config(
        db=env.get("QORCH_DB") or default_database(),
        workers=_read_count(env, "QORCH_WORKERS"),
        data_dir=Path(data_dir) if data_dir else None,
        environment=env,
        keep_free_bytes=_read_keep_free(env),
        file=Path(env[CONFIG]) if env.get(CONFIG) else default_config_file(),
        is_file_named=bool(env.get(CONFIG)),
        observers=tuple(name.strip() for name in env.get("QORCH_OBSERVERS", "").split(",") if name.strip()),
        log_file=env.get("QORCH_LOG_FILE") or None,
        is_rehearsal=bool(env.get(REHEARSAL)),
    )


@cache
def _warn_once(name: str) -> None:
    _log.warning("%s is set, and takes no effect: %s", name, _why_ignored(name))


def _why_ignored(name: str) -> str:
    known = [variable.removeprefix(_PREFIX) for variable in KNOWN_VARIABLES]
    close = difflib.get_close_matches(name.removeprefix(_PREFIX), known, n=1)
    meant = (
        f"; did you mean {_PREFIX}{close[0]}?" if close else f"; those that it reads are {', '.join(KNOWN_VARIABLES)}"
    )
    return f"qorch reads no variable of that name{meant}"


def wants_debug(environment: Mapping[str, str] | None = None) -> bool:
    """Whether ``QORCH_DEBUG`` asks for tracebacks: set, and neither empty nor 0."""
    env = os.environ if environment is None else environment
    return env.get("QORCH_DEBUG", "") not in {"", "0"}


def _read_count(env: Mapping[str, str], name: str) -> int | None:
    text = env.get(name)
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"{name} is '{text}'; it must be a whole number of at least 1")
    return int(text)


def _read_keep_free(env: Mapping[str, str]) -> int | None:
    text = env.get(KEEP_FREE, "").strip()
    if not text:
        return KEEP_FREE_BYTES
    if text.lower() == UNLIMITED:
        return None
    size_bytes = parse_size(text)
    if size_bytes is None:
        raise UsageError(
            f"{KEEP_FREE} is '{text}'; it must be a size such as 2GB, 100MB or 0, or '{UNLIMITED}' to keep everything"
        )
    return size_bytes


def parse_size(text: str) -> int | None:
    """The bytes in ``"2GB"``, ``"100MB"``, ``"1.5 GiB"`` or ``"0"``; None for anything else."""
    match = _SIZE.fullmatch(text)
    if match is None:
        return None
    unit, is_binary = match[2].upper(), bool(match[3])
    if is_binary and not unit:
        return None
    return int(float(match[1]) * (_BINARY_UNITS if is_binary else _UNITS)[unit])


def format_size(size_bytes: int) -> str:
    """A size as QORCH_KEEP_FREE takes it, such as ``2GB`` or ``1.5MB``."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.4g}{unit}"
    return str(size_bytes)
