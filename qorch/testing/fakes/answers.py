"""The answers of the fake provider: honest samples, some rows of which may be missing, in one checked JSON text."""

import hashlib

import msgspec
import numpy as np

from qorch.errors import InvalidResultError
from qorch.model.arrays import IntArray
from qorch.model.counts import Counts, smallest_unsigned
from qorch.model.job import JobRequest, JobResult, JobShape
from qorch.model.measurement import BlockResult, BlockShape, RowBlock
from qorch.testing.fakes.backend import simulate_block


class _Block(msgspec.Struct, frozen=True):
    """The rows of one block that did not fail; ``lost``: those that did."""

    lost: list[int]
    outcomes: list[int]
    counts: list[int]
    offsets: list[int]


class _Answer(msgspec.Struct, frozen=True):
    job: str
    blocks: list[_Block]


def encode_answer(request: JobRequest, *, lost: tuple[IntArray, ...] = ()) -> bytes:
    """Run all sampled rows of a request but the lost ones, ``lost[i]`` of block i; the answer, with its digest."""
    blocks = [_encode(block, lost[index].tolist() if lost else []) for index, block in enumerate(request.blocks)]
    text = msgspec.json.encode(_Answer(request.job_id, blocks))
    return hashlib.sha256(text).digest() + text


def _encode(block: RowBlock, lost: list[int]) -> _Block:
    counts = simulate_block(block).counts
    if counts is None:
        raise InvalidResultError("the fake provider has samples only; ask for a number of shots")
    kept = counts.take(np.delete(np.arange(block.n_rows), lost))
    return _Block(lost, kept.outcomes.tolist(), kept.counts.tolist(), kept.offsets.tolist())


def read_answer(shape: JobShape, content: bytes) -> JobResult:
    """Read and verify what ``encode_answer`` made. Raises InvalidResultError."""
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        raise InvalidResultError(f"the answer to job {shape.job_id} is damaged")
    answer = msgspec.json.decode(content[32:], type=_Answer)
    if answer.job != shape.job_id or len(answer.blocks) != len(shape.blocks):
        raise InvalidResultError(f"the answer belongs to job {answer.job}, not to {shape.job_id}")
    results = tuple(_read(block, whole) for block, whole in zip(answer.blocks, shape.blocks, strict=True))
    lost = tuple(np.array(block.lost, dtype=np.int64) for block in answer.blocks)
    return JobResult(results, lost if any(len(rows) for rows in lost) else ())


def _read(block: _Block, shape: BlockShape) -> BlockResult:
    counts = Counts(
        shape.n_qubits,
        np.array(block.outcomes, dtype=smallest_unsigned((1 << shape.n_qubits) - 1)),
        np.array(block.counts, dtype=smallest_unsigned(shape.shots or 0)),
        np.array(block.offsets, dtype=np.int64),
    )
    if counts.n_rows + len(block.lost) != shape.n_rows or (counts.shots != shape.shots).any():
        raise InvalidResultError("a block has other rows or shots than were asked for")
    return BlockResult(counts=counts)
