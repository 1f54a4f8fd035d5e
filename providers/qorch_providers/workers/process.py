"""One worker process as the event loop sees it: started, spoken to, and ended without leaving anything behind."""

import asyncio
import asyncio.subprocess
import contextlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qorch.errors import BackendError, InvalidResultError, WorkerLostError
from qorch.model.job import JobRequest, RawResult
from qorch_providers.frames import PREFIX, Answer, Buffer, Failure, Message, Ready, bytes_after, decode_frame
from qorch_providers.workers.requests import KnownGates, encode_request

STREAM_LIMIT_BYTES = 1 << 20
STDERR_TAIL_BYTES = 4_096
_LOST = (OSError, EOFError, InvalidResultError)


@dataclass(frozen=True)
class WorkerProgram:
    """What the workers of a backend run: ``python -m module PARENT_PID argument…`` (see ``serving.run_worker``).

    ``name``: of the backend, for messages. ``threads_min_qubits``: from so many qubits on, a job that runs alone gets
    all cores.
    """

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    threads_min_qubits: int = 0


def worker_environment(base: Mapping[str, str], *, threads: int) -> dict[str, str]:
    """The environment of a worker: it imports from where this process does, and its threads do not spin."""
    paths = [path or os.getcwd() for path in sys.path if os.pathsep not in path]  # noqa: PTH109 as sys.path means it
    return {
        **base,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONSAFEPATH": "1",
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        # Numba divides its loops by the number of threads; one in every worker, so that no bit depends on the machine.
        "NUMBA_NUM_THREADS": "1",
    }


LAST_BREATH_SECONDS = 0.5
"""How long a worker whose pipe has ended may take to end itself."""


class WorkerProcess:
    """A started worker. One job at a time; any method may raise WorkerLostError after it has died."""

    def __init__(
        self,
        program: WorkerProgram,
        transport: asyncio.SubprocessTransport,
        protocol: asyncio.subprocess.SubprocessStreamProtocol,
    ) -> None:
        """Use ``start_worker``."""
        self._name = program.name
        self._transport = transport
        self._process = asyncio.subprocess.Process(transport, protocol, asyncio.get_running_loop())
        self._known = KnownGates()
        self._tail = bytearray()
        self._draining = asyncio.create_task(self._drain())

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it was not seen to end."""
        return self._process.returncode is None

    async def wait_ready(self) -> None:
        """Wait until it has imported everything. Raises WorkerLostError if it ends instead."""
        try:
            message, _ = await self._receive()
        except _LOST as error:
            raise await self._lost("while it started") from error
        if not isinstance(message, Ready):
            raise await self._lost(f"with an unexpected {type(message).__name__}")

    async def run(self, request: JobRequest, *, threads: int) -> RawResult:
        """Execute a job. Raises WorkerLostError if the worker dies, BackendError if the job is refused."""
        try:
            await self._send(encode_request(request, known=self._known, threads=threads))
            message, content = await self._receive()
        except _LOST as error:
            raise await self._lost(f"while it executed job {request.job_id}") from error
        if isinstance(message, Failure):
            raise BackendError(f"job {request.job_id} failed in its worker: {message.message}")
        if not isinstance(message, Answer):
            raise await self._lost(f"with an unexpected {type(message).__name__}")
        return RawResult(content, message.started_ns, message.ended_ns)

    def kill(self) -> None:
        """End it at once; a ``run`` that waits for its answer raises WorkerLostError."""
        with contextlib.suppress(ProcessLookupError):
            self._transport.kill()

    async def end(self) -> None:
        """Kill, reap and close everything."""
        self.kill()
        await self._process.wait()
        self._draining.cancel()
        await asyncio.gather(self._draining, return_exceptions=True)
        self._transport.close()
        if self._process.stdin is not None:
            self._process.stdin.close()
            with contextlib.suppress(OSError):
                await self._process.stdin.wait_closed()

    def close_in_child(self) -> None:
        """In a forked child of this process: close the inherited ends, which would keep the worker alive."""
        for number in (0, 1, 2):
            pipe: Any = self._transport.get_pipe_transport(number)
            file = None if pipe is None else pipe.get_extra_info("pipe")
            if file is not None:
                with contextlib.suppress(OSError):
                    file.close()

    async def _send(self, pieces: list[Buffer]) -> None:
        sink = self._process.stdin
        if sink is None:
            raise EOFError("the worker has no input")
        for piece in pieces:
            view = memoryview(piece)
            for start in range(0, len(view), STREAM_LIMIT_BYTES):
                sink.write(view[start : start + STREAM_LIMIT_BYTES])
                await sink.drain()

    async def _receive(self) -> tuple[Message, bytes]:
        source = self._process.stdout
        if source is None:
            raise EOFError("the worker has no output")
        prefix = await source.readexactly(PREFIX.size)
        left = bytes_after(prefix)
        pieces = [prefix]
        while left > 0:
            pieces.append(await source.readexactly(min(left, STREAM_LIMIT_BYTES)))
            left -= len(pieces[-1])
        content = b"".join(pieces)
        message, _ = decode_frame(content)
        return message, content

    async def _drain(self) -> None:
        source = self._process.stderr
        while source is not None and (piece := await source.read(STDERR_TAIL_BYTES)):
            self._tail += piece
            del self._tail[:-STDERR_TAIL_BYTES]

    async def _lost(self, moment: str) -> WorkerLostError:
        # A worker that has just died is reaped by the loop's own watcher: killing it now would take its status away.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), timeout=LAST_BREATH_SECONDS)
        self.kill()
        status = await self._process.wait()
        await asyncio.wait({self._draining}, timeout=0.5)
        lines = self._tail.decode(errors="replace").strip().splitlines()
        said = f"; it said: {' | '.join(lines[-3:])}" if lines else ""
        return WorkerLostError(f"{self._name} worker {self.pid} ended ({_how(status)}) {moment}{said}")


def _how(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit code {status}"


async def start_worker(program: WorkerProgram, *, threads: int) -> WorkerProcess:
    """Start a worker of this interpreter. Raises BackendError if there is none to start."""
    if not sys.executable:
        raise BackendError(
            f"{program.name} needs a Python interpreter to start its workers, but sys.executable is empty"
        )
    loop = asyncio.get_running_loop()
    command = (sys.executable, "-m", program.module, str(os.getpid()), *program.arguments)
    try:
        transport, protocol = await loop.subprocess_exec(
            lambda: asyncio.subprocess.SubprocessStreamProtocol(limit=STREAM_LIMIT_BYTES, loop=loop),
            *command,
            env=worker_environment(os.environ, threads=threads),
        )
    except OSError as error:
        raise BackendError(f"cannot start a worker of {program.name} with {sys.executable}: {error}") from error
    return WorkerProcess(program, transport, protocol)
