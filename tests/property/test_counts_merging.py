"""Counts as arrays behave like counts as dictionaries."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qorch.model.counts import Counts, concatenate_counts, merge_counts
from qorch.model.observable import as_observables, group_observables
from qorch.planning.estimation import add_counts, empty_moments, expectations

N_QUBITS = 4
HISTOGRAM = st.dictionaries(st.integers(0, 15), st.integers(1, 10**6), max_size=6)
ROWS = st.lists(HISTOGRAM, min_size=1, max_size=6)


def counts_of(rows: list[dict[int, int]]) -> Counts:
    """Arrays from dictionaries."""
    outcomes = np.array([outcome for row in rows for outcome in sorted(row)], dtype=np.uint8)
    numbers = np.array([row[outcome] for row in rows for outcome in sorted(row)], dtype=np.uint32)
    return Counts(N_QUBITS, outcomes, numbers, np.cumsum([0, *(len(row) for row in rows)]))


def rows_of(counts: Counts) -> list[dict[int, int]]:
    """Dictionaries from arrays."""
    return [{int(bits, 2): number for bits, number in counts.row(index).items()} for index in range(counts.n_rows)]


@settings(deadline=None)
@given(ROWS, st.data())
def test_taking_and_joining_are_those_of_lists(rows, data):
    """Any selection of rows, joined with the whole, is what a list would give."""
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8))
    counts = counts_of(rows)
    joined = concatenate_counts([counts.take(chosen), counts])
    assert rows_of(joined) == [rows[index] for index in chosen] + rows
    assert joined.shots.tolist() == [sum(row.values()) for row in rows_of(joined)]


@settings(deadline=None)
@given(st.lists(st.tuples(HISTOGRAM, HISTOGRAM), min_size=1, max_size=6))
def test_merging_is_that_of_counters(pairs):
    """Merged histograms are sums of counters, with ascending outcomes."""
    merged = merge_counts(counts_of([a for a, _ in pairs]), counts_of([b for _, b in pairs]))
    assert rows_of(merged) == [dict(Counter(a) + Counter(b)) for a, b in pairs]
    for start, stop in zip(merged.offsets[:-1], merged.offsets[1:], strict=True):
        assert (np.diff(merged.outcomes[start:stop].astype(int)) > 0).all()


@settings(deadline=None)
@given(st.lists(HISTOGRAM.filter(bool), min_size=1, max_size=6), st.integers(1, 15))
def test_values_are_bounded_means_whatever_the_counts(rows, mask):
    """The value of a parity is its mean over the shots, within ±1, with a finite positive error."""
    text = " ".join(f"Z{qubit}" for qubit in range(N_QUBITS) if mask >> qubit & 1)
    grouping = group_observables(as_observables(text, n_qubits=N_QUBITS), N_QUBITS)
    moments = empty_moments(len(rows), grouping.groups[0])
    add_counts(moments, counts_of(rows), rows=np.arange(len(rows)))
    values, stderr = expectations([moments], grouping.offsets)
    for row, value, error in zip(rows, values[:, 0], stderr[:, 0], strict=True):
        shots = sum(row.values())
        signed = sum(number * (-1) ** (outcome & mask).bit_count() for outcome, number in row.items())
        assert value == signed / shots
        assert 0 < error < 1.000001 / shots**0.5
