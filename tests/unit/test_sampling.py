"""Shots from probabilities: streams, offsets, chunks and distributions, without a worker."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qorch.model.counts import Counts, merge_counts
from qorch.model.samples import Samples
from qorch.testing.reference import chi_square_sigmas
from qorch_providers import sampling
from qorch_providers.sampling import sample_counts


def draw(probabilities: np.ndarray, *, shots: int, shot_offset: int = 0, first_ordinal: int = 0) -> Counts:
    """Counts of rows with consecutive ordinals in the stream 3."""
    ordinals = np.arange(first_ordinal, first_ordinal + len(probabilities), dtype=np.uint64)
    streams = np.full(len(probabilities), 3, dtype=np.uint64)
    return sample_counts(probabilities, Samples(streams, ordinals, shots, shot_offset))


def random_rows(rows: int, n_qubits: int) -> np.ndarray:
    """Random distributions with some impossible outcomes."""
    table = np.random.default_rng(rows + n_qubits).exponential(size=(rows, 1 << n_qubits))
    table[:, 1::3] = 0.0
    return table / table.sum(axis=1, keepdims=True)


@settings(max_examples=60, deadline=None)
@given(
    n_qubits=st.integers(1, 8),
    first=st.integers(1, 300),
    second=st.integers(1, 300),
    offset=st.integers(0, 10_000),
)
def test_a_split_sample_is_the_whole_sample(n_qubits: int, first: int, second: int, offset: int) -> None:
    """Shots taken in two parts at consecutive offsets are bit for bit those taken at once."""
    table = random_rows(3, n_qubits)
    whole = draw(table, shots=first + second, shot_offset=offset)
    parts = merge_counts(
        draw(table, shots=first, shot_offset=offset),
        draw(table, shots=second, shot_offset=offset + first),
    )
    assert np.array_equal(whole.dense(), parts.dense())


def test_chunks_do_not_change_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many small chunks give what one large chunk gives, with a dense table and without."""
    table = random_rows(2, 6)
    whole = draw(table, shots=5_000)
    monkeypatch.setattr(sampling, "CHUNK_SHOTS", 37)
    assert np.array_equal(draw(table, shots=5_000).dense(), whole.dense())
    monkeypatch.setattr(sampling, "_DENSE_OUTCOMES", 1)
    assert np.array_equal(draw(table, shots=5_000).dense(), whole.dense())


def test_samples_follow_the_probabilities() -> None:
    """A chi-square test accepts the histograms, for more outcomes than shots and for fewer."""
    for n_qubits, shots in ((3, 20_000), (12, 3_000)):
        table = random_rows(4, n_qubits)
        for row, histogram in enumerate(draw(table, shots=shots).dense()):
            assert chi_square_sigmas(histogram, table[row]) < 6.0


def test_impossible_outcomes_are_never_drawn() -> None:
    """A certain outcome at either end takes all shots, on both sides of the search."""
    for n_qubits in (2, 9):
        for outcome in (0, (1 << n_qubits) - 1):
            table = np.zeros((1, 1 << n_qubits))
            table[0, outcome] = 1.0
            counts = draw(table, shots=100)
            assert counts.outcomes.tolist() == [outcome]
            assert counts.counts.tolist() == [100]


def test_rows_are_named_by_their_ordinal_not_by_their_place() -> None:
    """The second row of a block is the first row of a block that begins there."""
    table = random_rows(3, 4)
    whole = draw(table, shots=200)
    tail = draw(table[1:], shots=200, first_ordinal=1)
    assert np.array_equal(whole.dense()[1:], tail.dense())


def test_counts_use_the_smallest_types() -> None:
    """Eight qubits fit into bytes, nine do not; counts go by their maximum."""
    assert draw(random_rows(1, 8), shots=100).outcomes.dtype == np.uint8
    assert draw(random_rows(1, 9), shots=100).outcomes.dtype == np.uint16
    assert draw(np.array([[1.0, 0.0]]), shots=70_000).counts.dtype == np.uint32


def test_ten_million_shots_stay_in_bounded_memory() -> None:
    """The largest number of shots is drawn in chunks and still sums up."""
    import tracemalloc

    tracemalloc.start()
    counts = draw(random_rows(1, 5), shots=10_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert counts.shots.tolist() == [10_000_000]
    assert peak < 32 << 20
