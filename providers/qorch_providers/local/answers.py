"""A job's answer as bytes: a header and the arrays, which are read back in place and verified."""

import struct

import msgspec
import numpy as np

from qorch.errors import InvalidResultError
from qorch.model.arrays import AnyArray, FloatArray
from qorch.model.counts import Counts
from qorch.model.job import JobRequest, JobResult, RawResult
from qorch.model.measurement import BlockResult, RowBlock

_PREFIX = struct.Struct("<4sI")
_MAGIC = b"QLA2"
_ALIGNMENT = 8
_ROUNDING = 1e-4
"""Float32 states are normalised to about 1e-6; anything worse than this is no rounding."""


class _Header(msgspec.Struct, frozen=True):
    kinds: tuple[str, ...]
    arrays: tuple[tuple[str, tuple[int, ...]], ...]


_decoder = msgspec.msgpack.Decoder(_Header)


def encode_answer(results: list[BlockResult]) -> bytes:
    """One BlockResult after the other; the arrays are copied once."""
    kinds, arrays = [], []
    for result in results:
        if result.counts is not None:
            kinds.append("counts")
            arrays += [result.counts.outcomes, result.counts.counts, result.counts.offsets]
        elif result.values is not None:
            kinds.append("values")
            arrays.append(result.values)
    header = msgspec.msgpack.encode(_Header(tuple(kinds), tuple((array.dtype.str, array.shape) for array in arrays)))
    pieces: list[bytes | memoryview] = [_PREFIX.pack(_MAGIC, len(header)), header, _padding(_PREFIX.size + len(header))]
    for array in arrays:
        pieces += [_view(array), _padding(array.nbytes)]
    return b"".join(pieces)


def _padding(size: int) -> bytes:
    return bytes(-size % _ALIGNMENT)


def _view(array: AnyArray) -> memoryview:
    flat: AnyArray = np.ascontiguousarray(array).reshape(-1)
    return flat.data.cast("B")


def decode_answer(request: JobRequest, raw: RawResult) -> JobResult:
    """The verified results; their arrays are views of the answer. Raises InvalidResultError."""
    try:
        kinds, arrays = _read(raw.content)
    except (struct.error, msgspec.MsgspecError, ValueError, TypeError) as error:
        raise InvalidResultError(
            f"job {request.job_id}: the answer of the local backend is damaged: {error}"
        ) from error
    if len(kinds) != len(request.blocks):
        raise InvalidResultError(
            f"job {request.job_id}: {len(request.blocks)} blocks were sent, {len(kinds)} came back"
        )
    blocks = []
    remaining = iter(arrays)
    for block, kind in zip(request.blocks, kinds, strict=True):
        wanted = "values" if block.measurement.is_exact else "counts"
        if kind != wanted:
            raise InvalidResultError(f"job {request.job_id}: expected {wanted}, found {kind}")
        if kind == "counts":
            counts = Counts(block.gates.n_qubits, next(remaining), next(remaining), next(remaining))
            _require(_counts_are_sound(block, counts), request.job_id, "histograms")
            blocks.append(BlockResult(counts=counts))
        else:
            values = next(remaining)
            _require(_values_are_sound(block, values), request.job_id, "exact values")
            blocks.append(BlockResult(values=values))
    return JobResult(tuple(blocks))


def _require(is_sound: bool, job_id: str, what: str) -> None:
    if not is_sound:
        raise InvalidResultError(f"job {job_id}: the {what} do not fit what was asked for, or cannot be; run it again")


def _read(content: bytes) -> tuple[tuple[str, ...], list[AnyArray]]:
    magic, length = _PREFIX.unpack_from(content)
    if magic != _MAGIC:
        raise ValueError(f"it begins with {magic!r}")
    start = _PREFIX.size + length
    header = _decoder.decode(content[_PREFIX.size : start])
    start += -start % _ALIGNMENT
    wanted = sum(3 if kind == "counts" else 1 for kind in header.kinds)
    if wanted != len(header.arrays):
        raise ValueError(f"it has {len(header.arrays)} arrays instead of {wanted}")
    arrays = []
    for code, shape in header.arrays:
        dtype = np.dtype(code)
        if dtype.kind not in "uif":
            raise ValueError(f"its arrays cannot be of type {code}")
        size = int(np.prod(shape, dtype=np.int64))
        arrays.append(np.frombuffer(content, dtype=dtype, count=size, offset=start).reshape(shape))
        start += size * dtype.itemsize
        start += -start % _ALIGNMENT
    if start != len(content):
        raise ValueError(f"it has {len(content)} bytes instead of {start}")
    return header.kinds, arrays


def _counts_are_sound(block: RowBlock, counts: Counts) -> bool:
    offsets, outcomes = counts.offsets, counts.outcomes
    if offsets.dtype != np.int64 or offsets.ndim != 1 or len(offsets) != block.n_rows + 1:
        return False
    if outcomes.dtype.kind != "u" or counts.counts.dtype.kind != "u" or outcomes.ndim != 1:
        return False
    if offsets[0] != 0 or offsets[-1] != len(outcomes) or outcomes.shape != counts.counts.shape:
        return False
    if block.n_rows == 0:
        return True
    if (np.diff(offsets) < 1).any() or counts.counts.min() == 0 or int(outcomes.max()) >> block.gates.n_qubits:
        return False
    rises = outcomes[1:] > outcomes[:-1]
    rises[offsets[1:-1] - 1] = True
    shots = np.add.reduceat(counts.counts, offsets[:-1], dtype=np.int64)  # a running sum would fill more memory
    return bool(rises.all()) and bool((shots == block.shots).all())


def _values_are_sound(block: RowBlock, values: FloatArray) -> bool:
    if values.dtype != np.float64 or values.shape != (block.n_rows, block.measurement.n_values):
        return False
    if not np.isfinite(values).all():
        return False
    if block.measurement.masks is not None:
        return bool((np.abs(values) <= 1.0 + _ROUNDING).all())
    return bool((values >= 0.0).all()) and bool((np.abs(values.sum(axis=1) - 1.0) <= _ROUNDING).all())
