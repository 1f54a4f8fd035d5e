"""Results on their way from a mock: which rows of a job failed and why, and the results of the others."""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from qorch.errors import InvalidResultError
from qorch.model.arrays import IntArray
from qorch.model.job import JobRequest, JobResult, JobShape, LostRows
from qorch.model.measurement import BlockShape
from qorch.model.samples import take_samples
from qorch_providers.answers import read_answer
from qorch_providers.archive import decode_archive, encode_archive

_MAGIC = b"QMKA"


class _Lost(msgspec.Struct):
    """The rows of each block that failed, ascending."""

    rows: list[list[int]]
    is_repeatable: bool
    reason: str


def kept_request(request: JobRequest, lost: Sequence[IntArray]) -> JobRequest:
    """The job without the rows that failed."""
    if not lost:
        return request
    blocks = (block.take(_kept(block.n_rows, rows)) for block, rows in zip(request.blocks, lost, strict=True))
    return JobRequest(request.job_id, tuple(blocks), request.label)


def pack_answer(answer: bytes, lost: Sequence[IntArray], *, is_repeatable: bool, reason: str) -> bytes:
    """An answer of `local` with the rows that are not in it."""
    head = _Lost([rows.tolist() for rows in lost], is_repeatable, reason)
    return encode_archive([msgspec.json.encode(head), answer], magic=_MAGIC)


def unpack_answer(
    shape: JobShape, content: bytes, *, read: Callable[[JobShape, bytes], JobResult] = read_answer
) -> JobResult:
    """See Backend.read; ``read``: the results of the rows that did not fail.

    Raises InvalidResultError for anything but an answer to this job.
    """
    documents = decode_archive(content, magic=_MAGIC, provider="a mock")
    try:
        head = msgspec.json.decode(documents[0], type=_Lost)
        answer = bytes(documents[1])
    except (msgspec.MsgspecError, IndexError) as error:
        raise InvalidResultError(f"job {shape.job_id}: cannot read the answer of a mock: {error}") from error
    if not head.rows:
        return read(shape, answer)
    if len(head.rows) != len(shape.blocks):
        raise InvalidResultError(f"job {shape.job_id}: expected {len(shape.blocks)} blocks, found {len(head.rows)}")
    lost = [np.asarray(rows, dtype=np.int64) for rows in head.rows]
    kept = tuple(_without(block, rows) for block, rows in zip(shape.blocks, lost, strict=True))
    result = read(JobShape(shape.job_id, kept), answer)
    parts = tuple((LostRows(rows, head.reason, head.is_repeatable),) if len(rows) else () for rows in lost)
    return JobResult(result.blocks, parts)


def _without(block: BlockShape, lost: IntArray) -> BlockShape:
    if len(lost) and not 0 <= lost[0] <= lost[-1] < block.n_rows:
        raise InvalidResultError(f"an answer has lost rows {lost.tolist()} of a block of {block.n_rows}")
    kept = _kept(block.n_rows, lost)
    return BlockShape(len(kept), block.measurement, take_samples(block.samples, kept))


def _kept(n_rows: int, lost: IntArray) -> IntArray:
    return np.setdiff1d(np.arange(n_rows), lost)
