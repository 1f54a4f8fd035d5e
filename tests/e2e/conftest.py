"""The command line as a process of its own, each test with a database of its own."""

import json
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from forked import Started, start_python

SMALL = ("--limit", "40", "--epochs", "1", "--batch-size", "16")
TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """Standard output as the one JSON document that it must be."""
        document: dict[str, Any] = json.loads(self.out)
        return document

    @property
    def error(self) -> str:
        """Standard error, which must be one line that starts with ``error: ``."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: "), self.err
        return lines[0].removeprefix("error: ")


@dataclass(frozen=True)
class CommandLine:
    """Runs ``qorch`` in a folder, on the database there."""

    folder: Path

    @property
    def small(self) -> tuple[str, ...]:
        """Options of a training of two steps."""
        return SMALL

    @property
    def program(self) -> str:
        """How a shell starts the command."""
        return f"{shlex.quote(sys.executable)} -m qorch.cli.main"

    @property
    def database(self) -> Path:
        """The database that commands use unless they say otherwise."""
        return self.folder / "q.db"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every command."""
        return os.environ | {"QORCH_DB": str(self.database), "COLUMNS": "120"}

    def __call__(self, *arguments: str) -> Outcome:
        """Run a command to its end."""
        return self._end_of(self.start(*arguments))

    def start(self, *arguments: str) -> Started:
        """Start a command in a process group of its own, as a terminal would, in a fork that need not load torch."""
        return start_python("qorch.cli.main", arguments, cwd=self.folder, environment=self.environment)

    def run_afresh(self, *arguments: str) -> Outcome:
        """Run a command to its end in an interpreter that loads everything itself, as a user's does."""
        return self._run(sys.executable, "-m", "qorch.cli.main", *arguments)

    def run_python(self, code: str) -> Outcome:
        """Run a script file that holds this code."""
        return self._end_of(start_python(self._write(code), cwd=self.folder, environment=self.environment))

    def run_python_afresh(self, code: str, *arguments: str) -> Outcome:
        """Run it in an interpreter of its own, which gets these arguments."""
        return self._run(sys.executable, *arguments, self._write(code))

    def run_shell(self, script: str) -> Outcome:
        """Run lines of a POSIX shell."""
        return self._run("/bin/sh", "-c", script)

    def _write(self, code: str) -> str:
        script = self.folder / "script.py"
        script.write_text(code)
        return str(script)

    def _end_of(self, process: Started) -> Outcome:
        try:
            out, err = process.communicate(timeout=TIMEOUT_SECONDS)
        finally:
            process.kill()
        return Outcome(process.wait(), out, err)

    def _run(self, *words: str) -> Outcome:
        done = subprocess.run(
            words, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS
        )
        return Outcome(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class TypedHere(CommandLine):
    """Runs commands in this very process, which saves the seconds of loading torch again and again."""

    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Outcome:
        """Run a command to its end."""
        from qorch.cli.main import run_command

        code = run_command(arguments)
        out, err = self.capture.readouterr()
        return Outcome(code, out, err)


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> TypedHere:
    """The command line in this process, on an empty database."""
    command = TypedHere(tmp_path, capfd)
    monkeypatch.setenv("QORCH_DB", str(command.database))
    monkeypatch.chdir(tmp_path)
    return command


@pytest.fixture
def qorch(tmp_path: Path) -> CommandLine:
    """The command line on an empty database."""
    return CommandLine(tmp_path)


@pytest.fixture(scope="module")
def command_line(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The command line on a database that the tests of a module share."""
    return CommandLine(tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="module")
def trained(command_line: CommandLine) -> CommandLine:
    """The command line on a database with one finished run, which tests must only read."""
    outcome = command_line("train", "digits", *SMALL)
    assert outcome.code == 0, outcome.err
    return command_line


@pytest.fixture
def running(qorch: CommandLine) -> Iterator["Callable[..., subprocess.Popen[str]]"]:
    """Start trainings that are too long to end by themselves; what is left of them is killed afterwards."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> "subprocess.Popen[str]":
        long = ("--limit", "40", "--epochs", "500", "--batch-size", "16")
        process = qorch.start("train", "digits", *long, *arguments)
        started.append(process)
        assert process.stderr is not None
        said = process.stderr.readline()
        while said.startswith("compiling"):  # kernels, where nothing has used them on this machine
            said = process.stderr.readline()
        assert said.startswith("step 1/"), said
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def serve() -> Iterator[Callable[[type[BaseHTTPRequestHandler]], str]]:
    """Starts a server on loopback for requests of that handler, and gives its URL; all end with the test."""
    with ExitStack() as stack:
        yield lambda handler: stack.enter_context(_served(handler))


@contextmanager
def _served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
