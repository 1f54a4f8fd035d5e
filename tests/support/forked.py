"""Python programs in forks of one process that has loaded torch, qiskit and scikit-learn already.

A `qorch train` spends ten seconds of CPU on loading modules, and in a fork none. Everything else is as in any process:
its id, session, streams, signals, working folder, environment and exit code. Only the seed of Python's hashes is that
of the other forks. ``python forked.py FD`` is the server, which forks for each request that comes through that socket.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, NoReturn, TypeAlias

LOADED = (
    "alembic.command", "httpx", "httpx_aiohttp", "pydantic.json_schema", "qiskit.circuit",
    "qorch.torch", "qorch.wiring", "qorch.workloads.digits", "qorch_jobs_db.sqlite", "qorch_providers.aer",
    "qorch_providers.ionq", "qorch_providers.local", "rich.console", "sklearn.datasets", "sklearn.decomposition",
    "sklearn.linear_model", "sklearn.model_selection", "sqlalchemy.dialects.sqlite", "torch", "torch._dynamo",
    "typer.main",
)  # fmt: skip
"""What trainings load; `qorch.cli.main` is not among them, as it becomes the main module."""
_NUMBER = struct.Struct("q")
_LONGEST_REQUEST = 1 << 18


class ForkedProcess:
    """A program that runs in a fork, with what tests use of ``subprocess.Popen[str]``."""

    def __init__(self, stdin: int | None, stdout: int, stderr: int, status: int) -> None:
        """Wait until it has begun; takes the ends of its streams, and the pipe that says its id and how it ends."""
        self.stdin: IO[str] | None = None if stdin is None else os.fdopen(stdin, "w")
        self.stdout: IO[str] = os.fdopen(stdout)
        self.stderr: IO[str] = os.fdopen(stderr)
        self.returncode: int | None = None
        self._status = status
        self._said: dict[IO[str], str] = {}
        self._readers: list[threading.Thread] = []
        self.pid = self._read_number()

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._wait_until(time.monotonic())

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it is over. Raises subprocess.TimeoutExpired."""
        code = self._wait_until(None if timeout is None else time.monotonic() + timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        return code

    def communicate(self, text: str | None = None, timeout: float | None = None) -> tuple[str, str]:
        """Send the text; what it says from now on, once it is over. Raises subprocess.TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if not self._readers:
            streams = [stream for stream in (self.stdout, self.stderr) if not stream.closed]
            self._readers = [threading.Thread(target=self._read, args=(stream,), daemon=True) for stream in streams]
            for reader in self._readers:
                reader.start()
            if self.stdin is not None:
                self._write(self.stdin, text or "")
        for reader in self._readers:
            reader.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        self.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        return self._said.get(self.stdout, ""), self._said.get(self.stderr, "")

    def send_signal(self, number: int) -> None:
        """Send it to the process, unless it is over."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def _write(self, stream: IO[str], text: str) -> None:
        with suppress(BrokenPipeError):
            stream.write(text)
            stream.flush()
        with suppress(BrokenPipeError):
            stream.close()

    def _read(self, stream: IO[str]) -> None:
        with stream:
            self._said[stream] = stream.read()

    def _wait_until(self, deadline: float | None) -> int | None:
        if self.returncode is None:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([self._status], [], [], left)[0]:
                return None
            self.returncode = self._read_number()
            os.close(self._status)
        return self.returncode

    def _read_number(self) -> int:
        found = os.read(self._status, _NUMBER.size)
        if not found:
            raise RuntimeError("the server of forks is gone")
        return int(_NUMBER.unpack(found)[0])


Started: TypeAlias = "ForkedProcess | subprocess.Popen[str]"


class ForkServer:
    """The process that has loaded everything."""

    def __init__(self) -> None:
        """Start it, and wait until it has loaded everything; it ends with this process, or when it is closed."""
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        if not self._socket.recv(1):
            raise RuntimeError("the server of forks did not start; standard error says why")

    def start(
        self, program: str, arguments: Sequence[str], *, cwd: str | Path, environment: Mapping[str, str], stdin: int
    ) -> ForkedProcess:
        """See ``start_python``."""
        request = {"program": program, "arguments": [*arguments], "cwd": str(cwd), "environment": {**environment}}
        (stdout, its_out), (stderr, its_err), (status, its_status) = (os.pipe() for _ in range(3))
        its_in, own_in = os.pipe() if stdin == subprocess.PIPE else (os.open(os.devnull, os.O_RDONLY), None)
        theirs = [its_in, its_out, its_err, its_status]
        socket.send_fds(self._socket, [json.dumps(request).encode()], theirs)
        for descriptor in theirs:
            os.close(descriptor)
        return ForkedProcess(own_in, stdout, stderr, status)

    def close(self) -> None:
        """End the server; what it has started goes on."""
        self._socket.close()
        self._process.wait(timeout=60)


@cache
def fork_server() -> ForkServer:
    """The server of this process, which starts when it is wanted for the first time."""
    server = ForkServer()
    atexit.register(server.close)
    return server


def start_python(
    program: str,
    arguments: Sequence[str] = (),
    *,
    cwd: str | Path,
    environment: Mapping[str, str],
    stdin: int = subprocess.DEVNULL,
) -> Started:
    """Start a module, or a script whose name ends in ``.py``, in a session of its own: in a fork, if one can be had.

    ``stdin``: ``subprocess.PIPE`` or ``DEVNULL``. Its other streams are pipes.
    """
    if sys.platform == "linux":
        return fork_server().start(program, arguments, cwd=cwd, environment=environment, stdin=stdin)
    words = [sys.executable, *([] if program.endswith(".py") else ["-m"]), program, *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        words, cwd=cwd, env=environment, stdin=stdin, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )


def serve(requests: socket.socket) -> None:
    """Load everything, and fork for every request until there is no one left to ask."""
    for module in LOADED:
        with suppress(ImportError):
            importlib.import_module(module)
    with suppress(ImportError):
        importlib.import_module("numba").njit(lambda: 0)()  # the compiler loads itself with the first function
    gc.collect()
    gc.freeze()  # a collection in a fork would copy all that is loaded
    requests.send(b".")
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, _LONGEST_REQUEST, 4)
        _reap_supervisors()
        if not request:
            return
        if os.fork() == 0:
            requests.close()
            _supervise(json.loads(request), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _reap_supervisors() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _supervise(request: dict[str, Any], descriptors: list[int]) -> NoReturn:
    """Fork once more, and say the child's id, and at its end its exit code."""
    *streams, status = descriptors
    child = os.fork()
    if child == 0:
        os.close(status)
        _become(request, streams)
    for stream in streams:
        os.close(stream)
    with suppress(BrokenPipeError):
        os.write(status, _NUMBER.pack(child))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.write(status, _NUMBER.pack(code))
    os._exit(0)


def _become(request: dict[str, Any], streams: list[int]) -> NoReturn:
    """Run the program; what it raises ends this process as it ends any other."""
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    # Python's own know what the descriptors were before.
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False, errors="backslashreplace", buffering=1)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    tempfile.tempdir = None  # that of this environment
    program = request["program"]
    sys.argv = [program, *request["arguments"]]
    code: object = 0
    try:
        if program.endswith(".py"):
            sys.path[0] = str(Path(program).resolve().parent)
            runpy.run_path(program, run_name="__main__")
        else:
            sys.path[0] = request["cwd"]
            runpy.run_module(program, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    if code is None or isinstance(code, int):
        _leave(code or 0)
    sys.exit(code)


def _leave(code: int) -> NoReturn:
    """End as an interpreter does, but for taking the loaded modules apart, which would copy all their memory first."""
    threading._shutdown()
    atexit._run_exitfuncs()
    gc.collect()  # what complains when it was not closed does so now
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code & 0xFF)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
