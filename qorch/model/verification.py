"""Whether a result is what a job asked for: the one check that the answers of every backend pass."""

import numpy as np

from qorch.errors import InvalidResultError
from qorch.model.arrays import AnyArray, FloatArray, IntArray
from qorch.model.counts import Counts
from qorch.model.job import JobResult, JobShape
from qorch.model.measurement import BlockResult, BlockShape, Measurement

ROUNDING = 1e-4
"""How far exact values may be off: single precision over many gates."""


def verify_result(shape: JobShape, result: JobResult) -> JobResult:
    """The result, if it can be one of this job: its blocks, rows, shots, outcomes, ranges and finite values.

    Raises InvalidResultError, which names the block and what is wrong with it.
    """
    sent = len(shape.blocks)
    if len(result.blocks) != sent or len(result.lost) not in (0, sent):
        raise InvalidResultError(f"job {shape.job_id}: {sent} blocks were sent, {len(result.blocks)} came back")
    for index, (block, found) in enumerate(zip(shape.blocks, result.blocks, strict=True)):
        try:
            lost = result.lost_in(index)
            _check_lost(block, lost)
            _check_block(block, found, block.n_rows - len(lost))
        except ValueError as error:
            raise InvalidResultError(f"job {shape.job_id}, block {index} of the answer: {error}") from error
    return result


def _check_lost(block: BlockShape, lost: IntArray) -> None:
    is_within = not len(lost) or (lost[0] >= 0 and lost[-1] < block.n_rows and bool((np.diff(lost) > 0).all()))
    _expect(is_within, f"its lost rows are not distinct rows below {block.n_rows}")


def _check_block(block: BlockShape, found: BlockResult, n_rows: int) -> None:
    if block.measurement.is_estimated:
        _check_estimates(block.measurement, found, n_rows)
    elif block.shots is None:
        _expect(found.values is not None, "it has counts, but exact values were asked for")
        _expect(found.variances is None, "it has estimates, but exact values were asked for")
        _check_values(block.measurement, found.values, n_rows)  # type: ignore[arg-type]  # not None, as expected above
    else:
        _expect(found.counts is not None, "it has values, but counts were asked for")
        _check_counts(found.counts, n_rows, n_qubits=block.n_qubits, shots=block.shots)  # type: ignore[arg-type]


def _check_values(measurement: Measurement, values: FloatArray, n_rows: int) -> None:
    shape = (n_rows, measurement.n_values)
    _expect(values.dtype == np.float64 and values.shape == shape, f"its values have not the shape {shape}")
    _expect(bool(np.isfinite(values).all()), "a value is not finite")
    if measurement.masks is not None:
        _expect(bool((np.abs(values) <= 1 + ROUNDING).all()), "a parity is outside [-1, 1]")
        return
    _expect(bool((values >= 0).all()), "a probability is negative")
    _expect(bool((np.abs(values.sum(axis=1) - 1) <= ROUNDING).all()), "the probabilities do not add up to 1")


def _check_estimates(measurement: Measurement, found: BlockResult, n_rows: int) -> None:
    """Values are not bounded: mitigation divides by what noise has left, and extrapolates, so they may exceed 1."""
    _expect(found.counts is None, "it has counts, but estimated values were asked for")
    shape = (n_rows, measurement.n_values)
    for name, array in (("values", found.values), ("variances", found.variances)):
        if array is None or array.dtype != np.float64 or array.shape != shape:
            raise ValueError(f"its {name} have not the shape {shape}")
        _expect(bool(np.isfinite(array).all()), f"one of its {name} is not finite")
        _expect(name == "values" or bool((array >= 0).all()), "a variance is negative")


def _check_counts(counts: Counts, n_rows: int, *, n_qubits: int, shots: int) -> None:
    offsets, outcomes = counts.offsets, counts.outcomes
    _expect(counts.n_qubits == n_qubits, f"its outcomes have {counts.n_qubits} bits, but {n_qubits} were measured")
    _expect(offsets.shape == (n_rows + 1,) and offsets.dtype == np.int64, f"it has not {n_rows} rows")
    _expect(_are_whole(outcomes) and _are_whole(counts.counts), "its outcomes or counts are not whole numbers")
    is_cut = offsets[0] == 0 and offsets[-1] == len(outcomes) == len(counts.counts)
    _expect(is_cut and bool((np.diff(offsets) > 0).all()), "its outcomes do not match its rows")
    if not n_rows:
        return
    rises = outcomes[1:] > outcomes[:-1]
    rises[offsets[1:-1] - 1] = True
    _expect(bool(rises.all()), "the outcomes of a row are not in ascending order")
    # The last outcome of a row is its largest.
    _expect(not int(outcomes[offsets[1:] - 1].max()) >> n_qubits, f"an outcome has more than {n_qubits} bits")
    _expect(int(counts.counts.min()) > 0, "an outcome has no count")
    # A running sum would fill more memory than the counts.
    sums = np.add.reduceat(counts.counts, offsets[:-1], dtype=np.int64)
    _expect(bool((sums == shots).all()), f"the counts of a row do not add up to {shots} shots")


def _are_whole(array: AnyArray) -> bool:
    return array.ndim == 1 and array.dtype.kind == "u"


def _expect(condition: bool, complaint: str, /) -> None:
    if not condition:
        raise ValueError(complaint)
