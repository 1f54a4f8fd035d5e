"""The worker's own side: frames come in on file descriptor 0 and go out on 1, until its parent ends.

A worker's program is a module with ``run_worker(make_executor)``, started as ``python -m MODULE PARENT_PID ARGUMENT…``.
"""

import contextlib
import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import BinaryIO, Protocol

from qorch.model.circuit import GateList
from qorch.model.measurement import BlockResult, RowBlock
from qorch.ports.clock import WallClock
from qorch_providers.answers import encode_answer
from qorch_providers.frames import PREFIX, Buffer, Failure, Ready, RunJob, bytes_after, decode_frame, encode_frame
from qorch_providers.workers.requests import read_blocks, read_gates

_PR_SET_PDEATHSIG = 1


class BlockExecutor(Protocol):
    """What a worker is started for."""

    def execute(self, blocks: list[RowBlock], *, threads: int) -> list[BlockResult]:
        """One result per block, in order."""
        ...


def end_with_parent(parent_pid: int) -> None:
    """Ask the kernel to kill this process when its parent ends; elsewhere the end of input has to do.

    A simulator cannot be interrupted, so only a signal that needs no interpreter helps while it computes.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        sys.exit("the parent is gone")


def take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The pipes to the parent; what anything prints from now on goes to the standard error stream."""
    source = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return source, sink


def read_frame(source: BinaryIO) -> bytes | None:
    """The next whole frame; None at the end of input."""
    prefix = source.read(PREFIX.size)
    if len(prefix) < PREFIX.size:
        return None
    length = bytes_after(prefix)
    rest = source.read(length)
    return prefix + rest if len(rest) == length else None


def _write(sink: BinaryIO, frame: list[Buffer]) -> None:
    sink.writelines(frame)
    sink.flush()


def serve(source: BinaryIO, sink: BinaryIO, *, executor: BlockExecutor) -> None:
    """Execute jobs until the input ends."""
    clock = WallClock()
    known: dict[bytes, GateList] = {}
    _write(sink, encode_frame(Ready()))
    while (frame := read_frame(source)) is not None:
        started_ns = clock.monotonic_ns()
        job, arrays = decode_frame(frame)
        if not isinstance(job, RunJob):
            raise SystemExit(f"expected a job, found {type(job).__name__}")
        try:
            remaining = iter(arrays)
            known |= read_gates(job, remaining)
            blocks = read_blocks(job, remaining, gates=known)
            results = executor.execute(blocks, threads=job.threads)
        except Exception as error:
            traceback.print_exc()
            answer = encode_frame(Failure(job.job_id, f"{type(error).__name__}: {error}"))
        else:
            answer = encode_answer(job.job_id, results, started_ns=started_ns, ended_ns=clock.monotonic_ns())
        _write(sink, answer)
        for digest in job.forget:
            known.pop(digest, None)


def run_worker(make_executor: Callable[[Sequence[str]], BlockExecutor]) -> None:
    """Run as a program, with the arguments of the command line after the parent's process id."""
    # Ctrl-C goes to the whole group of processes; what to do about it is the parent's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(int(sys.argv[1]))
    source, sink = take_pipes()
    with contextlib.suppress(BrokenPipeError):  # the parent went away while this worker computed
        serve(source, sink, executor=make_executor(sys.argv[2:]))
