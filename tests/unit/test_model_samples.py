"""Samples of rows: what they may be, and that a block cannot contradict itself."""

import numpy as np
import pytest

from qorch.errors import ShotsError, UsageError
from qorch.model.circuit import build_gate_list
from qorch.model.gates import GATES_BY_NAME
from qorch.model.measurement import BlockShape, Measurement, RowBlock
from qorch.model.samples import Samples

WORDS = np.arange(3, dtype=np.uint64)
GATES = build_gate_list(1, [(GATES_BY_NAME["h"].opcode, (0,), ())])


def measured(*, is_exact: bool) -> Measurement:
    """One qubit in Z."""
    return Measurement(np.zeros(1, dtype=np.uint8), is_exact)


def test_chosen_rows_keep_their_streams_and_shots() -> None:
    """Rows are taken by number, by slice and by mask; shots and offset stay."""
    samples = Samples(WORDS, WORDS + np.uint64(10), 50, offset=7)
    for chosen in (np.array([0, 2]), slice(None, None, 2), np.array([True, False, True])):
        part = samples.take(chosen)
        assert (part.streams.tolist(), part.ordinals.tolist()) == ([0, 2], [10, 12])
        assert (part.n_rows, part.shots, part.offset, part.end) == (2, 50, 7, 57)


@pytest.mark.parametrize(
    ("streams", "ordinals", "shots", "offset", "error"),
    [
        (WORDS, WORDS[:2], 1, 0, UsageError),
        (WORDS[np.newaxis], WORDS[np.newaxis], 1, 0, UsageError),
        (WORDS.astype(np.int64), WORDS, 1, 0, UsageError),
        (WORDS, WORDS.astype(np.float64), 1, 0, UsageError),
        (WORDS, WORDS, 0, 0, ShotsError),
        (WORDS, WORDS, 1, -1, ShotsError),
    ],
)
def test_what_names_no_samples_is_refused(
    streams: np.ndarray, ordinals: np.ndarray, shots: int, offset: int, error: type[Exception]
) -> None:
    """Arrays of other shapes or types, no shots, and an offset below 0."""
    with pytest.raises(error):
        Samples(streams, ordinals, shots, offset)


def test_a_block_is_exact_or_has_samples_of_its_rows() -> None:
    """A contradiction between measurement, samples and rows cannot be made, with gates or without."""
    samples = Samples(WORDS, WORDS, 50)
    for is_exact, given, n_rows, error in (
        (True, samples, 3, ShotsError),
        (False, None, 3, ShotsError),
        (False, samples, 2, UsageError),
    ):
        with pytest.raises(error):
            RowBlock(GATES, measured(is_exact=is_exact), np.zeros((n_rows, 0)), given)
        with pytest.raises(error):
            BlockShape(n_rows, measured(is_exact=is_exact), given)


def test_a_part_of_a_block_and_its_shape_agree() -> None:
    """The shape has the block's rows, qubits and shots; an exact block has no shots."""
    sampled = RowBlock(GATES, measured(is_exact=False), np.zeros((3, 0)), Samples(WORDS, WORDS, 50))
    shape = sampled.take(np.array([2, 0])).shape
    assert (shape.n_rows, shape.n_qubits, shape.shots) == (2, 1, 50)
    assert shape.samples is not None
    assert shape.samples.ordinals.tolist() == [2, 0]
    exact = RowBlock(GATES, measured(is_exact=True), np.zeros((3, 0)), None).take(slice(1))
    assert (exact.n_rows, exact.shots, exact.shape.samples) == (1, None, None)
