"""Counts in compact arrays: rows, taking, dense tables, joining and merging."""

import numpy as np
import pytest

from qorch.model.counts import Counts, concatenate_counts, merge_counts, smallest_unsigned


def counts_of(*rows: dict[int, int], n_qubits: int = 3) -> Counts:
    """Histograms from dictionaries of outcome → count."""
    outcomes = np.array([outcome for row in rows for outcome in sorted(row)], dtype=np.uint8)
    numbers = np.array([row[outcome] for row in rows for outcome in sorted(row)], dtype=np.uint16)
    return Counts(n_qubits, outcomes, numbers, np.cumsum([0, *(len(row) for row in rows)]))


THREE = counts_of({0: 5, 6: 2}, {}, {1: 1, 2: 300, 7: 4})


def test_a_row_reads_with_qubit_0_rightmost():
    """Outcome 6 is qubits 1 and 2."""
    assert THREE.row(0) == {"000": 5, "110": 2}
    assert THREE.row(1) == {}


def test_shots_and_tables_count_empty_rows_as_zero():
    """Shots per row and dense tables agree with the histograms."""
    assert THREE.shots.tolist() == [7, 0, 305]
    assert THREE.dense().tolist() == [[5, 0, 0, 0, 0, 0, 2, 0], [0] * 8, [0, 1, 300, 0, 0, 0, 0, 4]]


def test_taking_rows_repeats_and_reorders():
    """Rows come in the order asked for, more than once where asked."""
    taken = THREE.take([2, 1, 0, 2])
    assert [taken.row(index) for index in range(4)] == [THREE.row(index) for index in (2, 1, 0, 2)]
    assert THREE.take([]).n_rows == 0


def test_joining_keeps_the_widest_type():
    """Pieces of different widths join without losing a count."""
    wide = Counts(3, np.array([3], np.uint64), np.array([2**40], np.uint64), np.array([0, 1]))
    joined = concatenate_counts([THREE, wide, THREE])
    assert joined.n_rows == 7
    assert joined.row(3) == {"011": 2**40}
    assert joined.row(6) == THREE.row(2)


def test_merging_adds_outcome_by_outcome():
    """The merged histogram of a row has every outcome once, ascending, in the smallest type that fits."""
    merged = merge_counts(THREE, counts_of({6: 1, 7: 1}, {4: 9}, {}))
    assert [merged.row(index) for index in range(3)] == [
        {"000": 5, "110": 3, "111": 1},
        {"100": 9},
        {"001": 1, "010": 300, "111": 4},
    ]
    assert (merged.outcomes.dtype, merged.counts.dtype) == (np.uint8, np.uint16)
    assert merge_counts(counts_of({}), counts_of({})).shots.tolist() == [0]


def test_arrays_are_read_only():
    """A result cannot be changed after it was made."""
    with pytest.raises(ValueError, match="read-only"):
        THREE.counts[0] = 1


@pytest.mark.parametrize(("limit", "kind"), [(255, np.uint8), (256, np.uint16), (2**63 - 1, np.uint64)])
def test_the_smallest_type_holds_its_limit(limit, kind):
    """Types grow exactly where they must."""
    assert smallest_unsigned(limit) == kind
