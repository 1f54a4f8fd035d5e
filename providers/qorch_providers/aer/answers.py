"""In the parent: a worker's answer as verified results. Pure; what does not add up is refused."""

from collections.abc import Iterator

import numpy as np

from qorch.errors import InvalidResultError
from qorch.model.arrays import AnyArray
from qorch.model.counts import Counts
from qorch.model.job import JobRequest, JobResult
from qorch.model.measurement import BlockResult, RowBlock
from qorch_providers.aer.frames import Answer, decode_frame

PROBABILITY_TOLERANCE = 1e-6
PARITY_TOLERANCE = 1e-9


def decode_answer(request: JobRequest, content: bytes) -> JobResult:
    """One verified result per block; the arrays are views of ``content``.

    Raises InvalidResultError for another number of rows or shots, outcomes out of order or range, values that are
    not finite, probabilities outside [0, 1] or not summing to 1 within 1e-6, parities outside [-1, 1].
    """
    message, arrays = decode_frame(content)
    if not isinstance(message, Answer) or message.job_id != request.job_id:
        raise InvalidResultError(f"job {request.job_id}: this is not the answer to it; run it again")
    if len(message.kinds) != len(request.blocks):
        raise InvalidResultError(
            f"job {request.job_id}: expected {len(request.blocks)} blocks, found {len(message.kinds)}"
        )
    remaining = iter(arrays)
    blocks = []
    for index, (block, kind) in enumerate(zip(request.blocks, message.kinds, strict=True)):
        try:
            blocks.append(_read_block(block, kind, remaining))
        except (ValueError, StopIteration) as error:
            raise InvalidResultError(f"job {request.job_id}, block {index}: {error}; run it again") from error
    return JobResult(tuple(blocks))


def _read_block(block: RowBlock, kind: str, arrays: Iterator[AnyArray]) -> BlockResult:
    _expect(kind == ("values" if block.measurement.is_exact else "counts"), f"unexpected {kind}")
    if kind == "values":
        values = next(arrays)
        _check_values(block, values)
        return BlockResult(values=values)
    outcomes, counts, offsets = next(arrays), next(arrays), next(arrays)
    _check_counts(block, outcomes, counts, offsets)
    return BlockResult(counts=Counts(block.gates.n_qubits, outcomes, counts, offsets))


def _check_values(block: RowBlock, values: AnyArray) -> None:
    shape = (block.n_rows, block.measurement.n_values)
    _expect(values.dtype == np.float64 and values.shape == shape, f"expected values of shape {shape}")
    _expect(bool(np.isfinite(values).all()), "a value is not finite")
    if block.measurement.masks is not None:
        limit = 1.0 + PARITY_TOLERANCE
        _expect(bool((np.abs(values) <= limit).all()), "a parity is outside [-1, 1]")
        return
    _expect(values.size == 0 or values.min() >= 0.0, "a probability is negative")
    deviation = np.abs(values.sum(axis=1) - 1.0)
    _expect(bool((deviation <= PROBABILITY_TOLERANCE).all()), "probabilities do not sum to 1")


def _check_counts(block: RowBlock, outcomes: AnyArray, counts: AnyArray, offsets: AnyArray) -> None:
    _expect(all(array.ndim == 1 for array in (outcomes, counts, offsets)), "counts are not one-dimensional")
    _expect(outcomes.dtype.kind == "u" and counts.dtype.kind == "u", "counts are not unsigned")
    _expect(offsets.dtype == np.int64 and len(offsets) == block.n_rows + 1, "wrong number of rows")
    lengths = np.diff(offsets)
    _expect(
        len(outcomes) == len(counts) == offsets[-1] and offsets[0] == 0 and bool((lengths > 0).all()),
        "rows and outcomes do not match",
    )
    _expect(int(outcomes.max()) < 1 << block.gates.n_qubits, "an outcome has too many bits")
    _expect(bool((counts > 0).all()), "an outcome has no count")
    rises = outcomes[1:] > outcomes[:-1]
    rises[offsets[1:-1] - 1] = True
    _expect(bool(rises.all()), "outcomes are not in ascending order")
    sums = np.add.reduceat(counts.astype(np.uint64), offsets[:-1])
    _expect(bool((sums == block.shots).all()), f"counts do not sum to {block.shots} shots")


def _expect(condition: bool, complaint: str, /) -> None:
    if not condition:
        raise ValueError(complaint)
