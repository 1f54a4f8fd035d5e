"""The worker process: `python -m qorch_providers.aer.worker PARENT_PID [NOISE DIGEST]`.

Frames come in on file descriptor 0 and go out on 1.

It is a process of its own because Aer holds the interpreter's lock for a whole run. It ends with its parent.
"""

import contextlib
import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import BinaryIO

from qorch.model.arrays import AnyArray
from qorch.model.circuit import GateList
from qorch.model.measurement import BlockResult
from qorch.ports.clock import WallClock
from qorch_providers.aer.frames import (
    PREFIX,
    Answer,
    Failure,
    Message,
    Ready,
    RunJob,
    decode_frame,
    encode_frame,
    read_prefix,
)
from qorch_providers.aer.requests import read_blocks, read_gates

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent_pid: int) -> None:
    """Ask the kernel to kill this process when its parent ends; elsewhere the end of input has to do.

    Aer cannot be interrupted, so only a signal that needs no interpreter helps while it computes.
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
    length = sum(read_prefix(prefix))
    rest = source.read(length)
    return prefix + rest if len(rest) == length else None


def write_frame(sink: BinaryIO, message: Message, arrays: Sequence[AnyArray] = ()) -> None:
    """Send one frame."""
    sink.writelines(encode_frame(message, arrays))
    sink.flush()


def answer_of(
    job: RunJob, results: list[BlockResult], *, started_ns: int, ended_ns: int
) -> tuple[Answer, list[AnyArray]]:
    """The answer's message and arrays."""
    kinds, arrays = [], []
    for result in results:
        if result.counts is not None:
            kinds.append("counts")
            arrays += [result.counts.outcomes, result.counts.counts, result.counts.offsets]
        elif result.values is not None:
            kinds.append("values")
            arrays.append(result.values)
    return Answer(job.job_id, tuple(kinds), started_ns, ended_ns), arrays


def serve(source: BinaryIO, sink: BinaryIO, *, noise: str | None, noise_digest: bytes) -> None:
    """Execute jobs until the input ends."""
    from qorch_providers.aer.executor import Executor
    from qorch_providers.aer.noise import Noise

    clock = WallClock()
    executor = Executor(None if noise is None else Noise(noise, digest=noise_digest))
    known: dict[bytes, GateList] = {}
    write_frame(sink, Ready())
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
            write_frame(sink, Failure(job.job_id, f"{type(error).__name__}: {error}"))
        else:
            message, answers = answer_of(job, results, started_ns=started_ns, ended_ns=clock.monotonic_ns())
            write_frame(sink, message, answers)
        for digest in job.forget:
            known.pop(digest, None)


def main() -> None:
    """Run as a program."""
    # Ctrl-C goes to the whole group of processes; what to do about it is the parent's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(int(sys.argv[1]))
    source, sink = take_pipes()
    noise, digest = sys.argv[2:4] if len(sys.argv) > 2 else (None, "")
    with contextlib.suppress(BrokenPipeError):  # the parent went away while this worker computed
        serve(source, sink, noise=noise, noise_digest=bytes.fromhex(digest))


if __name__ == "__main__":
    main()
