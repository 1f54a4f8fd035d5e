"""The three keys: which row this is, where in a run it is, and which submission it belongs to."""

import hashlib
from dataclasses import dataclass

import numpy as np

from qorch.model.arrays import ByteArray, FloatArray, freeze
from qorch.model.circuit import GateList
from qorch.model.measurement import Measurement

KEY_BYTES = 32


@dataclass(frozen=True, order=True)
class Position:
    """Where in a run a call happened: ``step`` (-1 before the first) and ``call``, both ordinals."""

    step: int
    call: int


def row_keys(gates: GateList, measurement: Measurement, angles: FloatArray) -> ByteArray:
    """``sha256(circuit ‖ measurement ‖ the row's exact float64 bytes)`` for every row, ``(R, 32)`` uint8."""
    prefix = hashlib.sha256(gates.digest + measurement.digest)
    rows = np.ascontiguousarray(angles, dtype="<f8")
    keys = bytearray()
    for row in rows:
        hasher = prefix.copy()
        hasher.update(row)
        keys += hasher.digest()
    return freeze(np.frombuffer(bytes(keys), dtype=np.uint8).reshape(len(rows), KEY_BYTES))


def stream_of(seed: int, position: Position) -> int:
    """The 64-bit name of the random stream of one call: no two calls of a run share their noise."""
    text = f"qorch-stream-1/{seed}/{position.step}/{position.call}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def gradient_stream_of(seed: int, position: Position, pub: int) -> int:
    """The 128-bit name of the random stream of one gradient, that of a pub of a call: apart from all samples'."""
    text = f"qorch-gradient-1/{seed}/{position.step}/{position.call}/{pub}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")


def job_id_of(run_id: str, position: Position, job: int) -> str:
    """The name of the job-th job of a call: the same whenever the run is replayed."""
    return f"{run_id}/{position.step}.{position.call}.{job}"


def run_of(job_id: str) -> str:
    """The id of the run that a job belongs to."""
    return job_id.rpartition("/")[0]


def job_ordinal(job_id: str) -> int:
    """Which job of its call a job is: the inverse of ``job_id_of``."""
    return int(job_id.rpartition(".")[2])


def position_of(job_id: str) -> Position:
    """Where in its run a job is: of a name that ``job_id_of`` made. Raises ValueError for another."""
    step, call, _ = map(int, job_id.rpartition("/")[2].split("."))
    return Position(step, call)


def idempotency_key(store_id: str, job_id: str, *, epoch: int) -> str:
    """``H(store, run, step, call, job, epoch)`` in 64 hexadecimal characters: every resend of one job keeps it.

    The epoch rises only after a proven rejection or a terminal failure.
    """
    return hashlib.sha256(f"qorch-key-1/{store_id}/{job_id}/{epoch}".encode()).hexdigest()
