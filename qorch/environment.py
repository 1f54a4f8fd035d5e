"""Describes the environment in which a run is started: versions, arguments, and the commit of the program."""

import functools
import os
import platform
import re
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "amazon-braket-sdk",
    "cirq-core",
    "numba",
    "numpy",
    "pennylane",
    "qiskit",
    "qiskit-aer",
    "qiskit-ibm-runtime",
    "qiskit-ionq",
    "scikit-learn",
    "torch",
)
"""Packages that can change a run's results or speed; those that are not installed are recorded as null."""

GIT_SECONDS = 0.5
HIDDEN = "***"
_WORDS = r"(?:key|token|secret|passw|pwd|credential|auth(?!ors?(?![a-z]))|bearer)"
_SECRET = re.compile(_WORDS, re.IGNORECASE)
# Up to the last @: a password may have any letter.
_USER_IN_URL = re.compile(r"(?<=://)\S+(?=@)")
# Within one argument, such as an address with a query, a header, or JSON.
_ASSIGNED = re.compile(rf"({_WORDS}[\w-]*[\"']?\s*[=:]\s*[\"']?(?:(?:bearer|basic)\s+)?)[^\s&\"',;}}]+", re.IGNORECASE)


@functools.cache
def begin_describing() -> "Future[dict[str, Any]]":
    """Describe the environment in a thread, once per process, since the program that runs is the one that was loaded.

    Takes about 20 ms, half of it waiting for git, while the caller opens its backend.
    """
    executor = ThreadPoolExecutor(1, thread_name_prefix="qorch-environment")
    described = executor.submit(_describe)
    executor.shutdown(wait=False)
    return described


def describe_environment() -> dict[str, Any]:
    """The environment of this process as a JSON document; empty if that takes more than a second."""
    try:
        return begin_describing().result(timeout=2 * GIT_SECONDS)
    except TimeoutError:
        return {}


def _describe() -> dict[str, Any]:
    folder = _program_folder()
    return {
        "qorch": _version("qorch"),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "packages": {name: _version(name) for name in PACKAGES},
        "argv": hide_secrets(sys.argv),
        "git": None if folder is None else read_commit(folder),
    }


def _version(package: str) -> str | None:
    try:
        text = metadata.distribution(package).read_text("METADATA") or ""
    except metadata.PackageNotFoundError:
        return None
    # The whole file takes a parser of e-mails some milliseconds.
    found = re.search(r"^Version: *(\S+)", text, re.MULTILINE)
    return found[1] if found else None


def hide_secrets(arguments: list[str]) -> list[str]:
    """The arguments, without the values of what is named like a secret, and the users of URLs."""
    shown: list[str] = []
    hides_next = False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        is_secret = _SECRET.search(name) is not None and (argument.startswith("-") or bool(equals))
        if hides_next and not argument.startswith("-"):
            shown.append(HIDDEN)
        elif is_secret and equals:
            shown.append(f"{name}={HIDDEN}")
        else:
            shown.append(_ASSIGNED.sub(rf"\1{HIDDEN}", _USER_IN_URL.sub(HIDDEN, argument)))
        hides_next = is_secret and not equals
    return shown


def _program_folder() -> Path | None:
    """The folder of the program's file; in an interactive session the working directory, None if that was deleted."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    try:
        return Path(file).resolve().parent if file else Path.cwd()
    except OSError:
        return None


def read_commit(folder: Path) -> dict[str, Any] | None:
    """The commit of the repository that a folder is in, and whether tracked files were changed since.

    None without a repository or without git, or if git takes longer than ``GIT_SECONDS``.
    """
    command = ("git", "-C", str(folder), "status", "--porcelain=v2", "--branch", "--untracked-files=no")
    # Without the optional locks, looking changes nothing in the repository.
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, timeout=GIT_SECONDS, check=False, text=True,
            stdin=subprocess.DEVNULL, errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), None)
    if done.returncode or commit is None:
        return None
    return {"commit": commit, "is_dirty": any(not line.startswith("#") for line in lines)}
