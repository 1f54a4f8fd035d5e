"""With what a run was started: versions, arguments without secrets, and the commit."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import qorch
from qorch import environment
from qorch.environment import HIDDEN, describe_environment, hide_secrets, read_commit
from qorch.ports.clock import WallClock
from qorch.testing.fakes.backend import FakeBackend
from qorch.testing.fakes.store import MemoryStore

GIT = shutil.which("git")


def make_repository(folder: Path) -> Path:
    """A repository with one commit of one file."""
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
    (folder / "train.py").write_text("1\n")
    for command in (("init", "-q"), ("add", "train.py"), (*identity, "commit", "-qm", "first")):
        subprocess.run((GIT or "git", "-C", str(folder), *command), check=True, timeout=30)
    return folder


@pytest.mark.skipif(GIT is None, reason="there is no git here")
def test_the_commit_is_that_of_the_programs_folder(tmp_path: Path) -> None:
    """Also from a folder within; it is dirty once a file that git knows has changed, not for a new one."""
    folder = make_repository(tmp_path)
    (folder / "within").mkdir()
    (folder / "new.txt").write_text("x")
    clean = read_commit(folder / "within")
    assert clean is not None
    assert len(clean["commit"]) == 40
    assert clean["is_dirty"] is False
    (folder / "train.py").write_text("2\n")
    assert read_commit(folder) == {**clean, "is_dirty": True}


def test_without_a_repository_or_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is raised."""
    assert read_commit(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_commit(tmp_path) is None


def test_a_git_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second, as it may be a folder on a dead server."""
    slow = tmp_path / "git"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    started = time.perf_counter()
    assert read_commit(tmp_path) is None
    assert time.perf_counter() - started < 10 * environment.GIT_SECONDS


def test_secrets_among_the_arguments_are_hidden() -> None:
    """Values of options that are named like secrets, assignments, and users in addresses; nothing else."""
    given = ["train.py", "--api-key", "abc", "--token=abc", "IONQ_API_KEY=abc", "--url", "http://me:abc@host/x", "--lr"]
    shown = hide_secrets([*given, "0.1"])
    assert shown == [
        "train.py", "--api-key", HIDDEN, f"--token={HIDDEN}", f"IONQ_API_KEY={HIDDEN}", "--url",
        f"http://{HIDDEN}@host/x", "--lr", "0.1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("https://host/x?page=1&token=abc&y=2", f"https://host/x?page=1&token={HIDDEN}&y=2"),
        ("--url=https://host/?api_key=abc", f"--url=https://host/?api_key={HIDDEN}"),
        ("postgres://me:a/b@c@host/db", f"postgres://{HIDDEN}@host/db"),
        ("Authorization: Bearer abc.d-e", f"Authorization: Bearer {HIDDEN}"),
        ('{"api_key": "abc", "lr": 0.1}', f'{{"api_key": "{HIDDEN}", "lr": 0.1}}'),
        ("--authors=me", "--authors=me"),
        ("data:train", "data:train"),
    ],
)
def test_secrets_within_an_argument_are_hidden(given: str, shown: str) -> None:
    """In the query of an address, a header and JSON; a password may have any letter."""
    assert hide_secrets([given]) == [shown]


def test_a_run_starts_where_the_working_directory_was_deleted(tmp_path: Path) -> None:
    """In an interactive session on a machine whose scratch folders are swept: only the commit is unknown."""
    code = """
import os, sys
os.chdir(sys.stdin.readline().strip())
os.rmdir(os.getcwd())
from qorch.environment import describe_environment
found = describe_environment()
print(found["python"] is not None, found["git"])
"""
    folder = tmp_path / "swept"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code], input=f"{folder}\n", capture_output=True, text=True, check=False
    )
    assert done.stdout == "True None\n", done.stderr


def test_a_run_records_its_environment() -> None:
    """Versions of qorch, Python and packages, null for what is not there; a resumed run keeps those it began with."""
    store = MemoryStore(WallClock())
    with qorch.start_run("noted", backend=FakeBackend(), db=store):
        pass
    [record] = store.runs()
    found = json.loads(record.environment)
    assert found == json.loads(json.dumps(describe_environment()))
    assert {"qorch", "python", "platform", "packages", "argv", "git"} == found.keys()
    assert {"torch", "numpy", "qiskit", "numba"} <= found["packages"].keys()
    with qorch.start_run("noted", backend=FakeBackend(), db=store, resume=True):
        pass
    assert store.runs()[0].environment == record.environment
