"""The answers of the fake provider: samples or estimates, some rows of which may be missing, in one checked JSON."""

import hashlib

import msgspec
import numpy as np

from qorch.errors import InvalidResultError
from qorch.model.counts import Counts, smallest_unsigned
from qorch.model.job import JobRequest, JobResult, JobShape, LostRows
from qorch.model.measurement import BlockResult, BlockShape, RowBlock
from qorch.testing.fakes.simulation import simulate_block


class _Lost(msgspec.Struct, frozen=True):
    rows: list[int]
    reason: str
    is_repeatable: bool


class _Block(msgspec.Struct, frozen=True):
    """The rows of one block that did not fail; ``lost``: those that did."""

    lost: list[_Lost]
    outcomes: list[int]
    counts: list[int]
    offsets: list[int]
    values: list[list[float]] = []
    variances: list[list[float]] = []


class _Answer(msgspec.Struct, frozen=True):
    job: str
    blocks: list[_Block]


def encode_answer(request: JobRequest, *, lost: tuple[tuple[LostRows, ...], ...] = ()) -> bytes:
    """Run all rows of a request, none exact, but the lost ones, ``lost[i]`` of block i; the answer, with its digest."""
    blocks = [_encode(block, lost[index] if lost else ()) for index, block in enumerate(request.blocks)]
    text = msgspec.json.encode(_Answer(request.job_id, blocks))
    return hashlib.sha256(text).digest() + text


def _encode(block: RowBlock, lost: tuple[LostRows, ...]) -> _Block:
    parts = [_Lost(part.rows.tolist(), part.reason, part.is_repeatable) for part in lost]
    rows = np.delete(np.arange(block.n_rows), [row for part in lost for row in part.rows])
    kept = simulate_block(block).take(rows)
    if kept.counts is not None:
        counts = kept.counts
        return _Block(parts, counts.outcomes.tolist(), counts.counts.tolist(), counts.offsets.tolist())
    if kept.values is None or kept.variances is None:
        raise InvalidResultError("the fake provider has samples only; ask for a number of shots")
    return _Block(parts, [], [], [], kept.values.tolist(), kept.variances.tolist())


def read_answer(shape: JobShape, content: bytes) -> JobResult:
    """Read what ``encode_answer`` made. Raises InvalidResultError."""
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        raise InvalidResultError(f"the answer to job {shape.job_id} is damaged")
    answer = msgspec.json.decode(content[32:], type=_Answer)
    if answer.job != shape.job_id or len(answer.blocks) != len(shape.blocks):
        raise InvalidResultError(f"the answer belongs to job {answer.job}, not to {shape.job_id}")
    results = tuple(_read(block, whole) for block, whole in zip(answer.blocks, shape.blocks, strict=True))
    lost = tuple(
        tuple(LostRows(np.array(part.rows, dtype=np.int64), part.reason, part.is_repeatable) for part in block.lost)
        for block in answer.blocks
    )
    return JobResult(results, lost if any(lost) else ())


def _read(block: _Block, shape: BlockShape) -> BlockResult:
    if shape.measurement.is_estimated:
        n_values = shape.measurement.n_values
        values, variances = (np.array(part).reshape(-1, n_values) for part in (block.values, block.variances))
        return BlockResult(values=values, variances=variances)
    counts = Counts(
        shape.n_qubits,
        np.array(block.outcomes, dtype=smallest_unsigned((1 << shape.n_qubits) - 1)),
        np.array(block.counts, dtype=smallest_unsigned(shape.shots or 0)),
        np.array(block.offsets, dtype=np.int64),
    )
    return BlockResult(counts=counts)
